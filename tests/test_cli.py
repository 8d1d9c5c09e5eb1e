import os
import subprocess
import sys

CODE = """
from gan_jax.cli import cli

def main():
    for _ in range(20_000):
        print("FID 8.96 ± 0.1", flush=True)
    print("done", file=open("done", "w"))

cli(main)
"""


def run(folder, command, **environment):
    (folder / "own.py").write_text(CODE)
    environment = os.environ | environment
    return subprocess.run(command, shell=True, cwd=folder, env=environment, capture_output=True, text=True)


def test_output_that_nobody_reads_ends_nothing(tmp_path):
    made = run(tmp_path, f"{sys.executable} own.py 2>&1 | head -1")
    assert made.stdout.count("\n") == 1 and not made.stderr
    assert (tmp_path / "done").exists()


def test_a_character_that_the_terminal_has_not_ends_nothing(tmp_path):
    made = run(tmp_path, f"{sys.executable} own.py", PYTHONIOENCODING="ascii")
    assert made.returncode == 0 and made.stdout.startswith("FID 8.96 ? 0.1"), made.stderr
