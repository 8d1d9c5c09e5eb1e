"""What the command line tells of an error, and what it shows with a traceback."""

import errno
import os
import subprocess
import sys

import jax.numpy as jnp
import pytest

from gan_jax import errors
from gan_jax.cli import cli, message

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/disk/file")


@pytest.mark.parametrize(
    ("kind", "also"),
    [
        (errors.UserError, ValueError),
        (errors.NotFound, FileNotFoundError),
        (errors.Unreachable, ConnectionError),
        (errors.Diverged, FloatingPointError),
        (errors.OutOfMemory, MemoryError),
    ],
)
def test_users_errors_are_of_one_type_and_of_what_they_were(kind, also):
    error = kind("give another --seed")
    assert isinstance(error, errors.UserError) and isinstance(error, also)
    assert message(error) == str(error) == "give another --seed"


def raising(error):
    def main():
        """Raises."""
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (errors.Diverged("the loss is nan at step 4"), "error: the loss is nan at step 4\n"),
        (FULL, "error: /disk/file: No space left on device\n"),
        (OSError(errno.EIO, "Input/output error"), "error: Input/output error\n"),
    ],
)
def test_what_a_user_can_mend_is_told_in_a_line(monkeypatch, capsys, error, said):
    monkeypatch.setattr(sys, "argv", ["program"])
    with pytest.raises(SystemExit) as ended:
        cli(raising(error))
    assert ended.value.code == 1 and capsys.readouterr().err.startswith(said)


@pytest.mark.parametrize(
    "error", [ValueError("a"), FloatingPointError("b"), MemoryError("c"), OSError("without a number"), TypeError("d")]
)
def test_every_other_error_keeps_its_traceback(monkeypatch, error):
    monkeypatch.setattr(sys, "argv", ["program"])
    with pytest.raises(type(error)) as raised:
        cli(raising(error))
    assert raised.value is error


def test_jaxs_own_errors_of_shapes_keep_their_traceback(monkeypatch):
    def main():
        """Adds what cannot be added."""
        return jnp.ones(2) + jnp.ones(3)

    monkeypatch.setattr(sys, "argv", ["program"])
    with pytest.raises((TypeError, ValueError), match=r"\(2,\).*\(3,\)"):
        cli(main)


@pytest.mark.parametrize("raised", ["KeyboardInterrupt()", "RuntimeError('a bug')", "UserError('mend it')"])
def test_of_several_processes_one_that_fails_ends_at_once(raised):
    # JAX's handler at exit waits for the others; here one stands for it that would not return
    code = f"""
import atexit, os, sys, time
from gan_jax import cli
from gan_jax.devices import cluster
from gan_jax.errors import UserError
cluster.join = lambda: atexit.register(time.sleep, 1000)
def main():
    "Fails."
    raise {raised}
cli.cli(main)
"""
    environment = os.environ | {"GAN_JAX_COORDINATOR": "127.0.0.1:1"}
    made = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert made.returncode == (130 if "Keyboard" in raised else 1)
    assert ("Traceback" in made.stderr) == ("bug" in raised)
    assert any(said in made.stderr for said in ("interrupted", "a bug", "error: mend it"))


def test_a_misspelt_name_is_answered_by_the_nearest_and_another_by_none():
    known = ("g_learning_rate", "d_learning_rate", "seed")
    assert errors.nearest("g_learning_rat", known).startswith(" Did you mean g_learning_rate")
    assert errors.nearest("colour", known) == ""
    assert errors.listed(["a", "b"], 2) == "a, b" and errors.listed(["a", "b", "c", "d"], 2) == "a, b and 2 more"
