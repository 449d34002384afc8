"""Lets the tests of this folder import helpers: its own, and those of other tests."""

import sys
from pathlib import Path

FOLDERS = ("peer", "train", "tokens", "s3prl")
sys.path += [str(Path(__file__).parents[1] / folder) for folder in FOLDERS]
