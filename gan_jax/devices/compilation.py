"""Compilation in another thread, so that Ctrl-C and other signals are handled meanwhile."""

import atexit
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import jax

INTERRUPTED = 130  # exit status of a program that Ctrl-C ends


def interruptible(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wraps a jitted function so that signals are handled while its first call compiles it.

    Python handles signals between the instructions of the main thread, and compilation, which takes minutes for large
    networks, is one instruction. So another thread compiles, and the main thread waits. Tracing stays in the main
    thread, as contexts such as `jax.enable_x64` apply only to the thread that enters them.

    Args:
        function: From `jax.jit`, or from `parallel`.
    """
    compiled = False

    def call(*args: Any) -> Any:
        nonlocal compiled
        if not compiled and not jax.config.jax_disable_jit:  # pyright: ignore[reportAttributeAccessIssue]
            _waited(function.lower(*args).compile)  # pyright: ignore[reportFunctionMemberAccess]
        compiled = True
        # does not compile again: JAX keeps executables in memory by their lowered modules
        return function(*args)

    return call


def _waited(work: Callable[[], Any]) -> None:
    """Calls a function in a thread, and waits; the call goes on if an exception, such as a signal's, ends the wait."""
    done: Future[None] = Future()

    def do() -> None:
        try:
            work()
        except BaseException as error:
            done.set_exception(error)
        else:
            done.set_result(None)

    threading.Thread(target=do, daemon=True).start()
    try:
        done.result()
    except BaseException as error:
        if not done.done():
            status = error.code if isinstance(error, SystemExit) else INTERRUPTED
            atexit.register(_leave, done, status if isinstance(status, int) else 1)
        raise


def _leave(done: Future[None], status: int) -> None:
    """Exits without Python's own shutdown, which would abort while a thread still compiles."""
    if not done.done():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
