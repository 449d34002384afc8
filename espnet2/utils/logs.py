"""One line to stderr: time, program, message."""

import sys
import time
from pathlib import Path


def log(message: str) -> None:
    """Print ``message`` to stderr, with the time and the name of the running program."""
    program = Path(sys.argv[0]).stem
    print(f"{time.strftime('%F %T')} {program}: {message}", file=sys.stderr, flush=True)
