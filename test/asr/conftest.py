"""Lets the tests below import ``tiny_asr``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
