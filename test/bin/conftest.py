"""Lets the tests of this folder import what ``test/tokens`` and ``test/asr`` make."""

import sys
from pathlib import Path

for folder in ("tokens", "asr"):
    sys.path.append(str(Path(__file__).parents[1] / folder))
