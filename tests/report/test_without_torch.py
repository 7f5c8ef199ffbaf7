from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path


def test_the_command_makes_the_report_of_a_suite_without_torch(small_suite: Callable[..., Path]) -> None:
    folder = small_suite()
    program = (
        "import sys; from reasonenv.cli import main\n"
        "print(main(['report', sys.argv[1]]), 'torch' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program, folder], capture_output=True, text=True)
    assert done.stderr == "0 False\n"
    assert (folder / "report.html").is_file()
