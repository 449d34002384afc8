"""What a user gets wrong in stage 8: one line that says what, where and what to do; status 1.

The command runs in this process as the one rank of a job (RANK=0), which is what torchrun starts.
"""

import functools
import json
import resource
import shutil
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

from pretrain_runs import QUIET, words  # noqa: E402
from tiny_dump import TAG, make_dump, write_recipe  # noqa: E402

from espnet2.bin import pretrain  # noqa: E402
from espnet2.data.config import PlanConfig  # noqa: E402
from espnet2.data.index import Index  # noqa: E402
from espnet2.data.plan import build_plan  # noqa: E402
from espnet2.train.checkpoint import saved_steps, step_path  # noqa: E402
from espnet2.utils.cli import exit_status  # noqa: E402

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def dump(tmp_path_factory):
    return make_dump(tmp_path_factory.mktemp("dump"))


@pytest.fixture
def refuse(dump, tmp_path, capfd, monkeypatch):
    """A run that is to be refused: returns the last line after ``pretrain: error: ``."""

    def run(*options, exp=tmp_path / "exp", dump=dump, recipe=None, as_rank=True, status=1, **keys):
        monkeypatch.setattr(sys, "argv", ["pretrain.py"])
        monkeypatch.delenv("RANK", raising=False)
        if as_rank:
            monkeypatch.setenv("RANK", "0")
        recipe = recipe or write_recipe(tmp_path / "recipe.yaml", **keys)
        capfd.readouterr()
        command = words(dump, exp, recipe, *options)
        assert exit_status(functools.partial(pretrain.main, command)) == status
        said = capfd.readouterr().err
        assert "Traceback" not in said, said
        if status == 0:
            return said
        *before, last = said.splitlines()
        assert last.startswith("pretrain: error: "), said
        assert "error: " not in "".join(before), said
        return last.removeprefix("pretrain: error: ")

    return run


@pytest.fixture
def copy(dump, tmp_path):
    """A copy of the dump, to be damaged."""
    return shutil.copytree(dump, tmp_path / "copy")


def edit(path, **changes):
    """Replace keys of a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def cut(path):
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ({"max_step": 9}, "section pretrain: max_step is not a known key; did you mean "
         "'max_steps'?"),
        ({"phases": [{"maskprob": 0.5}]}, "section pretrain: phases[0]: maskprob is not a known "
         "key; did you mean 'mask_prob'?"),
        ({"optim_conf": {"epss": 1.0}}, "section pretrain: optim_conf: "
         "epss is not a known key; did you mean 'eps'?"),
        ({"encoder_conf": {"num_blcks": 2}}, "section pretrain: encoder_conf: num_blcks is not a "
         "known key; did you mean 'num_blocks'?"),
        ({"phases": [{"until": 4}, {"until": 2}, {}]}, "training cannot start: phases[1].until "
         "must be above 4, got 2"),
        ({"phases": [{"until": 4}, {"until": 7}, {}]}, "training cannot start: phases[2] begins "
         "at step 7, max_steps is 6: it is never reached; drop it or raise max_steps"),
        ({"phases": [{"until": 4}]}, "training cannot start: phases end at step 4, max_steps is "
         "6: drop the last phase's until"),
        ({"phases": [{}, {}]}, "training cannot start: phases[0].until is required: only the last "
         "phase runs to the end"),
        ({"phases": {"until": 3}}, "section pretrain: phases must be a list, got {'until': 3} "
         "(dict)"),
        ({"max_steps": "six"}, "section pretrain: max_steps must be int, got 'six' (str)"),
        ({"optim_conf": {"lr": "3e-4"}}, "section pretrain: optim_conf: lr must be float, got "
         "'3e-4' (str); YAML reads 3e-4 as text, write 3.0e-4 or 0.0003"),
        ({"loss_conf": {"final_dim": 8, "num_classes": 7}}, "section pretrain: "
         "loss_conf.num_classes is 7, the labels have 4 clusters: these are another codebook's "
         "labels"),
    ],
)  # fmt: skip
def test_a_setting_that_cannot_be_is_named_with_its_place(refuse, tmp_path, keys, line):
    assert refuse(**keys) == line
    assert not (tmp_path / "exp").exists()


def test_a_recipe_without_the_section_or_no_recipe_is_refused(refuse, tmp_path):
    recipe = tmp_path / "other.yaml"
    recipe.write_text("seed: 1\n")
    assert refuse(recipe=recipe) == "section pretrain: max_steps is required"
    recipe.write_text("seed: 1\npretrain: [1]\n")
    assert refuse(recipe=recipe).startswith(f"{recipe}: pretrain must be a mapping")
    recipe.write_text("seed: 1\npretrain: {a: [1\n")
    assert refuse(recipe=recipe).startswith(f"{recipe}:3: not valid YAML: ")
    recipe.unlink()
    assert refuse(recipe=recipe) == f"{recipe}: no such configuration file"


@pytest.mark.parametrize("name", ["train", "valid"])
def test_missing_or_cut_labels_are_named(refuse, copy, name):
    (labels,) = (copy / name / "labels" / TAG).glob("*.u16")
    size = labels.stat().st_size
    cut(labels)
    assert refuse(dump=copy) == (
        f"{labels}: cut short: {size // 2} bytes, {size // 2} frames need {size}; delete it and "
        "run the label stage again"
    )
    labels.unlink()
    assert refuse(dump=copy) == f"{labels}: missing; run the label stage again"
    shutil.rmtree(labels.parent)
    assert refuse(dump=copy) == (
        f"{labels.parent}: no labels.json, so no complete labels; run the label stage"
    )
    assert refuse(dump=copy, as_rank=False) == (
        f"pretrain needs {labels.parent}/labels.json, which is missing; run its stage first"
    )


def test_labels_of_another_index_or_codebook_are_refused(refuse, copy):
    train, valid = (copy / name / "labels" / TAG for name in ("train", "valid"))
    edit(valid / "labels.json", codebook_sha256="ab")
    assert refuse(dump=copy) == (
        f"{train} and {valid} hold labels of two codebooks; run the label stage for both"
    )
    edit(train / "labels.json", index_sha256="ab")
    assert refuse(dump=copy) == (
        f"{train}: labels of another index than {copy}/train/index.arrow; run the label stage again"
    )


def test_a_plan_that_is_not_there_of_another_index_or_empty_is_refused(refuse, copy):
    plan = copy / "train/plan"
    config = PlanConfig(batch_bins=640_000, batch_multiple=2, bucket_s=[3.0])
    build_plan(copy / "train/index.arrow", plan, config, seed=3)
    empty = (
        f"{plan}: an empty plan: no utterance is long enough for a batch; give the set more audio, "
        "or lower plan.bucket_s or plan.pack_s, and run stage 7 (plan) again"
    )
    assert refuse(dump=copy, **QUIET) == empty
    assert refuse(dump=copy, **QUIET, num_workers=1) == empty  # said by another process
    edit(plan / "plan.json", index_sha256="ab")
    assert refuse(dump=copy) == (
        f"{plan}: planned for another index than {copy}/train/index.arrow; run stage 7 (plan) again"
    )
    (plan / "plan.json").unlink()
    assert refuse(dump=copy) == f"{plan}: holds no plan.json; run stage 7 (plan) first"


def test_more_parts_than_rows_in_a_batch_are_refused(refuse, dump):
    assert refuse(accum_grad=3) == (
        f"{dump}/train/plan: batches of 4 rows (the bucket of 0.4 s holds 7) cannot be shared "
        "among 1 ranks x 3 accumulation steps; set plan.batch_multiple to a multiple of 3 and run "
        "stage 7 (plan) again"
    )


def test_a_file_in_place_of_the_folder_and_a_full_one_are_refused(refuse, tmp_path):
    (tmp_path / "file").touch()
    way_out = "a file is where a folder should be; move it away, or choose another folder"
    assert refuse(exp=tmp_path / "file") == f"{tmp_path}/file: File exists: {way_out}"
    assert refuse(exp=tmp_path / "file/exp") == f"{tmp_path}/file/exp: Not a directory: {way_out}"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (80_000, limits[1]))
    try:
        line = refuse(**QUIET)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    checkpoints = tmp_path / "exp/checkpoints"
    assert line == (
        f"{checkpoints}/step_0000002.pth: File too large: it is larger than files may be here; "
        "raise that limit (ulimit -f)"
    )
    assert not list(checkpoints.iterdir())


@pytest.fixture(scope="module")
def stopped(dump, tmp_path_factory):
    """An experiment of four steps of six."""
    place = tmp_path_factory.mktemp("stopped")
    recipe = write_recipe(place / "recipe.yaml", **QUIET)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RANK", "0")
        options = ("--set", "pretrain.max_steps=4")
        assert pretrain.main(words(dump, place / "exp", recipe, *options)) == 0
    return place / "exp"


def test_another_recipe_is_refused_with_what_differs(refuse, stopped):
    assert refuse(exp=stopped, **QUIET, grad_clip=2.0, optim_conf={"lr": 0.5}) == (
        f"{stopped}/config.yaml was made with other settings (grad_clip: was 5.0, now 2.0; "
        "optim_conf.lr: was 0.003, now 0.5); restore them, remove that folder, or choose another "
        "(--ssl_tag)"
    )


def test_a_checkpoint_of_another_model_or_program_is_refused(refuse, stopped, tmp_path):
    exp = shutil.copytree(stopped, tmp_path / "exp")
    path = step_path(exp / "checkpoints", 4)
    state = torch.load(path, weights_only=True)
    name = "preencoder.linear_out.weight"
    torch.save({**state, "model": {**state["model"], name: torch.zeros(3, 8)}}, path)
    assert refuse(exp=exp, **QUIET) == (
        f"{path} is of another model: {name} has shape (3, 8) in it and (16, 8) in this one"
    )
    torch.save(state["model"], path)
    assert refuse(exp=exp, **QUIET).startswith(f"{path} is no state of a run to go on from: it ")


def test_a_cut_checkpoint_goes_back_and_the_only_one_is_not_forgotten(refuse, stopped, tmp_path):
    exp = shutil.copytree(stopped, tmp_path / "exp")
    folder = exp / "checkpoints"
    assert saved_steps(folder) == [2, 4]
    cut(step_path(folder, 4))
    said = refuse(exp=exp, status=0, **QUIET, max_steps=4)
    assert f"{folder}/step_0000004.pth is cut or damaged; going back to the one before" in said
    assert f"resuming from {folder}/step_0000002.pth" in said
    again, before = (torch.load(step_path(f / "checkpoints", 4)) for f in (exp, stopped))
    assert all(torch.equal(again["model"][name], before["model"][name]) for name in again["model"])
    for step in saved_steps(folder):
        cut(step_path(folder, step))
    assert refuse(exp=exp, **QUIET) == (
        f"{folder}/step_0000002.pth is cut or damaged, and there is no checkpoint before it; put a "
        f"whole one there, or remove {folder} to train again from the first step"
    )


def spoil(dump, *rows):
    """Overwrite the audio of these rows of the training set."""
    index = Index.open(dump / "train")
    for row in rows:
        with open(dump / index.shards[row], "r+b") as shard:
            shard.seek(int(index.offsets[row]))
            shard.write(bytes(int(index.nbytes[row])))
    return index


def test_unreadable_audio_is_replaced_and_listed_and_too_much_of_it_ends_the_run(
    refuse, copy, tmp_path
):
    index = spoil(copy, 3)
    refuse(dump=copy, status=0, num_workers=1)
    (table,) = (tmp_path / "exp/unreadable").iterdir()
    listed = table.read_text()
    assert listed.count("train03\tnot a FLAC record") >= 1
    assert listed.count("\ttrain") == listed.count("\ttrain03\t")
    line = refuse(dump=copy, exp=tmp_path / "strict", max_unreadable_ratio=0.0)
    folder = tmp_path / "strict/unreadable"
    assert line.endswith(
        "could not be read (max_unreadable_ratio is 0); they are listed in "
        f"{folder}: mend the shards and run the same command again"
    )
    assert (folder / "rank_000.tsv").is_file()
    shutil.rmtree(copy / Path(index.shards[0]).parent)
    assert refuse(dump=copy, exp=tmp_path / "gone").endswith(
        f"see that the shards under {copy} are there and whole, and run the same command again"
    )
