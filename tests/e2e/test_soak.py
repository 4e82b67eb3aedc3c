"""A few seconds of tests/soak/run, which is meant for minutes."""

import os
import pathlib
import subprocess
import sys

RUN = pathlib.Path(__file__).resolve().parents[1] / "soak" / "run"


def test_ten_seconds(tmp_path):
    done = subprocess.run(
        [sys.executable, RUN, "--seconds", "10", "--folder", tmp_path], capture_output=True, text=True, timeout=150,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
