"""An encoder that learns with its probe: what gets a gradient, when, and what is saved."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_asr import make_export, tone

from espnet2.asr.config import EncoderSpec, FeatureConfig, ProbeConfig, TuneConfig
from espnet2.asr.ctc_model import CTCModel
from espnet2.asr.encoders import FrozenEncoder, build_network
from espnet2.asr.network import padded_inputs
from espnet2.asr.tuned_model import TunedModel, split_state
from espnet2.data.frames import num_frames
from espnet2.ssl.spans import num_uniforms
from espnet2.train.config import OptimConfig
from espnet2.train.optim import build_optimizer, set_learning_rate
from espnet2.train.schedulers import Constant
from espnet2.utils.errors import CheckpointError, ConfigError

SPEC = importlib.util.spec_from_file_location(
    "tiny_hf_for_tuning", Path(__file__).parents[1] / "tokens" / "tiny_hf.py"
)
tiny_hf = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tiny_hf)
PROBE = ProbeConfig(
    conv_channels=4, output_size=16, attention_heads=2, linear_units=16, num_blocks=1,
    dropout_rate=0.0, specaug=None,
)  # fmt: skip
WAVES = [tone("UN DEUX TROIS QUATRE"), tone("UN DEUX")]
KINDS = ["export", "hubert_base", "wavlm_large", "w2v_bert"]


@pytest.fixture(scope="module")
def specs(tmp_path_factory):
    """{name: spec} of an export and of every kind of Hugging Face folder."""
    folder = make_export(tmp_path_factory.mktemp("export") / "export")
    made = {"export": EncoderSpec(kind="export", path=folder)}
    for name in KINDS[1:]:
        saved = tmp_path_factory.mktemp(name)
        tiny_hf.save(saved, tiny_hf.make_model(name), tiny_hf.make_extractor(name))
        made[name] = EncoderSpec(kind="hf", path=saved)
    return made


def build(spec, features=None, seed=1, **tune):
    network = build_network(spec, None)
    torch.manual_seed(0)
    probe = CTCModel(PROBE, num_layers=network.num_layers, input_size=network.dim, num_tokens=5)
    return TunedModel(network, probe, TuneConfig(**tune), features or FeatureConfig(), seed)


def batch_for(model, waves=WAVES):
    frames = max(num_frames(len(wave)) for wave in waves)
    uniforms = np.random.default_rng(0).random((len(waves), num_uniforms(frames)))
    return {
        "speech": padded_inputs([model.encoder.prepare(wave) for wave in waves], frames),
        "speech_lengths": torch.tensor([len(wave) for wave in waves]),
        "text": torch.tensor([[2, 3, 4], [2, 3, 0]])[: len(waves)],
        "text_lengths": torch.tensor([3, 2])[: len(waves)],
        "mask_uniforms": torch.from_numpy(uniforms).float(),
    }


def names_with_gradient(model):
    """Names of the encoder's weights that one step of training gives a gradient."""
    model.zero_grad(set_to_none=True)
    model(**batch_for(model)).loss_sum.backward()
    assert all(p.grad is not None for p in model.probe.parameters())
    return {n for n, p in model.encoder.named_parameters() if p.grad is not None and p.grad.any()}


def learning(model):
    return {name.removeprefix("encoder.") for name in model.learning_names}


@pytest.mark.parametrize("name", KINDS)
def test_full_tuning_reaches_all_but_the_convolutions_on_the_waveform(specs, name):
    model = build(specs[name], encoder="full")
    found, asked = names_with_gradient(model), learning(model)
    dead = {n for n in asked - found if not n.endswith(("k_proj.bias", "linear_k.bias"))}
    assert dead == set()  # a key's bias shifts all scores of a frame alike: no gradient but noise
    front = {id(p) for part in model.encoder.frontend for p in part.parameters()}
    assert front.isdisjoint(id(p) for group in model.parameter_groups() for p in group["params"])
    blocks = {id(p) for block in model.encoder.blocks for p in block.parameters()}
    assert blocks <= {id(p) for group in model.parameter_groups() for p in group["params"]}


@pytest.mark.parametrize("name", ["export", "hubert_base", "wavlm_large"])
def test_the_convolutions_learn_where_they_are_asked_to(specs, name):
    model = build(specs[name], encoder="full", frontend=True)
    front = {id(p) for part in model.encoder.frontend for p in part.parameters()}
    found = names_with_gradient(model)
    reached = {id(p) for n, p in model.encoder.named_parameters() if n in found}
    assert front
    assert front <= reached


@pytest.mark.parametrize("name", KINDS)
def test_lora_reaches_every_addition_and_nothing_else(specs, name):
    model = build(specs[name], encoder="lora", lora_rank=2)
    for stage in model.stages:
        for parameter in stage.parameters:
            torch.nn.init.normal_(parameter, std=0.1)  # B is zero at first: no gradient for A
    found = names_with_gradient(model)
    assert found == learning(model)
    assert all("lora_" in key for key in found)
    assert len(found) == 2 * len(model.encoder.blocks) * len(model.encoder.lora_targets)


def test_lora_starts_as_the_encoder_it_adds_to_and_from_its_seed(specs):
    plain = build(specs["export"], FeatureConfig(amp="float32"))
    tuned = build(specs["export"], encoder="lora")
    batch = batch_for(plain)
    both = [m.eval().listen(batch["speech"], batch["speech_lengths"])[0] for m in (plain, tuned)]
    torch.testing.assert_close(both[0].float(), both[1], rtol=1e-2, atol=1e-2)
    again, other = (
        build(specs["export"], encoder="lora"),
        build(specs["export"], 0, 2, encoder="lora"),
    )
    state = tuned.state_dict()
    assert all(torch.equal(state[n], again.state_dict()[n]) for n in tuned.learning_names)
    assert any(not torch.equal(state[n], other.state_dict()[n]) for n in tuned.learning_names)


def test_wavlms_attention_would_not_hear_lora_and_is_not_the_default(specs):
    assert build_network(specs["wavlm_large"], None).lora_targets[0] == "intermediate_dense"
    with pytest.raises(ConfigError, match="q_proj hands its weights past the layer: nothing would"):
        build(specs["wavlm_large"], encoder="lora", lora_targets=["q_proj"])


@pytest.mark.parametrize("name", KINDS)
def test_some_layers_learn_and_what_is_below_keeps_no_graph(specs, name):
    model = build(specs[name], encoder="layers", layers=[2])
    block = model.encoder.blocks[1]
    seen = []
    model.encoder.blocks[0].register_forward_hook(
        lambda m, a, out: seen.append((out[0] if isinstance(out, tuple) else out).requires_grad)
    )
    found = names_with_gradient(model)
    reached = {id(p) for n, p in model.encoder.named_parameters() if n in found}
    assert seen == [False]
    assert reached <= {id(p) for p in block.parameters()}
    assert len(reached) > 5
    assert [b.training for b in model.encoder.blocks[:2]] == [False, True]


def test_unfreezing_goes_from_the_top_down_and_is_a_function_of_the_step(specs):
    model = build(specs["export"], encoder="full", freeze_steps=2, unfreeze_interval_steps=3)
    top, bottom = model.encoder.blocks[1], model.encoder.blocks[0]
    preencoder = model.encoder.below[0]
    expected = {
        0: (0, 0, 0), 1: (0, 0, 0), 2: (1, 0, 0), 4: (1, 0, 0), 5: (1, 1, 0), 7: (1, 1, 0),
        8: (1, 1, 1), 100: (1, 1, 1),
    }  # fmt: skip
    for step in (*expected, *reversed(expected)):  # whatever came before
        model.set_step(step)
        parts = (top, bottom, preencoder)
        assert tuple(int(p.training) for p in parts) == expected[step]
        grads = tuple(int(next(p.parameters()).requires_grad) for p in parts)
        assert grads == expected[step]
    model.set_step(2)
    found = names_with_gradient(model)
    assert found
    assert all(name.startswith("model.encoder.encoders.1.") for name in found)
    model.eval()
    assert not any(part.training for part in (top, bottom, preencoder))
    model.train()
    assert (top.training, bottom.training) == (True, False)


def test_the_optimiser_knows_from_the_first_step_what_learns_later(specs):
    model = build(specs["export"], encoder="full", freeze_steps=5, encoder_lr=2e-5)
    optimizer = build_optimizer(model.parameter_groups(), "adam", OptimConfig(lr=1e-3))
    assert set_learning_rate(optimizer, 1e-3, Constant(), 0) == 1e-3
    rates = [group["lr"] for group in optimizer.param_groups]
    assert rates == pytest.approx([1e-3, 2e-5])
    assert len(optimizer.param_groups[1]["params"]) == len(model.learning_names)


def test_masks_are_live_in_training_only(specs):
    model = build(specs["export"], encoder="full", mask_prob=0.5, mask_length=5)
    model.encoder.eval()  # no dropout: what differs is the mask
    batch = batch_for(model)
    speech = (batch["speech"], batch["speech_lengths"])
    train = model.listen(*speech, batch["mask_uniforms"])[0]
    other = model.listen(*speech, 1 - batch["mask_uniforms"])[0]
    assert not torch.allclose(train, other, atol=1e-3)
    model.eval()
    plain = model.listen(*speech, batch["mask_uniforms"])[0]
    assert torch.equal(plain, model.listen(*speech)[0])
    assert not torch.allclose(plain, train, atol=1e-3)
    masker = model.encoder.masker
    assert (masker.mask_prob, masker.mask_length, masker.mask_selection) == (0.5, 5, "static")
    unmasked = build(specs["export"], encoder="full", use_mask=False)
    unmasked.encoder.eval()
    assert torch.equal(unmasked.listen(*speech, batch["mask_uniforms"])[0], plain)
    assert not any("mask_embedding" in name for name in unmasked.learning_names)


def test_the_page_s_masks_are_the_default():
    tune = TuneConfig(encoder="full")
    assert (tune.use_mask, tune.mask_prob, tune.mask_length) == (True, 0.65, 20)
    assert tune.mask_selection == "static"


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("how", [{"encoder": "full"}, {"encoder": "layers", "layers": [2]}])
def test_activations_computed_twice_give_the_same_gradients(specs, name, how):
    gradients = []
    for twice in (False, True):
        model = build(specs[name], gradient_checkpointing=twice, **how)
        calls = []
        parts = model.encoder.blocks[1].modules()
        norm = next(part for part in parts if isinstance(part, torch.nn.LayerNorm))
        norm.register_forward_pre_hook(lambda *_, calls=calls: calls.append(1))
        torch.manual_seed(3)
        names_with_gradient(model)
        gradients.append(torch.cat([p.grad.flatten() for p in model.stages[0].parameters]))
        assert len(calls) == 1 + twice
    torch.testing.assert_close(gradients[0], gradients[1])


@pytest.mark.parametrize(("name", "centre"), [*((name, True) for name in KINDS), ("export", False)])
def test_a_frozen_encoder_gives_what_the_store_holds(specs, name, centre):
    features = FeatureConfig(amp="float32", centre=centre)
    model = build(specs[name], features).train()
    batch = batch_for(model)
    live, frames = model.listen(batch["speech"], batch["speech_lengths"])
    encoder = FrozenEncoder(build_network(specs[name], None), "cpu", "float32")
    assert live.dtype == torch.bfloat16
    for row, count, x in zip(live, frames.tolist(), encoder.features(WAVES), strict=True):
        x = x - x.mean(1, keepdim=True) if centre else x
        stored = x.transpose(0, 1).to(torch.bfloat16)
        torch.testing.assert_close(row[:count], stored, rtol=2e-2, atol=1e-2)
    assert model.learning_names == frozenset()
    assert not model.encoder.training


def test_the_state_is_what_learns_and_it_loads_alone(specs):
    model = build(specs["export"], encoder="layers", layers=[2])
    state = model.state_dict()
    own = {f"probe.{name}" for name in model.probe.state_dict()}
    assert set(state) == own | model.learning_names
    assert all(n.startswith("encoder.model.encoder.encoders.1.") for n in model.learning_names)
    other = build(specs["export"], encoder="layers", layers=[2])
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1)
    other.load_state_dict(state, strict=True)
    assert all(torch.equal(state[name], other.state_dict()[name]) for name in state)
    kept = split_state(state)
    assert set(kept) == {"model", "encoder"}
    fresh = build(specs["export"], encoder="layers", layers=[2])
    fresh.load_kept({**kept, "encoder": {n: x + 1 for n, x in kept["encoder"].items()}})
    [name, *_] = sorted(model.learning_names)
    assert torch.equal(fresh.state_dict()[name], state[name] + 1)
    with pytest.raises(CheckpointError, match="weights that were tuned: encoder.model.enc"):
        build(specs["export"], encoder="full").load_kept(kept)
    assert set(split_state(build(specs["export"]).state_dict())) == {"model"}


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"encoder": "layers", "layers": [3]}, "encoder has no block 3, it has 2"),
        (
            {"encoder": "lora", "lora_targets": ["q_prj"]},
            "no linear layer q_prj; there are 0, channel_proj2, linear_k, linear_out",
        ),
    ],
)
def test_what_the_encoder_has_not_is_refused(specs, how, message):
    with pytest.raises(ConfigError, match=message):
        build(specs["export"], **how)


def test_filter_banks_cannot_learn():
    with pytest.raises(ConfigError, match="filter banks have nothing that can learn"):
        build(EncoderSpec(kind="fbank"), encoder="full")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"use_mask": False}, "use_mask means nothing with encoder: frozen"),
        ({"encoder": "full", "layers": [1]}, "layers means nothing with encoder: full"),
        ({"encoder": "lora", "frontend": True}, "frontend means nothing with encoder: lora"),
        ({"encoder": "layers"}, r"layers must name blocks from 1, none twice, got \[\]"),
        ({"encoder": "layers", "layers": [2, 2]}, "none twice"),
        ({"encoder": "full", "encoder_lr": 0.0}, "must be above 0"),
        ({"encoder": "full", "freeze_steps": -1}, "must be at least 0"),
        ({"encoder": "full", "mask_prob": 1.5}, "are shares, from 0 to 1"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        TuneConfig(**settings)
