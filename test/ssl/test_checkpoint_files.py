"""Checkpoint files: what is inside is found, what is no checkpoint is named, code is not run."""

import contextlib
import datetime
import os
import pickle
import re
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save, save_file

from espnet2.ssl.checkpoint_files import read_checkpoint
from espnet2.utils.errors import CheckpointError

STATE = {"frontend.a": torch.ones(2), "encoder.b": torch.zeros(3)}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.pth"


def refused(path, content=None):
    """The message for a file of ``content``, which must be one line that begins with its path."""
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CheckpointError) as error:
        read_checkpoint(path)
    message = str(error.value)
    assert message.startswith(f"{path}")
    assert "\n" not in message
    return message.removeprefix(f"{path}").lstrip()


WRAPPED = [
    (STATE, ()),
    ({"model": STATE, "epoch": 3}, ("model",)),
    ({"module": STATE}, ("module",)),
    ({"state_dict": {f"model.{k}": v for k, v in STATE.items()}}, ("state_dict", "model.")),
    ({"model": {"module": {f"module._orig_mod.{k}": v for k, v in STATE.items()}}},
     ("model", "module", "module.")),
    ({f"my.wrapper.{k}": v for k, v in STATE.items()}, ("my.", "wrapper.")),
    ({"frontend._orig_mod.a": STATE["frontend.a"],
      "encoder._checkpoint_wrapped_module._fsdp_wrapped_module.b": STATE["encoder.b"]}, ()),
    ({"model_state_dict": STATE, "optimizer": {"state": {}}}, ("model_state_dict",)),
]  # fmt: skip


@pytest.mark.parametrize(("content", "containers"), WRAPPED)
def test_tensors_are_found_in_containers_and_under_prefixes(path, content, containers):
    torch.save(content, path)
    found = read_checkpoint(path)
    assert found.containers == containers
    assert list(found.tensors) == ["frontend.a", "encoder.b"]
    assert torch.equal(found.tensors["frontend.a"], STATE["frontend.a"])


def test_a_part_of_the_model_is_not_taken_for_a_prefix(path):
    torch.save({"encoder.a": torch.ones(1), "encoder.b": torch.ones(1)}, path)
    assert list(read_checkpoint(path).tensors) == ["encoder.a", "encoder.b"]


def test_the_kind_of_file_is_told_by_its_bytes_and_not_by_its_name(path):
    for name, write in {
        "zip": lambda: torch.save(STATE, path),
        "pickle": lambda: torch.save(STATE, path, _use_new_zipfile_serialization=False),
        "safetensors": lambda: save_file(STATE, path),
    }.items():
        write()
        found = read_checkpoint(path)
        assert found.kind == name
        assert torch.equal(found.tensors["encoder.b"], STATE["encoder.b"])


STEPS = [
    ({"model": STATE, "step": 7}, 7),
    ({"state_dict": STATE, "global_step": 8}, 8),
    ({"global_step": torch.tensor([9]), **STATE}, 9),
    ({"model": {"global_step": torch.tensor([9]), **STATE}, "epoch": 2}, 9),
    (STATE, None),
]


@pytest.mark.parametrize(("content", "step"), STEPS)
def test_the_step_is_found_wherever_a_tool_keeps_it(path, content, step):
    torch.save(content, path)
    assert read_checkpoint(path).step == step


@pytest.mark.parametrize(("text", "step"), [("12", 12), ("", None), ("9" * 5000, None)])
def test_the_step_of_a_safetensors_file_is_in_its_metadata(tmp_path, text, step):
    save_file(STATE, tmp_path / "model.safetensors", {"step": text})
    assert read_checkpoint(tmp_path / "model.safetensors").step == step


def test_espnets_resume_file_loads_with_its_durations_and_numpy_numbers(path):
    stats = {"time": datetime.timedelta(seconds=3), "loss": np.float64(1.5), "n": np.int64(2)}
    content = {"model": STATE, "reporter": {"stats": {1: {"train": stats}}}, "optimizers": []}
    torch.save(content, path)
    found = read_checkpoint(path)
    assert found.others == ("reporter", "optimizers")
    assert list(found.tensors) == list(STATE)
    torch.save(content, path, _use_new_zipfile_serialization=False)
    for module in (b"cnumpy._core.multiarray", b"cnumpy.core.multiarray"):  # numpy 2, numpy 1
        content = re.sub(rb"cnumpy\._?core\.multiarray", module, path.read_bytes())
        assert module in content
        path.write_bytes(content)
        assert list(read_checkpoint(path).tensors) == list(STATE)


# What users hold instead of a checkpoint.
FOREIGN = [
    (b"", "is empty: fetch it again"),
    (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:12ab\nsize 2306190165\n",
        "is a Git LFS pointer, not the checkpoint (2.31 GB are missing): run 'git lfs pull' there",
    ),
    (
        b"\n<!DOCTYPE html>\n<html>",
        "is a web page, not a checkpoint: on Hugging Face, fetch /resolve/, not /blob/",
    ),
    (b"encoder: x\n", "is a text file, not a checkpoint: it begins 'encoder: x\\n'"),
    (b'{"weight_map": {}}', "is a text file, not a checkpoint: it begins '{\"weight_map\": {}}'"),
    (b"RIFF\x00\x01", "is not a checkpoint: it is neither a torch nor a safetensors file"),
    (
        pickle.dumps({"a": 1}, protocol=4),
        "is a pickle that torch did not write: it is refused, reading it could run code",
    ),
]


@pytest.mark.parametrize(("content", "message"), FOREIGN)
def test_what_is_no_checkpoint_is_named_with_what_to_do(path, content, message):
    assert refused(path, content) == message


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    assert refused(tmp_path / "none.pth") == ": no such checkpoint file"
    assert refused(tmp_path) == "is a folder: name the checkpoint file in it"
    (tmp_path / "model").mkdir()
    torch.save(STATE, tmp_path / "model/xeus_checkpoint_new.pth")
    example = tmp_path / "model/xeus_checkpoint_new.pth"
    assert refused(tmp_path) == f"is a folder: name the checkpoint file in it, such as {example}"


def written(path, kind):
    """The bytes of a sound checkpoint."""
    if kind == "safetensors":
        return save(STATE)
    torch.save(STATE, path, _use_new_zipfile_serialization=kind == "zip")
    return path.read_bytes()


@pytest.mark.parametrize("kind", ["zip", "pickle", "safetensors"])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.99])
def test_a_cut_file_is_refused(path, kind, share):
    content = written(path, kind)
    assert "damaged" in refused(path, content[: int(share * len(content))])


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("kind", ["zip", "pickle", "safetensors"])
def test_any_damaged_byte_gives_other_tensors_or_one_sentence(path, kind):
    """Tensors carry no check sum that loading reads; everything around them must not crash."""
    content = written(path, kind)
    draw = np.random.default_rng(0)
    refusals = 0
    for _ in range(150):
        damaged = bytearray(content)
        damaged[draw.integers(len(content))] ^= int(draw.integers(1, 256))
        path.write_bytes(damaged)
        with contextlib.suppress(CheckpointError):
            read_checkpoint(path)
            continue
        refused(path)
        refusals += 1
    assert refusals > 10


class Code:
    """An object whose reading writes a file."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (exec, (f"open({str(self.target)!r}, 'w').write('ran')",))


@pytest.mark.parametrize("is_zip", [True, False])
def test_a_file_that_carries_code_is_refused_by_name_and_not_run(path, tmp_path, is_zip):
    content = {"model": {**STATE, "x": Code(tmp_path / "ran")}}
    torch.save(content, path, _use_new_zipfile_serialization=is_zip)
    expected = "holds more than tensors and is refused: reading it would run exec"
    assert refused(path) == expected
    assert not (tmp_path / "ran").exists()
    torch.load(path, weights_only=False)  # the trap is a real one
    assert (tmp_path / "ran").read_text() == "ran"


def test_a_bare_pickle_that_carries_code_is_not_run(path, tmp_path):
    for protocol in (2, 4):
        message = refused(path, pickle.dumps(Code(tmp_path / "ran"), protocol=protocol))
        assert "refused" in message
    assert not (tmp_path / "ran").exists()


class Shell:
    """What an attack would look like."""

    def __reduce__(self):
        return (os.system, ("true",))


def test_the_system_call_of_an_attack_is_named(path):
    torch.save({"model": Shell()}, path)
    assert refused(path) == "holds more than tensors and is refused: reading it would run " + (
        f"{os.system.__module__}.system"
    )


def test_a_whole_model_and_a_program_are_refused(path):
    torch.save(torch.nn.Linear(2, 2), path)
    assert refused(path) == (
        "holds more than tensors and is refused: reading it would run "
        "torch.nn.modules.linear.Linear"
    )
    with zipfile.ZipFile(path, "w") as archive:  # as torch.jit.save lays it out
        for name in ("data.pkl", "constants.pkl", "code/__torch__.py"):
            archive.writestr(f"model/{name}", b"")
    assert refused(path) == "is a TorchScript program, which is refused: it holds code"


def test_a_zip_archive_is_not_unpacked_into_memory(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("exp/ssl/valid.acc.best.pth", b"a checkpoint")
        archive.writestr("meta.yaml", b"")
    assert refused(path) == (
        "is a zip archive: unpack it and name exp/ssl/valid.acc.best.pth in it"
    )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(50_000_000))
    assert path.stat().st_size < 100_000
    assert refused(path) == "is compressed, which torch never does: it is refused"


NO_TENSORS = [
    ([1, 2], "holds no named tensors, but one list"),
    ({}, "holds no named tensors, but nothing"),
    (
        {"epoch": 3},
        "holds no named tensors, but a mapping of epoch: 'epoch' is no tensor, but one int",
    ),
    (
        {"net": STATE, "a": 1, "b": 2, "c": 3},
        "holds no named tensors, but a mapping of net, a, b, ...: 'net' is no tensor, but a "
        "mapping of frontend.a, encoder.b",
    ),
    ({1: torch.ones(1)}, "holds no named tensors, but a mapping of 1: 1 is no name"),
    (
        {"a._orig_mod.b": torch.ones(1), "a.b": torch.ones(1)},
        "holds a.b twice, once wrapped",
    ),
]


@pytest.mark.parametrize(("content", "message"), NO_TENSORS)
def test_a_file_without_named_tensors_says_what_it_holds(path, content, message):
    torch.save(content, path)
    assert refused(path) == message


def test_a_container_that_holds_itself_ends(path):
    loop = {"epoch": 1}
    loop["model"] = loop
    torch.save(loop, path)
    assert refused(path).startswith("holds no named tensors")
