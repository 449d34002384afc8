"""Checkpoints: two layouts, many wrappings, one strict reader."""

import pickle
import re

import pytest
import torch
from safetensors.torch import save_file

from espnet2.ssl.interop import load_weights, our_names, state_dict_as
from espnet2.tasks.ssl import SSLTask
from espnet2.utils.errors import CheckpointError


def tiny():
    return SSLTask.build_model(
        {
            "frontend_conf": {"shapes": [[4, 10, 5], [4, 8, 8]]},
            "encoder_conf": {"output_size": 16, "num_blocks": 1},
            "loss_conf": {"num_classes": 5, "final_dim": 4},
        }
    )


def assert_same(model, other):
    for (name, a), b in zip(model.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def parametrized(state):
    """Torch's new spelling of weight norm under the old module name."""
    new = {"weight_g": "original0", "weight_v": "original1"}
    return {
        re.sub("weight_[gv]$", lambda m: f"parametrizations.weight.{new[m[0]]}", key): value
        for key, value in state.items()
    }


WRAPPINGS = [
    lambda state: state,
    lambda state: {"model": state, "epoch": 3},
    lambda state: {"module": state},
    lambda state: {"state_dict": {f"module.{key}": value for key, value in state.items()}},
    lambda state: {f"_orig_mod.{key}": value for key, value in state.items()},
    lambda state: {"model": {f"module._orig_mod.{key}": value for key, value in state.items()}},
    parametrized,
]


@pytest.mark.parametrize("wrap", WRAPPINGS)
@pytest.mark.parametrize("layout", ["old", "new"])
def test_every_layout_and_wrapping_loads(tmp_path, layout, wrap):
    source, target = tiny(), tiny()
    torch.save(wrap(state_dict_as(source, layout)), tmp_path / "model.pth")
    load_weights(target, tmp_path / "model.pth")
    assert_same(source, target)


def test_safetensors_load(tmp_path):
    source, target = tiny(), tiny()
    save_file(state_dict_as(source, "new"), tmp_path / "model.safetensors")
    load_weights(target, tmp_path / "model.safetensors")
    assert_same(source, target)


def test_the_new_layout_has_a_step_and_other_names_for_four_tensors():
    model = tiny()
    old, new = state_dict_as(model, "old"), state_dict_as(model, "new", global_step=7)
    assert len(new) == len(old) + 1
    assert new["global_step"].tolist() == [7]
    assert len(set(old) - set(new)) == 4
    assert set(our_names(new)) == set(old)


def change(tmp_path, edit):
    """A checkpoint of ``tiny()`` after ``edit(state)``."""
    state = state_dict_as(tiny())
    edit(state)
    torch.save(state, tmp_path / "model.pth")
    return tmp_path / "model.pth"


NAME = "preencoder.linear_out.weight"
EDITS = [
    (
        lambda s: s.update({"preencoder.linear_uot.weight": s.pop(NAME)}),
        rf"missing 1: {NAME}; unknown 1: preencoder.linear_uot.weight \(meant {NAME}\?\)",
    ),
    (lambda s: s.pop(NAME), f"missing 1: {NAME}"),
    (lambda s: s.update(extra=torch.zeros(1)), "unknown 1: extra"),
    (
        lambda s: s.update({NAME: s[NAME][:3]}),
        rf"wrong shape 1: {NAME} is \(3, 4\) instead of \(16, 4\)",
    ),
    (lambda s: [s.pop(key) for key in list(s)[:9]], "missing 9: .*, .*, .* and 6 more"),
]


@pytest.mark.parametrize(("edit", "message"), EDITS)
def test_a_checkpoint_that_differs_is_refused_in_one_line(tmp_path, edit, message):
    path = change(tmp_path, edit)
    before = tiny()
    with pytest.raises(CheckpointError, match=message) as error:
        load_weights(before, path)
    assert "\n" not in str(error.value)


def test_a_partial_load_is_asked_for_and_logged(tmp_path, capsys):
    path = change(tmp_path, lambda s: s.pop(NAME))
    load_weights(tiny(), path, allow_partial=True)
    assert f"was loaded in part: missing 1: {NAME}" in capsys.readouterr().err


def test_a_partial_load_still_refuses_wrong_shapes_and_a_wrong_model(tmp_path):
    path = change(tmp_path, lambda s: s.update({NAME: s[NAME][:3]}))
    with pytest.raises(CheckpointError, match="wrong shape"):
        load_weights(tiny(), path, allow_partial=True)
    torch.save({"a": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="missing"):
        load_weights(tiny(), path, allow_partial=True)


class Code:
    def __reduce__(self):
        return (print, ("this must never run",))


def test_a_checkpoint_that_carries_code_is_refused_and_not_run(tmp_path, capsys):
    torch.save({"model": Code()}, tmp_path / "model.pth")
    (tmp_path / "old.pth").write_bytes(pickle.dumps(Code(), protocol=2))
    for name in ("model.pth", "old.pth"):
        with pytest.raises(CheckpointError, match="more than tensors"):
            load_weights(tiny(), tmp_path / name)
    assert "never run" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "model.pth is not a readable checkpoint"),
        (b"not a checkpoint at all", "model.pth"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, content, message):
    (tmp_path / "model.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        load_weights(tiny(), tmp_path / "model.pth")


def test_a_truncated_file_is_refused(tmp_path):
    torch.save(state_dict_as(tiny()), tmp_path / "model.pth")
    data = (tmp_path / "model.pth").read_bytes()
    (tmp_path / "model.pth").write_bytes(data[: len(data) // 2])
    with pytest.raises(CheckpointError, match="is not a readable checkpoint"):
        load_weights(tiny(), tmp_path / "model.pth")


def test_a_missing_file_and_a_file_without_tensors_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="no such checkpoint file"):
        load_weights(tiny(), tmp_path / "none.pth")
    torch.save({"epoch": 3}, tmp_path / "model.pth")
    with pytest.raises(CheckpointError, match="holds no state dict"):
        load_weights(tiny(), tmp_path / "model.pth")
