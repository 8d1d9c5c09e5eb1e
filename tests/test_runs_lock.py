import errno
import json
import os
import socket
import subprocess
import sys

import filelock
import pytest

from gan_jax.devices import cluster
from gan_jax.errors import UserError
from gan_jax.runs import directories, lock


def test_a_second_process_is_refused_and_told_who_holds_the_directory(tmp_path):
    with lock.held(tmp_path):
        code = (
            "import sys; from pathlib import Path; from gan_jax.runs import lock; "
            "lock.held(Path(sys.argv[1])).__enter__()"
        )
        second = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True)
    assert f"UserError: {tmp_path}: process {os.getpid()} on {socket.gethostname()} is training in" in second.stderr
    assert {path.name for path in tmp_path.iterdir()} <= {lock.LOCK}  # the holder's name is gone, the lock is free
    with lock.held(tmp_path):
        pass


def test_what_a_killed_process_left_locks_nothing(tmp_path):
    (tmp_path / lock.LOCK).touch()
    (tmp_path / lock.HOLDER).write_text(json.dumps({"host": "elsewhere", "process": 1}))
    with lock.held(tmp_path):
        assert json.loads((tmp_path / lock.HOLDER).read_text())["process"] == os.getpid()


def test_a_holder_that_has_not_yet_written_who_it_is_still_holds(tmp_path):
    with filelock.FileLock(tmp_path / lock.LOCK), pytest.raises(UserError, match="another process is training in"):
        lock.held(tmp_path).__enter__()


def test_of_processes_that_train_together_one_holds_the_lock(tmp_path, monkeypatch):
    with lock.held(tmp_path):
        monkeypatch.setattr(cluster, "chief", lambda: False)
        with lock.held(tmp_path):
            pass


def test_a_file_system_without_locks_is_told_and_used(tmp_path, monkeypatch, capsys):
    def acquire(self, **options):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(filelock.FileLock, "acquire", acquire)
    with lock.held(tmp_path):
        assert "file system without locks" in capsys.readouterr().out


def test_a_directory_that_cannot_be_written_is_no_file_system_without_locks(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        lock.held(tmp_path / "file").__enter__()


def test_a_directory_that_vanishes_hides_no_error(tmp_path):
    with pytest.raises(ZeroDivisionError), lock.held(tmp_path / "run"):
        (tmp_path / "run").rename(tmp_path / "away")
        _ = 1 / 0


def test_an_old_run_that_cannot_be_moved_back_hides_no_error(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    with pytest.raises(ZeroDivisionError), directories.opened(tmp_path / "run", {}, fresh=True, quiet=True):
        (tmp_path / "run.old-1").rename(tmp_path / "away")
        _ = 1 / 0
