"""The processes that tests start can be interrupted, however the run itself was started."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_a_run_in_the_background_of_a_shell_uses_the_default_signals() -> None:
    """The shell ignores SIGINT and SIGQUIT for `command &`, and a child inherits that."""
    child = "import signal; print(signal.getsignal(signal.SIGINT).__name__, signal.getsignal(signal.SIGQUIT).name)"
    run = f"import tests.conftest, subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}], check=True)"
    done = subprocess.run(
        ["sh", "-c", "trap '' INT QUIT HUP; exec \"$@\"", "sh", sys.executable, "-c", run],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.split() == ["default_int_handler", "SIG_DFL"], done.stderr
