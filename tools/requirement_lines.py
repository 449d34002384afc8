#!/usr/bin/env python3
"""Print the requirements of setup.py for one end of their ranges, one a line.

Usage: tools/requirement_lines.py lowest|highest

``lowest`` turns ``name>=1.2,<3`` into ``name==1.2``.
"""

import ast
import re
import sys
from pathlib import Path

SETUP = Path(__file__).resolve().parents[1] / "setup.py"
LEFT_OUT = ("gpu", "s3prl", "wandb")  # another machine, another environment, another account


def requirements() -> list[str]:
    """Ranges of the package and of the extras that can be installed together."""
    lines: list[str] = []
    for node in ast.walk(ast.parse(SETUP.read_text())):
        if isinstance(node, ast.keyword) and node.arg == "install_requires":
            lines += ast.literal_eval(node.value)
        elif isinstance(node, ast.keyword) and node.arg == "extras_require":
            for name, extra in ast.literal_eval(node.value).items():
                lines += extra if name not in LEFT_OUT else []
    return [line for line in lines if not line.startswith("xeus[")]


def main() -> int:
    """Print them."""
    if sys.argv[1:] not in (["lowest"], ["highest"]):
        print(__doc__)
        return 0 if sys.argv[1:] in (["--help"], ["-h"]) else 2
    for line in requirements():
        print(re.sub(r">=([^,]+).*", r"==\1", line) if sys.argv[1] == "lowest" else line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
