"""A holdstill that writes down how long each command took that it ran: ``python clocked.py FILE WORDS…``."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from holdstill.cli import main
from holdstill.host import real

_run_command = real.run_command


def clocked(file: Path) -> None:
    """Have what runs commands tell how many seconds that took, a line each."""

    def run_command(*arguments: Any, **named: Any) -> Any:
        began = time.perf_counter()
        try:
            return _run_command(*arguments, **named)
        finally:
            with file.open("a") as told:
                told.write(f"{time.perf_counter() - began}\n")

    real.run_command = run_command


if __name__ == "__main__":
    clocked(Path(sys.argv[1]))
    sys.argv = ["holdstill", *sys.argv[2:]]
    main()
