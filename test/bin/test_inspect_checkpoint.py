"""The command: a report of golden checkpoints in both layouts, and of broken ones."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file

from espnet2.bin.inspect_checkpoint import main
from espnet2.utils.errors import CheckpointError, ConfigError

ROOT = Path(__file__).resolve().parents[2]
NAME = "encoder.encoders.1.attn.linear_q.weight"


@pytest.fixture
def folder(tmp_path):
    """FOLDER/{config.yaml,old.pth,new.pth} of the tiny reference model."""
    for layout in ("old", "new"):
        arrays = np.load(ROOT / f"test/golden/xeus_tiny_{layout}.npz")
        torch.save(
            {
                name.removeprefix("xeus/sd/"): torch.from_numpy(arrays[name])
                for name in arrays.files
                if name.startswith("xeus/sd/")
            },
            tmp_path / f"{layout}.pth",
        )
    config = json.loads(str(arrays["xeus/cfg"]))
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    return tmp_path


def change(path, edit):
    """Save the checkpoint at ``path`` again after ``edit(state)``."""
    state = torch.load(path, weights_only=True)
    edit(state)
    torch.save(state, path)


def report(capsys, *arguments):
    """Exit status and lines of the command."""
    status = main([str(argument) for argument in arguments])
    return status, capsys.readouterr().out.splitlines()


TABLE = """\
all           154 tensors        59,564 parameters  float32
  front end    28 tensors         4,592 parameters  float32
  pre-encoder    2 tensors           544 parameters  float32
  encoder     119 tensors        53,104 parameters  float32
  masker        1 tensors            32 parameters  float32
  loss head     4 tensors         1,292 parameters  float32
sizes       width 32, 3 blocks, 7 convolutions, 20 classes (linear head)"""


@pytest.mark.parametrize(
    ("layout", "name", "step"),
    [("old", "old (the project page's fork)", "not stored"),
     ("new", "new (ESPnet 202412 and later)", "0")],
)  # fmt: skip
def test_a_sound_checkpoint_is_described_and_loads_exactly(folder, capsys, layout, name, step):
    path = folder / f"{layout}.pth"
    status, lines = report(capsys, path)
    assert status == 0
    content = path.read_bytes()
    assert lines == [
        f"file        {path}",
        f"size        {len(content):,} bytes, torch file",
        f"sha256      {hashlib.sha256(content).hexdigest()}",
        f"layout      {name}",
        "container   none: the tensors stand alone",
        f"step        {step}",
        *TABLE.splitlines(),
        f"config      {folder / 'config.yaml'}",
        "loads       exactly",
    ]


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"model": state, "optimizer": {"state": {}}, "step": 12},
        lambda state: {"state_dict": {f"model.{k}": v for k, v in state.items()}, "step": 12},
    ],
)
def test_containers_prefixes_and_what_lies_beside_are_named(folder, capsys, wrap):
    path = folder / "old.pth"
    torch.save(wrap(torch.load(path, weights_only=True)), path)
    status, lines = report(capsys, path)
    assert status == 0
    containers, beside = lines[4], "\n".join(lines[5:7])
    assert containers in ("container   model", "container   state_dict > model.")
    assert "step        12" in beside
    assert ("beside it   optimizer, step" in beside) == (containers == "container   model")
    assert lines[-1] == "loads       exactly"


def test_a_safetensors_file_of_half_precision_loads(folder, capsys):
    state = torch.load(folder / "new.pth", weights_only=True)
    halves = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
    save_file(halves, folder / "model.safetensors")
    status, lines = report(capsys, folder)  # as Hugging Face's folders are named
    assert status == 0
    assert lines[0].endswith("/model.safetensors")
    assert lines[1].endswith(" bytes, safetensors file")
    assert lines[6] == "all           154 tensors        59,564 parameters  float16"


def test_without_a_configuration_it_says_what_can_be_said(folder, capsys):
    (folder / "config.yaml").unlink()
    status, lines = report(capsys, folder / "old.pth")
    assert status == 0
    assert lines[-2:] == [
        f"config      none: {folder / 'old.pth'}: no config.yaml beside it; put it there, or "
        "say which YAML it is",
        "loads       sound; a configuration would tell whether it loads",
    ]
    change(folder / "old.pth", lambda s: s[NAME].fill_(torch.nan))
    status, lines = report(capsys, folder / "old.pth")
    assert status == 1
    assert lines[-2:] == ["loads       no", f"  {NAME} holds NaN or infinite values"]


BROKEN = [
    (
        lambda s: s.update({"encoder.after_nrom.weight": s.pop("encoder.after_norm.weight")}),
        ["  missing 1: encoder.after_norm.weight",
         "  unknown 1: encoder.after_nrom.weight (meant encoder.after_norm.weight?)"],
    ),
    (
        lambda s: s.update({NAME: s[NAME][:5]}),
        [f"  wrong shape 1: {NAME} is (5, 32) instead of (32, 32)"],
    ),
    (
        lambda s: s[NAME].view(-1)[3:4].fill_(torch.inf),
        [f"  unusable 1: {NAME} holds NaN or infinite values"],
    ),
    (
        lambda s: s.update({"util_modules.mask.mask_embedding": s.pop("masker.mask_embedding")}),
        ["  it mixes the old key layout (encoder.embed.0.conv.bias) and the new one "
         "(util_modules.mask.mask_embedding): save all of it from one model"],
    ),
    (
        lambda s: [s.pop(key) for key in list(s) if key.startswith("losses.")],
        ["  missing 4: losses.0.decoder.final_proj.weight, losses.0.decoder.final_proj.bias, "
         "losses.0.decoder.label_embeddings.weight, losses.0.decoder.label_embeddings.bias"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("edit", "problems"), BROKEN)
def test_what_would_not_load_is_listed_and_the_status_is_one(folder, capsys, edit, problems):
    change(folder / "old.pth", edit)
    status, lines = report(capsys, folder / "old.pth")
    assert status == 1
    assert lines[lines.index("loads       no") + 1 :] == problems


def test_another_models_configuration_is_compared_when_it_is_given(folder, capsys):
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["encoder_conf"]["num_blocks"] = 2
    (folder / "other.yaml").write_text(yaml.safe_dump(config))
    status, lines = report(capsys, folder / "old.pth", "--config", folder / "other.yaml")
    assert status == 1
    assert lines[-3] == f"config      {folder / 'other.yaml'}"
    assert lines[-1].startswith("  unknown 38: encoder.encoders.2.attn.linear_q.weight, ")
    assert lines[-1].endswith(" and 28 more")
    config["encoder_conf"]["num_blockz"] = 2
    (folder / "other.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(ConfigError, match="num_blockz is not a known key"):
        main([str(folder / "old.pth"), "--config", str(folder / "other.yaml")])


def test_a_flipped_bit_among_the_weights_is_seen(folder, capsys):
    path = folder / "old.pth"
    weight = torch.load(path, weights_only=True)[NAME].numpy().tobytes()
    content = bytearray(path.read_bytes())
    content[content.index(weight) + 8] ^= 1
    path.write_bytes(content)
    status, lines = report(capsys, path)
    assert status == 1
    assert lines[-2] == "loads       no"
    assert lines[-1].startswith("  damaged: old/data/")
    assert lines[-1].endswith(" does not match its check sum")


def test_a_header_that_is_damaged_is_a_line_too(folder, capsys):
    path = folder / "old.pth"
    content = bytearray(path.read_bytes())
    content[content.index(b"old/data/5")] = 0xFF
    path.write_bytes(content)
    status, lines = report(capsys, path)
    assert status == 1
    assert lines[-1].startswith("  damaged: its parts cannot be told apart ('utf-8' codec can't")


class Code:
    """An object whose reading writes a file."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (exec, (f"open({str(self.target)!r}, 'w').write('ran')",))


def test_code_in_a_file_is_not_run(folder):
    torch.save({"model": Code(folder / "ran")}, folder / "old.pth")
    with pytest.raises(CheckpointError, match="reading it would run exec"):
        main([str(folder / "old.pth")])
    assert not (folder / "ran").exists()


def test_from_the_shell_a_bad_file_is_one_line_and_status_one(folder):
    (folder / "old.pth").write_bytes(b"")
    command = [sys.executable, "-m", "espnet2.bin.inspect_checkpoint", str(folder / "old.pth")]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr == (
        f"inspect_checkpoint: error: {folder / 'old.pth'} is empty: fetch it again\n"
    )
