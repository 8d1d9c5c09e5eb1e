"""Several processes on this machine, over gloo, as `gan_jax.launch` starts them."""

import os
import queue
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from environment import FLAGS

from experiments import dcgan
from gan_jax import data, launch
from gan_jax.devices import cluster
from gan_jax.launch import free_port, main
from gan_jax.loop import signals
from gan_jax.runs import checkpoint, log

GAME = dcgan.Config(dataset="ring", batch_size=16, g_width=4, d_width=4)
LIKE = jax.eval_shape(dcgan.build(GAME, data.load("ring").spec).init, jax.random.key(0))
ALONE = os.environ | {"XLA_FLAGS": FLAGS, "JAX_PLATFORMS": "cpu"}  # one device a process


def command(workdir, processes, steps, *more):
    script = [sys.executable, "-m", "experiments.dcgan"]
    script += ["--dataset", "ring", "--batch-size", "16", "--g-width", "4", "--d-width", "4"]
    settings = ["--steps", str(steps), "--save-every", "100", "--log-every", "100", "--sample-every", "10000"]
    launcher = [sys.executable, "-m", "gan_jax.launch", "--processes", str(processes), "--"] if processes else []
    return [*launcher, *script, *settings, "--workdir", str(workdir), *more]


def run(workdir, processes, steps, *more):
    made = subprocess.run(
        command(workdir, processes, steps, *more), env=ALONE, capture_output=True, text=True, timeout=300
    )
    return made.returncode, made.stdout + made.stderr


def final(workdir):
    return checkpoint.restore(workdir / "checkpoints", LIKE)[0]


def start_and_wait_for_a_checkpoint(workdir, steps, *more):
    process = subprocess.Popen(
        command(workdir, 2, steps, *more), env=ALONE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    deadline = time.monotonic() + 200
    while len(checkpoint.steps(workdir / "checkpoints")) < 2 and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)
    children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True)
    return process, [int(child) for child in children.stdout.split()]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("whole")
    status, said = run(workdir, 2, 1500)
    assert status == 0, said
    assert "2 x cpu of 2 processes" in said and said.count("done, with") == 1  # one process speaks
    assert [line["step"] for line in log.read(workdir) if "generator/loss" in line] == [*range(100, 1501, 100)]
    return workdir


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 4])
def test_the_number_of_processes_changes_nothing(tmp_path, processes):
    for name, count in (("one", 0), ("several", processes)):
        status, said = run(tmp_path / name, count, 5)
        assert status == 0, said
    # Adam turns rounding into steps of its own size; five of them at 1e-3 stay far below what another batch would do
    one, several = (final(tmp_path / name) for name in ("one", "several"))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-3), one.params, several.params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), one.stats, several.stats)


@pytest.mark.slow
def test_a_process_killed_in_mid_run_is_started_again_and_the_run_ends_as_though_it_had_not_been(undisturbed, tmp_path):
    launcher, (_, second) = start_and_wait_for_a_checkpoint(tmp_path, 1500)
    os.kill(second, signal.SIGKILL)
    said = launcher.communicate(timeout=300)[0]
    assert launcher.returncode == 0, said
    assert re.search(
        r"process 1 was killed by SIGKILL\n.*restarting all 2 from the last checkpoint \(restart 1 of 3\)", said
    )
    assert "continues from step" in said
    jax.tree.map(np.testing.assert_array_equal, final(tmp_path), final(undisturbed))


@pytest.mark.slow
def test_sigterm_to_one_process_makes_all_save_at_one_step_and_the_run_goes_on_exactly(undisturbed, tmp_path):
    launcher, (_, second) = start_and_wait_for_a_checkpoint(tmp_path, 1500)
    os.kill(second, signal.SIGTERM)
    said = launcher.communicate(timeout=120)[0]
    assert launcher.returncode == 0, said
    (step,) = re.findall(r"stopped by SIGTERM at step (\d+) and saved; the same command continues", said)
    assert int(step) == checkpoint.steps(tmp_path / "checkpoints")[-1] < 1500
    status, said = run(tmp_path, 2, 1500)
    assert status == 0 and f"continues from step {step}" in said, said
    jax.tree.map(np.testing.assert_array_equal, final(tmp_path), final(undisturbed))


@pytest.mark.slow
def test_sigterm_is_heeded_also_where_every_call_ends_in_a_checkpoint(tmp_path):
    # Orbax asks about preemption too, by the step that it saves, and both must count alike
    launcher, (_, second) = start_and_wait_for_a_checkpoint(tmp_path, 1500, "--save-every", "20")
    os.kill(second, signal.SIGTERM)
    said = launcher.communicate(timeout=120)[0]
    assert launcher.returncode == 0, said
    assert re.search(r"stopped by SIGTERM at step \d+ and saved", said), said
    assert checkpoint.steps(tmp_path / "checkpoints")[-1] < 1500


@pytest.mark.slow
def test_without_a_launcher_a_dead_process_is_noticed_and_the_others_end(tmp_path):
    settings = {"GAN_JAX_COORDINATOR": f"127.0.0.1:{free_port()}", "GAN_JAX_PROCESSES": "2"}
    both = [
        subprocess.Popen(
            command(tmp_path, 0, 10**6),
            env=ALONE | settings | {"GAN_JAX_PROCESS": str(index)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for index in (0, 1)
    ]
    deadline = time.monotonic() + 200
    while not checkpoint.steps(tmp_path / "checkpoints") and time.monotonic() < deadline:
        time.sleep(0.1)
    both[1].kill()
    began = time.monotonic()
    try:
        assert both[0].wait(60) != 0
        assert time.monotonic() - began < 20
    finally:
        for process in both:
            process.kill()
            process.wait()


@pytest.mark.slow
def test_what_fails_by_itself_is_not_repeated(tmp_path):
    status, said = run(tmp_path, 2, 5, "--batch-size", "15")
    assert status == 1 and "batch_size=15 is not divisible by 2 devices" in said
    assert "again" not in said


@pytest.fixture
def own_signals():
    """Undoes what the launcher does to this process's signals."""
    former = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup has it ignored
    yield
    for number, handler in former.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("os.kill(os.getppid(), signal.SIGHUP); time.sleep(60)", 128 + signal.SIGTERM),  # passed on, not died of
        ("sys.exit(130)", 130),  # Ctrl-C to one process
        ("signal.signal(signal.SIGINT, signal.SIG_DFL); os.kill(os.getpid(), signal.SIGINT)", 130),
    ],
)
def test_what_was_asked_to_end_is_not_started_again(own_signals, capfd, code, status):
    with pytest.raises(SystemExit) as ended:
        main((sys.executable, "-c", f"import os, signal, sys, time; {code}"), processes=1)
    assert ended.value.code == status and "again" not in capfd.readouterr().err


def test_a_process_is_told_when_its_launcher_ends(monkeypatch):
    code = "import os, stat; exit(not stat.S_ISFIFO(os.fstat(int(os.environ['GAN_JAX_LAUNCHER'])).st_mode))"
    assert launch._run([sys.executable, "-c", code], 1, 0, []) is None
    pipe, held = os.pipe()
    killed = queue.Queue()
    monkeypatch.setenv("GAN_JAX_LAUNCHER", str(pipe))
    monkeypatch.setattr(os, "kill", lambda *told: killed.put(told))
    cluster._end_with_launcher()
    with pytest.raises(queue.Empty):
        killed.get(timeout=0.1)
    os.close(held)
    assert killed.get(timeout=10) == (os.getpid(), signal.SIGTERM)
    os.close(pipe)


@pytest.mark.slow
def test_a_launcher_that_is_killed_leaves_no_process_behind(tmp_path):
    launcher, _ = start_and_wait_for_a_checkpoint(tmp_path, 10**6)
    launcher.kill()
    said = launcher.communicate(timeout=100)[0]  # returns when the others have ended too, which write there
    assert re.search(r"stopped by SIGTERM at step \d+ and saved", said), said


@pytest.mark.slow
def test_an_interrupt_of_one_process_makes_all_save_and_end(tmp_path):
    launcher, (_, second) = start_and_wait_for_a_checkpoint(tmp_path, 10**6)
    os.kill(second, signal.SIGINT)
    said = launcher.communicate(timeout=100)[0]
    assert re.search(r"stopped by SIGTERM at step \d+ and saved", said) and "again" not in said, said


@pytest.mark.parametrize(("host", "bound"), [("127.0.0.1", "127.0.0.1:1"), ("localhost", "localhost:1"), ("b", None)])
def test_a_coordinator_on_this_machine_alone_listens_to_no_other(monkeypatch, host, bound):
    told = {}
    monkeypatch.setattr(jax.distributed, "initialize", lambda **options: told.update(options))
    for name, value in (("COORDINATOR", f"{host}:1"), ("PROCESSES", "2"), ("PROCESS", "0")):
        monkeypatch.setenv(f"GAN_JAX_{name}", value)
    cluster.join()
    assert told["coordinator_address"] == f"{host}:1" and told.get("coordinator_bind_address") == bound


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_that_ask_to_end_are_noted(own_signals, number):
    with signals.noted() as received:
        os.kill(os.getpid(), number)
        assert received == [number]


def test_a_signal_noted_before_the_first_iteration_ends_the_program_at_once(own_signals):
    with signals.noted() as received:
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(SystemExit) as stopped, signals.at_once(received):
            pytest.fail("continued")
    assert stopped.value.code == 128 + signal.SIGINT


def test_a_signal_to_one_of_several_processes_is_passed_on_as_sigterm(own_signals, monkeypatch):
    terminated = []
    monkeypatch.setattr(cluster, "several", lambda: True)
    signal.signal(signal.SIGTERM, lambda number, frame: terminated.append(number))  # as JAX does
    with signals.noted() as received:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGHUP)
    assert terminated == [signal.SIGTERM] * 2 and not received


def test_what_nohup_ignores_stays_ignored(own_signals):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with signals.noted() as received:
        os.kill(os.getpid(), signal.SIGHUP)
    assert not received and signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


def test_restarts_are_bounded_and_a_run_that_is_restarted_is_told(own_signals, tmp_path, capfd):
    note = tmp_path / "note"
    code = f"import os; open({str(note)!r}, 'a').write(os.environ['GAN_JAX_RESTARTS']); os.kill(os.getpid(), 9)"
    with pytest.raises(SystemExit, match="gave up after 2 restarts"):
        main((sys.executable, "-c", code), processes=1, restarts=2)
    assert Path(note).read_text() == "012"
    assert capfd.readouterr().err.count("process 0 was killed by SIGKILL") == 3
