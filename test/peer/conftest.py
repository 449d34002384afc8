"""Lets the tests of this folder import helpers: its own, the training and the token tests'."""

import sys
from pathlib import Path

sys.path += [str(Path(__file__).parents[1] / folder) for folder in ("peer", "train", "tokens")]
