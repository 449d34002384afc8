"""Lets the tests of this folder import its helpers, and gives them toy units to start."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder with the toy units' code on PYTHONPATH and a file for them to copy."""
    from toy_units import WORK

    (tmp_path / "unitwork.py").write_text(WORK)
    paths = os.pathsep.join([str(tmp_path), str(Path(__file__).resolve().parents[2])])
    monkeypatch.setenv("PYTHONPATH", paths)
    (tmp_path / "in.txt").write_text("ab")
    return tmp_path
