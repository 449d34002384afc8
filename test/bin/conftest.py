"""Lets the tests of this folder import the sets that ``test/tokens`` makes."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tokens"))
