"""Stage 8 as a command on a tiny dump, for the tests of this folder."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "test/train"))  # tiny_dump

from tiny_dump import TAG  # noqa: E402

QUIET = {"valid_interval_steps": 0, "intermediate_interval_steps": 6}  # of the recipe: few files


def words(dump, exp, recipe, *options):
    """The command's own words; its log lies beside the experiment."""
    return [
        "--conf", str(recipe), "--dump", str(dump), "--labels_tag", TAG, "--exp", str(exp),
        "--log_dir", str(recipe.parent / "log"), *options,
    ]  # fmt: skip
