"""Lets the tests here import their shared modules, and a copy of the checkout to write in."""

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from documents import ROOT, TRACKED  # noqa: E402  it lies in the folder above


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of every tracked file, for blocks that write beside them."""
    folder = tmp_path_factory.mktemp("copy") / "a checkout"
    for path in TRACKED:
        if (ROOT / path).is_file():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / path, folder / path)
    return folder
