"""Checkpoints are whole or refused, and old ones go only when newer ones are good."""

import errno
import os
import resource

import pytest
import torch
from torch import nn

from espnet2.train.checkpoint import (
    is_whole,
    keep_newest,
    load_model_state,
    load_tensors,
    newest_whole,
    refuse_foreign,
    refuse_other_config,
    save_tensors,
    saved_steps,
    step_path,
)
from espnet2.utils.errors import CheckpointError, ConfigError


class Code:
    """Stands for an object that a checkpoint must not carry."""


def save_steps(folder, *steps):
    for step in steps:
        save_tensors(step_path(folder, step), {"step": step, "w": torch.arange(100.0)})


def cut(path):
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def test_a_saved_state_comes_back(tmp_path):
    save_steps(tmp_path, 7)
    state = load_tensors(step_path(tmp_path, 7))
    assert state["step"] == 7
    assert state["w"].tolist() == list(range(100))
    assert [path.name for path in tmp_path.iterdir()] == ["step_0000007.pth"]


def test_a_checkpoint_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    synced, sync = [], os.fsync

    def fsync(descriptor):
        synced.append((os.readlink(f"/proc/self/fd/{descriptor}"), saved_steps(tmp_path)))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    save_steps(tmp_path, 7)
    [(name, steps)] = synced
    assert name.startswith(f"{tmp_path}/.step_0000007.pth.")
    assert steps == []


def test_a_cut_checkpoint_falls_back_to_the_one_before(tmp_path, capsys):
    save_steps(tmp_path, 10, 20, 30)
    cut(step_path(tmp_path, 30))
    assert newest_whole(tmp_path) == 20
    assert "step_0000030.pth is cut or damaged; going back" in capsys.readouterr().err


def test_a_flipped_byte_is_noticed(tmp_path):
    save_steps(tmp_path, 10)
    path = step_path(tmp_path, 10)
    data = bytearray(path.read_bytes())
    where = data.index(torch.tensor(99.0).numpy().tobytes())
    data[where] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="is cut or damaged"):
        load_tensors(path)


def test_whichever_byte_is_wrong_the_answer_is_no_traceback(tmp_path):
    path = step_path(tmp_path, 10)
    save_tensors(path, {"w": torch.arange(2.0)})
    good, noticed = path.read_bytes(), 0
    for place in range(0, len(good), 3):
        path.write_bytes(good[:place] + bytes([good[place] ^ 0x81]) + good[place + 1 :])
        noticed += not is_whole(path)
    assert noticed > len(good) / 8


def test_where_every_checkpoint_is_damaged_nothing_starts_over_unasked(tmp_path):
    assert newest_whole(tmp_path) == 0
    save_steps(tmp_path, 10, 20)
    for step in (10, 20):
        cut(step_path(tmp_path, step))
    with pytest.raises(CheckpointError) as refused:
        newest_whole(tmp_path)
    assert str(refused.value) == (
        f"{tmp_path}/step_0000010.pth is cut or damaged, and there is no checkpoint before it; put "
        f"a whole one there, or remove {tmp_path} to train again from the first step"
    )


@pytest.mark.parametrize("content", [{"model": {}, "config": {}, "step": 3}, torch.zeros(2)])
def test_a_file_of_something_else_is_no_state_to_go_on_from(tmp_path, content):
    path = step_path(tmp_path, 3)
    save_tensors(path, content)
    with pytest.raises(
        CheckpointError, match=r"it holds no .*guards, .*optimizer.*; put the right"
    ):
        refuse_foreign(load_tensors(path), path)


def test_the_good_one_survives_beside_damaged_later_ones(tmp_path):
    save_steps(tmp_path, 10, 20, 30, 40)
    keep_newest(tmp_path, step=20, keep=1)
    assert saved_steps(tmp_path) == [20, 30, 40]


def test_a_checkpoint_that_carries_code_is_refused(tmp_path):
    torch.save({"model": Code()}, tmp_path / "bad.pth")
    with pytest.raises(CheckpointError, match="holds more than tensors"):
        load_tensors(tmp_path / "bad.pth")


def test_a_crash_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    save_steps(tmp_path, 5)
    before = step_path(tmp_path, 5).read_bytes()

    def write_half(state, file):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", write_half)
    with pytest.raises(OSError, match="disk full"):
        save_steps(tmp_path, 5)
    assert step_path(tmp_path, 5).read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


@pytest.fixture
def small_files():
    """No file may grow over 64 KiB: the disk is full then."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_write_that_fails_inside_torch_is_an_error_of_the_disk(tmp_path, small_files):
    with pytest.raises(OSError, match="x.pth") as error:
        save_tensors(tmp_path / "x.pth", {"w": torch.zeros(2**16)})
    assert error.value.errno == errno.EFBIG
    assert list(tmp_path.iterdir()) == []


def test_torchs_own_words_for_a_full_disk_are_translated(tmp_path, monkeypatch):
    def fail(state, file):
        raise RuntimeError("unexpected pos 64 vs 0")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(RuntimeError, match="unexpected pos"):
        save_tensors(tmp_path / "x.pth", {})
    monkeypatch.setattr("espnet2.train.checkpoint.FULL_BYTES", 2**80)
    with pytest.raises(OSError, match="x.pth") as error:
        save_tensors(tmp_path / "x.pth", {})
    assert error.value.errno == errno.ENOSPC


def test_weights_of_another_model_are_refused(tmp_path):
    whole, bare = nn.Linear(3, 2), nn.Linear(3, 2, bias=False)
    for saved, model, problem in (
        (whole, nn.Linear(4, 2), r"weight has shape \(2, 3\) in it and \(2, 4\) in this one"),
        (whole, bare, "this one has no bias"),
        (bare, whole, "it has no bias"),
    ):
        with pytest.raises(CheckpointError, match=f"x.pth is of another model: {problem}"):
            load_model_state(model, saved.state_dict(), tmp_path / "x.pth")


def test_other_settings_are_refused_and_shown(tmp_path):
    saved = {"optim_conf": {"lr": 0.1}, "phases": [{"until": 5}], "max_steps": 10}
    refuse_other_config(saved, {**saved, "max_steps": 99}, tmp_path)
    other_hardware = {**saved, "accum_grad": 2, "encoder_conf": {"activation_ckpt": True}}
    refuse_other_config(saved, other_hardware, tmp_path)
    asked = {"optim_conf": {"lr": 0.2}, "phases": [{"until": 5}], "seed": 1}
    with pytest.raises(ConfigError) as error:
        refuse_other_config(saved, asked, tmp_path / "config.yaml")
    assert "optim_conf.lr: was 0.1, now 0.2; seed: was 'absent', now 1" in str(error.value)
