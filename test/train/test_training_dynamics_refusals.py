"""bin.training_dynamics on damaged runs and on what does not belong together."""

import shutil

import pytest
from tiny_dump import TAG, make_dump
from tiny_dynamics import BLOCKS, arguments, study, train

from espnet2.bin.training_dynamics import main
from espnet2.data.labels import read_info, write_info
from espnet2.train.checkpoint import load_tensors, save_tensors, step_path
from espnet2.utils.cli import exit_status


@pytest.fixture(scope="module")
def dump(tmp_path_factory):
    return make_dump(tmp_path_factory.mktemp("dump"))


@pytest.fixture(scope="module")
def exp(dump, tmp_path_factory):
    """Checkpoints of steps 2, 4 and 6."""
    return train(dump, tmp_path_factory.mktemp("runs") / "exp", 6)


@pytest.fixture
def changed(exp, tmp_path):
    """A copy of the run, to be damaged."""
    return shutil.copytree(exp, tmp_path / "exp")


def refusal(capsys, *args):
    """The one line with which the command ends."""
    assert exit_status(lambda: main(arguments(*args))) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if ": error: " in line]
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize(("step", "damage"), [(4, "cut"), (4, "flipped"), (6, "flipped")])
def test_a_damaged_checkpoint_is_named_and_left_out(changed, dump, tmp_path, capsys, step, damage):
    path = step_path(changed / "intermediate", step)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(data[: len(data) // 2] if damage == "cut" else data)
    found = study(changed, dump, tmp_path / "out")
    assert f"{path} is cut or damaged; left out" in capsys.readouterr().err
    assert found["skipped"] == [str(path)]
    assert [row["step"] for row in found["checkpoints"]] == [s for s in (2, 4, 6) if s != step]
    assert found["reference"] == (6 if step == 4 else 4)
    assert f"Left out, cut or damaged: {path}." in (tmp_path / "out/dynamics.md").read_text()


def test_a_single_checkpoint_is_described_without_a_course(changed, dump, tmp_path):
    for step in (2, 4):
        step_path(changed / "intermediate", step).unlink()
    found = study(changed, dump, tmp_path / "out")
    assert found["checkpoints"][0]["reference"]["cka"] == [1.0] * BLOCKS
    page = (tmp_path / "out/dynamics.md").read_text()
    assert "With a single checkpoint there is no course to see" in page


def test_no_checkpoint_or_only_cut_ones_are_refused(changed, dump, tmp_path, capsys):
    for path in (changed / "intermediate").iterdir():
        path.write_bytes(path.read_bytes()[:1000])
    assert "every checkpoint is cut or damaged" in refusal(capsys, changed, dump, tmp_path)
    shutil.rmtree(changed / "intermediate")
    assert "holds no checkpoint; run the pretrain" in refusal(capsys, changed, dump, tmp_path)


def test_a_checkpoint_of_another_model_is_refused(changed, dump, tmp_path, capsys):
    path = step_path(changed / "intermediate", 4)
    content = load_tensors(path)
    content["model"] = {name: tensor[:1] for name, tensor in content["model"].items()}
    save_tensors(path, content)
    assert f"{path} is of another model" in refusal(capsys, changed, dump, tmp_path)


def test_labels_and_data_of_another_run_are_refused(exp, dump, tmp_path, capsys):
    other = shutil.copytree(dump, tmp_path / "dump")
    folder = other / "valid/labels" / TAG
    info = {**vars(read_info(folder)), "codebook_sha256": "0123456789abcdef"}
    write_info(folder, type(read_info(folder))(**info))
    said = refusal(capsys, exp, other, tmp_path / "out")
    assert f"{folder}: labels of codebook 0123456789ab, but {exp} was trained on" in said
    assert not (tmp_path / "out").exists()
    other = shutil.copytree(dump, tmp_path / "dump2")
    facts = other / "train/index.json"
    facts.write_text(facts.read_text().replace('"fingerprint": "', '"fingerprint": "f'))
    assert "is not the set that" in refusal(capsys, exp, other, tmp_path / "out")
    shutil.rmtree(other / "valid/labels")
    assert "run the label stage" in refusal(capsys, exp, other, tmp_path / "out")


def test_an_unknown_reference_is_refused_with_one_that_is_there(exp, dump, tmp_path, capsys):
    said = refusal(capsys, exp, dump, tmp_path, "--reference", "5")
    assert "--reference takes the step of one, such as 6" in said
