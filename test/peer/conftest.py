"""Lets the tests of this folder import ``tiny_dump`` of the training tests."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "train"))
