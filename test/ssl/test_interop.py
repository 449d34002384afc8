"""Two layouts, several spellings, one strict reader."""

import re

import pytest
import torch
from safetensors.torch import save_file

from espnet2.ssl.config import SSLModelConfig
from espnet2.ssl.factory import build_model
from espnet2.ssl.interop import layout_of, load_model, our_names, state_dict_as
from espnet2.utils.errors import CheckpointError

CONFIG = SSLModelConfig.from_espnet(
    {
        "frontend_conf": {"shapes": [[4, 10, 5], [4, 8, 8]]},
        "encoder_conf": {"output_size": 16, "num_blocks": 1},
        "loss_conf": {"num_classes": 5, "final_dim": 4},
        "init": "xavier_uniform",
    }
)
NAME = "preencoder.linear_out.weight"
MASK = "masker.mask_embedding"


def tiny():
    return build_model(CONFIG)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.pth"


def assert_same(model, other):
    for (name, a), b in zip(model.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def parametrized(state):
    """Torch's new spelling of weight norm, whatever the module's name."""
    new = {"weight_g": "original0", "weight_v": "original1"}
    return {
        re.sub("weight_[gv]$", lambda m: f"parametrizations.weight.{new[m[0]]}", key): value
        for key, value in state.items()
    }


def plain(state):
    """Torch's old spelling."""
    old = {"0": "weight_g", "1": "weight_v"}
    return {
        re.sub(r"parametrizations\.weight\.original([01])$", lambda m: old[m[1]], key): value
        for key, value in state.items()
    }


WRAPPINGS = [
    lambda state: state,
    lambda state: {"model": state, "epoch": 3},
    lambda state: {"model": {f"module._orig_mod.{key}": value for key, value in state.items()}},
    parametrized,
    plain,
]


@pytest.mark.parametrize("wrap", WRAPPINGS)
@pytest.mark.parametrize("layout", ["old", "new"])
def test_every_layout_and_spelling_loads(path, layout, wrap):
    source = tiny()
    torch.save(wrap(state_dict_as(source, layout)), path)
    assert_same(source, load_model(CONFIG, path))


def test_safetensors_load(tmp_path):
    source = tiny()
    save_file(state_dict_as(source, "new"), tmp_path / "model.safetensors")
    assert_same(source, load_model(CONFIG, tmp_path / "model.safetensors"))


def test_the_new_layout_has_a_step_and_other_names_for_four_tensors():
    model = tiny()
    old, new = state_dict_as(model, "old"), state_dict_as(model, "new", global_step=7)
    assert len(new) == len(old) + 1
    assert new["global_step"].tolist() == [7]
    assert len(set(old) - set(new)) == 4
    assert set(our_names(new)) == set(old)
    assert layout_of(old) == layout_of(parametrized(old)) == "old"
    assert layout_of(new) == layout_of(plain(new)) == "new"
    assert layout_of([NAME]) is None


MIXES = [
    (
        {MASK: "util_modules.mask.mask_embedding"},
        "model.pth mixes the old key layout (encoder.embed.0.conv.bias) and the new one "
        "(util_modules.mask.mask_embedding): save all of it from one model",
    ),
    (
        {f"encoder.embed.0.conv.{part}": f"encoder.embed.0.convs.0.{part}" for part in
         ("bias", "weight_g", "weight_v")},
        "model.pth mixes the old key layout (masker.mask_embedding) and the new one "
        "(encoder.embed.0.convs.0.bias): save all of it from one model",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("renamed", "message"), MIXES)
def test_a_checkpoint_that_mixes_the_layouts_is_refused(path, renamed, message):
    state = {renamed.get(key, key): value for key, value in state_dict_as(tiny()).items()}
    torch.save(state, path)
    for allow_partial in (False, True):
        with pytest.raises(CheckpointError) as error:
            load_model(CONFIG, path, allow_partial=allow_partial)
        assert str(error.value).endswith(message)


def test_a_tensor_in_both_spellings_is_refused(path):
    state = state_dict_as(tiny())
    torch.save(state | parametrized(state), path)
    with pytest.raises(CheckpointError, match=r"holds encoder.embed.0.conv.weight_g twice, once "):
        load_model(CONFIG, path)


def with_values(**values):
    """An edit that overwrites tensors at one place."""
    return lambda s: [s[k.replace("__", ".")].view(-1)[1:2].fill_(v) for k, v in values.items()]


EDITS = [
    (
        lambda s: s.update({"preencoder.linear_uot.weight": s.pop(NAME)}),
        f"missing 1: {NAME}; unknown 1: preencoder.linear_uot.weight (meant {NAME}?)",
    ),
    (lambda s: s.pop(NAME), f"missing 1: {NAME}"),
    (lambda s: s.update(extra=torch.zeros(1)), "unknown 1: extra"),
    (
        lambda s: s.update({NAME: s[NAME][:3]}),
        f"wrong shape 1: {NAME} is (3, 4) instead of (16, 4)",
    ),
    (
        lambda s: [s.pop(key) for key in list(s)[:9]],
        "missing 9: frontend.layers.0.layer_norm.weight, frontend.layers.0.layer_norm.bias, "
        "frontend.layers.0.conv.weight and 6 more",
    ),
    (
        lambda s: s.update({NAME: s[NAME].to(torch.int8), MASK: s[MASK].to(torch.int64)}),
        f"unusable 2: {NAME} is int8, not floating point, {MASK} is int64, not floating point",
    ),
    (
        lambda s: s.update({NAME: s[NAME].to_sparse()}),
        f"unusable 1: {NAME} is not a plain tensor",
    ),
    (
        with_values(preencoder__linear_out__weight=torch.nan, masker__mask_embedding=-torch.inf),
        f"unusable 2: {NAME} holds NaN or infinite values, {MASK} holds NaN or infinite values",
    ),
]


@pytest.mark.parametrize(("edit", "message"), EDITS)
def test_a_checkpoint_that_differs_is_refused_in_one_line(path, edit, message):
    state = state_dict_as(tiny())
    edit(state)
    torch.save(state, path)
    with pytest.raises(CheckpointError) as error:
        load_model(CONFIG, path)
    more = f"for more, see python3 -m espnet2.bin.inspect_checkpoint {path}"
    assert str(error.value) == f"{path} does not fit the model: {message}; {more}"
    assert "\n" not in str(error.value)


def test_large_finite_values_are_not_taken_for_infinite_ones(path):
    source = tiny()
    with torch.no_grad():
        source.preencoder.linear_out.weight.fill_(3e38)
    torch.save(state_dict_as(source), path)
    assert_same(source, load_model(CONFIG, path))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_width_become_the_models(path, dtype):
    source = tiny().to(dtype)
    torch.save(state_dict_as(source), path)
    loaded = load_model(CONFIG, path)
    assert {tensor.dtype for tensor in loaded.state_dict().values()} == {torch.float32}
    assert_same(source.float(), loaded)


def test_a_partial_load_is_asked_for_and_the_log_names_all_that_was_left_out(path, capsys):
    source = tiny()
    state = state_dict_as(source)
    gone = [key for key in state if key.startswith("encoder.encoders.0.")]
    torch.save({k: v for k, v in state.items() if k not in gone} | {"x.y": torch.ones(1)}, path)
    torch.manual_seed(3)
    fresh = tiny().state_dict()
    torch.manual_seed(3)
    loaded = load_model(CONFIG, path, allow_partial=True).state_dict()
    expected = f"was loaded in part: missing {len(gone)}: {', '.join(gone)}; unknown 1: x.y\n"
    assert capsys.readouterr().err.endswith(expected)
    for name, tensor in loaded.items():  # what is missing has the initial values of its kind
        assert torch.equal(tensor, fresh[name] if name in gone else state[name]), name


def test_a_partial_load_still_refuses_wrong_shapes_and_a_wrong_model(path):
    state = state_dict_as(tiny())
    torch.save({**state, NAME: state[NAME][:3]}, path)
    with pytest.raises(CheckpointError, match="wrong shape"):
        load_model(CONFIG, path, allow_partial=True)
    torch.save({"a": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="missing"):
        load_model(CONFIG, path, allow_partial=True)


def test_a_loaded_model_owns_its_weights_and_trains(path):
    source = tiny()
    torch.save(state_dict_as(source), path)
    loaded = load_model(CONFIG, path)
    path.write_bytes(bytes(path.stat().st_size))  # as a second download over the first would
    assert_same(source, loaded)
    assert not loaded.training
    assert all(p.requires_grad and p.is_leaf and p.is_contiguous() for p in loaded.parameters())
    assert len({p.data_ptr() for p in loaded.parameters()}) == len(list(loaded.parameters()))
    loaded.train()
    speech, lengths = torch.randn(1, 2000), torch.tensor([2000])
    text = torch.zeros(1, 49, dtype=torch.long)
    loaded(speech, lengths, text, torch.tensor([49])).loss_sum.backward()
    assert loaded.preencoder.linear_out.weight.grad.abs().sum() > 0


def test_loading_draws_no_random_numbers(path):
    torch.save(state_dict_as(tiny()), path)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    load_model(CONFIG, path)
    assert torch.equal(torch.rand(3), expected)


def test_tensors_that_share_memory_or_are_transposed_load_apart(path):
    state = state_dict_as(tiny())
    block = torch.randn(8, 16)
    state[NAME] = block.t()[:, :4]
    state["preencoder.linear_out.bias"] = block[0]
    torch.save(state, path)
    loaded = load_model(CONFIG, path)
    assert torch.equal(loaded.preencoder.linear_out.weight, block.t()[:, :4])
    assert loaded.preencoder.linear_out.weight.is_contiguous()
    with torch.no_grad():
        loaded.preencoder.linear_out.bias.zero_()
    assert torch.equal(loaded.preencoder.linear_out.weight, block.t()[:, :4])
