"""A complete ML-SUPERB matrix through run.sh on a tiny tree: killed, resumed, and failing."""

import random
import shutil
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from superb_runs import (  # noqa: E402
    ROOT,
    cell_folders,
    kill,
    make_inputs,
    run,
    scores,
    start,
    until,
)

from espnet2.train.checkpoint import load_tensors  # noqa: E402

pytestmark = pytest.mark.integration

TASKS = ("joint", "lid", "mono-deu-swc", "mono-swe-NST", "multi")
CELLS = [f"{task}_10min_lr{rate}_seed1" for task in TASKS for rate in ("0.001", "0.01")]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return make_inputs(tmp_path_factory.mktemp("superb inputs"))


@pytest.fixture(scope="module")
def whole(inputs, tmp_path_factory):
    """A run that nobody disturbs."""
    place = tmp_path_factory.mktemp("matrix") / "my recipe"
    status, said = run(inputs, place)
    assert status == 0, "\n".join(said)
    return place


@pytest.fixture
def prepared(whole, tmp_path):
    """A recipe folder in which stage 10 is done."""
    place = tmp_path / "recipe"
    shutil.copytree(whole / "dump", place / "dump")
    return place


def test_one_command_trains_and_scores_every_cell(whole):
    assert sorted(cell_folders(whole)) == CELLS
    rows = {row["task"]: row for row in scores(whole)["rows"]}
    assert sorted(rows) == ["joint", "lid", "mono", "multi"]
    assert "mono_cer" in rows["mono"]["test"]
    assert scores(whole)["failed"] == []
    for name in ("RESULTS.md", "superb.json", "report.html"):
        assert (whole / "exp/report" / name).is_file()


def test_a_language_is_tested_on_its_corpora_and_chosen_on_one(whole):
    folder = cell_folders(whole)["mono-swe-NST_10min_lr0.01_seed1"]
    assert corpora_of(folder / "hyp/dev.tsv") == {"NST_swe"}
    assert corpora_of(folder / "hyp/test.tsv") == {"NST_swe", "fleurs_swe"}
    row = next(row for row in scores(whole)["rows"] if row["task"] == "mono")
    assert "dev" in row["lr_chosen_on"]


def corpora_of(path):
    """Corpus and language in the ids of a table of hypotheses."""
    lines = path.read_text().splitlines()[1:]
    return {line.split("\t")[0].rpartition("_")[0] for line in lines}


def test_a_matrix_killed_at_random_moments_ends_with_the_same_bits(inputs, whole, tmp_path):
    place, chance, resumed = tmp_path / "killed", random.Random(7), 0
    moments = [
        lambda: list(place.glob("dump/superb/*/*/.rows.done")),
        lambda: list(place.glob("exp/superb/mine/features/10min_train/features.json")),
        lambda: halfway(place),
        lambda: trained(place) >= 3 and halfway(place),
        lambda: len(list(place.glob("exp/superb/mine/*/score.json"))) >= 4,
    ]
    for moment in moments:
        process = start(inputs, place)
        until(moment, process)
        time.sleep(chance.uniform(0, 0.5))
        kill(process)
        resumed += bool(halfway(place))
    assert resumed >= 1  # a cell had a checkpoint and no model yet
    status, said = run(inputs, place)
    assert status == 0, "\n".join(said)
    assert scores(place) == scores(whole)
    assert weights(place) == weights(whole)
    assert hypotheses(place) == hypotheses(whole)


def halfway(place):
    """Cells that have a checkpoint and are not trained."""
    folders = cell_folders(place).values()
    begun = [folder for folder in folders if list(folder.glob("checkpoints/step_*.pth"))]
    return [folder for folder in begun if not (folder / "model.pth").exists()]


def trained(place):
    """How many cells are trained."""
    return sum((folder / "model.pth").exists() for folder in cell_folders(place).values())


def weights(place):
    """Every weight of every cell, as plain numbers."""
    return {
        name: {k: v.tolist() for k, v in load_tensors(folder / "model.pth")["model"].items()}
        for name, folder in cell_folders(place).items()
    }


def hypotheses(place):
    """What each cell said to each utterance."""
    return {
        (name, path.name): path.read_text()
        for name, folder in cell_folders(place).items()
        for path in sorted((folder / "hyp").iterdir())
    }


def test_what_fails_is_marked_and_does_not_stop_the_rest(inputs, prepared):
    broken = prepared / "broken"
    shutil.copytree(inputs / "export", broken)
    checkpoint = next(broken.glob("*.pth"))
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    status, said = run(
        inputs, prepared, "--stage", "11",
        "--set", "finetune.encoders.fbank.kind=fbank",
        "--set", f"finetune.encoders.mine={{kind: export, path: '{broken}'}}",
        "--set", "finetune.tasks=[lid]", "--set", "finetune.learning_rates=[0.001, 1000000]",
    )  # fmt: skip
    assert status == 1
    assert said[-1].startswith("run.sh: error: cells failed; they are named above")
    failed = {one["cell"]: one["reason"] for one in scores(prepared)["failed"]}
    diverged = "fbank/lid_10min_lr1e+06_seed1"
    assert sorted(failed) == [
        diverged, "mine/lid_10min_lr0.001_seed1", "mine/lid_10min_lr1e+06_seed1",
    ]  # fmt: skip
    assert "the cell diverged; lower its learning rate" in failed[diverged]
    assert "its features failed: " in failed["mine/lid_10min_lr0.001_seed1"]
    assert [row["lr"] for row in scores(prepared)["rows"]] == ["0.001"]
    results = (prepared / "exp/report/RESULTS.md").read_text()
    assert diverged in results
    status, said = run(inputs, prepared, "--stage", "11", "--set", "finetune.tasks=[lid]",
                       "--encoders", "fbank", "--set", "finetune.encoders.fbank.kind=fbank",
                       "--set", "finetune.learning_rates=[0.001]")  # fmt: skip
    assert status == 0  # without those that fail it is a run like any other
    assert scores(prepared)["failed"] == []


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (
            ["--set", "finetune.monolingual=[swe/NST, xty/mexico-el]"],
            "finetune: error: dump/superb/10min/train has no utterance for mono-xty-mexico-el: "
            "give the whole tree, or leave out what it lacks in finetune.monolingual or ",
        ),
        (
            ["--set", "finetune.tasks=[mono, asr]"],
            "finetune: task asr is not one of mono, multi, lid, joint",
        ),
        (
            ["--export", "/nowhere"],
            "preflight: error: encoder mine: /nowhere holds no config.yaml of an exported model; "
            "give --export FOLDER, or choose others with --encoders",
        ),
        (
            ["--encoders", "hubert"],
            "finetune: only_encoders (--encoders): hubert is not one of mine",
        ),
        (
            ["--stage", "10", "--data", "/nowhere"],
            "preflight: error: /nowhere is not a folder; give the root of an ML-SUPERB tree",
        ),
    ],
)
def test_what_cannot_run_is_one_line_before_any_work(inputs, prepared, options, line):
    status, said = run(inputs, prepared, "--stage", "11", "--stop_stage", "11", *options)
    assert status == 1
    errors = [one for one in said if "error: " in one]
    assert len(errors) == 1
    assert line in errors[0]
    assert not (prepared / "exp/superb").exists()


def test_a_folder_that_is_no_tree_is_refused_by_name(inputs, tmp_path):
    status, said = run(inputs, tmp_path / "recipe", "--data", str(ROOT / "conf"))
    assert status == 1
    assert any("not an ML-SUPERB tree" in line for line in said)
