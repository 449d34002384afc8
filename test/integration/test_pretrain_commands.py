"""Stage 8 refused as its user sees it: the command with its processes and ranks, and bad disks."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from pretrain_runs import QUIET, ROOT, words  # noqa: E402
from tiny_dump import make_dump, write_recipe  # noqa: E402

pytestmark = pytest.mark.integration
PRETRAIN = [sys.executable, "-m", "espnet2.bin.pretrain"]
UNSHARE = ["unshare", "--map-root-user", "--mount", "sh", "-c"]


@pytest.fixture(scope="module")
def dump(tmp_path_factory):
    return make_dump(tmp_path_factory.mktemp("dump"))


def command(options):
    """The user's command in processes of its own."""
    return subprocess.run(
        [*PRETRAIN, *options], cwd=ROOT, capture_output=True, text=True, check=False
    )


def reason_of(result):
    """Why the command failed: its second last line; the last one says how to redo it."""
    said = result.stderr
    assert result.returncode == 1, said
    assert "Traceback" not in said, said
    failed, redo = said.splitlines()[-2:]
    assert "redo it alone: " in redo
    before, _, reason = failed.partition(": pretrain failed: work: error: ")
    assert before.endswith(" pretrain")
    return reason


def test_the_users_own_command_ends_with_the_reason_and_how_to_redo_it(dump, tmp_path):
    recipe = write_recipe(tmp_path / "recipe.yaml", max_step=9)
    result = command(words(dump, tmp_path / "exp", recipe))
    line = "section pretrain: max_step is not a known key; did you mean 'max_steps'?"
    assert reason_of(result) == line
    assert len(result.stderr.splitlines()) == 3  # as it comes, then as the reason of the unit


def test_more_ranks_than_rows_in_a_batch_are_refused_once_for_all_ranks(dump, tmp_path):
    recipe = write_recipe(tmp_path / "recipe.yaml")
    result = command(words(dump, tmp_path / "exp", recipe, "--ranks", "3"))
    assert reason_of(result) == (
        f"{dump}/train/plan: batches of 4 rows (the bucket of 0.4 s holds 7) cannot be shared "
        "among 3 ranks x 1 accumulation steps; set plan.batch_multiple to a multiple of 3 and run "
        "stage 7 (plan) again"
    )


def can_mount():
    """Whether this user may mount a file system in a namespace of his own."""
    if shutil.which("unshare") is None:
        return False
    probe = [*UNSHARE, "mount -t tmpfs none /mnt"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not can_mount(), reason="no mounts for this user")
def test_a_read_only_and_a_full_disk_are_said_and_the_run_goes_on_when_there_is_room(
    dump, tmp_path
):
    exp, recipe = tmp_path / "exp", write_recipe(tmp_path / "recipe.yaml", **QUIET)
    exp.mkdir()
    script = f"""
        stage() {{ {shlex.join([*PRETRAIN, *words(dump, exp, recipe)])}; }}
        mount -t tmpfs -o ro none "$EXP" || exit 9
        stage && exit 8
        mount -o remount,rw,size=200k "$EXP" || exit 7
        stage && exit 6
        ls "$EXP/checkpoints"
        mount -o remount,size=9m "$EXP" && stage
    """
    environment = {**os.environ, "EXP": str(exp), "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        [*UNSHARE, script],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    said = result.stderr
    assert result.returncode == 0, said
    assert "Traceback" not in said
    failed = [line.partition("failed: work: error: ")[2] for line in said.splitlines()]
    assert [line for line in failed if line] == [
        f"{exp}/.pretrain.done.lock: Read-only file system: make that place writable, or choose "
        "another",
        f"the disk is full while writing {exp}/checkpoints/step_0000004.pth; free some space and "
        "run the same command again",
    ]
    assert result.stdout == "step_0000002.pth\n"
    assert f"resuming from {exp}/checkpoints/step_0000002.pth" in said
