import os
import signal
import threading
import time
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from gan_jax.devices import compilation, parallel


def blocked(compile) -> Any:
    """A compiled function that has yet to be compiled."""
    return SimpleNamespace(lower=lambda: SimpleNamespace(compile=compile))


@pytest.mark.parametrize("specs", [parallel.WHOLE, (parallel.WHOLE,) * 2])
@pytest.mark.parametrize("count", [1, 2])
def test_a_function_is_compiled_once(count, specs):
    devices, compiled = jax.devices()[:count], []
    function = parallel.spread(lambda state, x: state + x + count, devices, specs)
    call = compilation.interruptible(function)
    state, x = parallel.replicate((jnp.arange(3.0), jnp.ones(3)), devices)

    def note(event, duration_secs, **kwargs):
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(duration_secs)

    jax.monitoring.register_event_duration_secs_listener(note)
    try:
        for _ in range(2):
            state = call(state, x)
    finally:
        jax.monitoring.unregister_event_duration_listener(note)
    assert state.tolist() == [i + 2.0 * (1 + count) for i in range(3)]
    assert len(compiled) == 1


def test_a_compilation_uses_the_contexts_of_its_caller():
    with jax.enable_x64(True):
        assert compilation.interruptible(jax.jit(lambda x: x * 2.0))(jnp.float64(1)).dtype == "float64"


def test_an_error_of_a_compilation_is_raised():
    def fail():
        raise MemoryError("full")

    with pytest.raises(MemoryError, match="full"):
        compilation.interruptible(blocked(fail))()


def test_signals_are_handled_during_a_compilation():
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs of a shell ignore it
    release = threading.Event()
    threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        try:
            compilation.interruptible(blocked(lambda: release.wait(60)))()
        finally:
            release.set()
            signal.signal(signal.SIGINT, handler)
    assert time.monotonic() - began < 30
