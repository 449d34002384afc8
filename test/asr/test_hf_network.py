"""Hugging Face models as encoders of the probe, against transformers itself."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_asr import tone

from espnet2.asr.config import EncoderSpec, FeatureConfig, ProbeConfig, TuneConfig
from espnet2.asr.ctc_model import CTCModel
from espnet2.asr.encoder_files import encoder_files
from espnet2.asr.encoders import FrozenEncoder, build_network
from espnet2.asr.network import padded_inputs
from espnet2.asr.tuned_model import TunedModel
from espnet2.data.frames import num_frames
from espnet2.ssl.spans import num_uniforms
from espnet2.utils.errors import ConfigError

# The builder of tiny models belongs to the tests of espnet2.tokens.
SPEC = importlib.util.spec_from_file_location(
    "tiny_hf_for_probe", Path(__file__).parents[1] / "tokens" / "tiny_hf.py"
)
tiny_hf = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tiny_hf)
PROBE = ProbeConfig(
    conv_channels=4, output_size=16, attention_heads=2, linear_units=16, num_blocks=1, specaug=None
)
WAVES = [tone("UN DEUX TROIS"), tone("UN"), tone("UN DEUX", seed=3)[:-77]]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """{name: (folder, model, extractor)} of every kind."""
    made = {}
    for name in tiny_hf.KINDS:
        model, extractor = tiny_hf.make_model(name), tiny_hf.make_extractor(name)
        folder = tiny_hf.save(tmp_path_factory.mktemp(name), model, extractor)
        made[name] = (folder, model, extractor)
    return made


def network_of(models, name):
    return build_network(EncoderSpec(kind="hf", path=models[name][0]), None).eval()


@torch.no_grad()
def states_of(model, extractor, wave):
    """transformers' own hidden states of one wave: (layers + 1, T, D)."""
    inputs = extractor([wave], sampling_rate=16000, padding=True, return_tensors="pt")
    states = torch.cat(model(**inputs, output_hidden_states=True).hidden_states)
    if "input_features" in inputs:  # an odd last frame is padded, and masked
        states = states[:, : int(inputs["attention_mask"].sum())]
    return states


@pytest.mark.parametrize("name", tiny_hf.KINDS)
def test_layers_are_those_of_transformers_in_a_padded_batch_too(models, name):
    _, model, extractor = models[name]
    network = network_of(models, name)
    inputs = padded_inputs([network.prepare(wave) for wave in WAVES], num_frames(len(WAVES[0])) + 5)
    with torch.no_grad():
        layers, frames = network.layers(inputs, [len(wave) for wave in WAVES])
    stacked = torch.stack(layers, 1)  # (B, L, T, D)
    assert frames == [num_frames(len(wave)) for wave in WAVES]
    assert stacked.shape[1:2] + stacked.shape[3:] == (network.num_layers, network.dim)
    for got, wave in zip(stacked, WAVES, strict=True):
        expected = states_of(model, extractor, wave)
        torch.testing.assert_close(got[:, : expected.shape[1]], expected, rtol=1e-4, atol=5e-5)


@pytest.mark.parametrize("name", tiny_hf.KINDS)
def test_frozen_features_obey_the_law_of_frames_and_forget_their_batch(models, name):
    encoder = FrozenEncoder(network_of(models, name), "cpu", "float32")
    waves = [*WAVES, np.zeros(399, np.float32), tone("A")[:440]]
    for wave, x in zip(waves, encoder.features(waves), strict=True):
        assert x.shape == (4, num_frames(len(wave)), 16)
        torch.testing.assert_close(encoder.features([wave])[0], x, rtol=1e-4, atol=5e-5)
        assert torch.isfinite(x).all()


def test_where_w2v_bert_has_a_frame_less_its_last_one_is_repeated(models):
    network = network_of(models, "w2v_bert")
    wave = tone("UN")[:2000]  # 11 frames of 10 ms: 5 pairs, where the law has 6
    with torch.no_grad():
        layers, [frames] = network.layers(network.prepare(wave)[None], [2000])
    assert (frames, layers[0].shape[1]) == (6, 6)
    assert all(torch.equal(x[:, 5], x[:, 4]) for x in layers)


@pytest.mark.parametrize("name", tiny_hf.KINDS)
def test_masks_put_the_models_own_vector_in_place_of_frames(models, name):
    _, model, _ = models[name]
    network = network_of(models, name)
    vector = network.masker.mask_embedding
    assert torch.equal(vector, model.masked_spec_embed)
    seen = []
    network.network.model.feature_projection.register_forward_hook(
        lambda m, a, out: seen.append(out[0] if isinstance(out, tuple) else out)
    )
    wave = tone("UN DEUX TROIS QUATRE")
    inputs = network.prepare(wave)[None]
    uniforms = torch.rand(1, num_uniforms(num_frames(len(wave))), generator=torch.manual_seed(1))
    with torch.no_grad():
        plain, _ = network.layers(inputs, [len(wave)])
        masked, _ = network.layers(inputs, [len(wave)], mask_uniforms=uniforms)
        again, _ = network.layers(inputs, [len(wave)])
    is_masked = (seen[1] == vector).all(-1)[0]
    assert 0.3 < is_masked.float().mean() < 1
    assert torch.equal(seen[0][0][~is_masked], seen[1][0][~is_masked])
    assert not torch.allclose(plain[-1], masked[-1], atol=1e-2)
    assert all(torch.equal(a, b) for a, b in zip(plain, again, strict=True))


def test_a_folder_without_a_mask_vector_masks_with_zeros(tmp_path):
    model = tiny_hf.make_model("hubert_large", mask_time_prob=0.0)
    assert not hasattr(model, "masked_spec_embed")
    folder = tiny_hf.save(tmp_path, model, tiny_hf.make_extractor("hubert_large"))
    network = build_network(EncoderSpec(kind="hf", path=folder), None)
    assert torch.equal(network.masker.mask_embedding, torch.zeros(16))


def test_other_frames_than_the_benchmarks_are_refused(tmp_path):
    kernels = {"conv_kernel": [10, 3, 3, 3, 3, 2, 3]}
    model = tiny_hf.make_model("hubert_large", **kernels)
    folder = tiny_hf.save(tmp_path, model, tiny_hf.make_extractor("hubert_large"))
    with pytest.raises(ConfigError, match="its convolutions do not see 400 samples every 320"):
        build_network(EncoderSpec(kind="hf", path=folder), None)


def test_the_files_that_decide_are_named_and_a_missing_folder_is_refused(models, tmp_path):
    files = encoder_files(EncoderSpec(kind="hf", path=models["hubert_base"][0]), None)
    names = ["config.json", "preprocessor_config.json", "model.safetensors"]
    assert [path.name for path in files] == names
    with pytest.raises(ConfigError, match="no such folder; fetch the model once: hf download"):
        build_network(EncoderSpec(kind="hf", path=tmp_path / "none"), None)


def test_without_transformers_the_error_says_what_to_install(models, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ConfigError, match="needs transformers: pip install 'xeus.hf.'"):
        network_of(models, "hubert_base")


@pytest.fixture(scope="module")
def batch_norm(tmp_path_factory):
    """A HuBERT whose positional convolution has a batch norm that is not as it was made."""
    model = tiny_hf.make_model("hubert_large", conv_pos_batch_norm=True)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            torch.nn.init.normal_(module.running_mean)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
    folder = tmp_path_factory.mktemp("batch_norm")
    return tiny_hf.save(folder, model, tiny_hf.make_extractor("hubert_large")), model


def test_an_encoder_in_which_padding_shows_hears_each_utterance_alone(batch_norm):
    folder, model = batch_norm
    network = build_network(EncoderSpec(kind="hf", path=folder), None)
    assert not network.is_exact_in_batch
    probe = CTCModel(PROBE, num_layers=network.num_layers, input_size=network.dim, num_tokens=5)
    features = FeatureConfig(amp="float32", centre=False, dtype="float16")
    live = TunedModel(network, probe, TuneConfig(), features, 1).eval()
    speech = padded_inputs([network.prepare(w) for w in WAVES], num_frames(len(WAVES[0])) + 40)
    heard, frames = live.listen(speech, torch.tensor([len(wave) for wave in WAVES]))
    encoder = FrozenEncoder(build_network(EncoderSpec(kind="hf", path=folder), None), "cpu", "")
    extractor = tiny_hf.make_extractor("hubert_large")
    for wave, x, row, count in zip(WAVES, encoder.features(WAVES), heard, frames, strict=True):
        torch.testing.assert_close(x, states_of(model, extractor, wave), rtol=1e-4, atol=5e-5)
        assert torch.equal(row[:count], x.transpose(0, 1).half())  # live as stored


@pytest.mark.parametrize("how", [{"encoder": "full"}, {"encoder": "layers", "layers": [1]}])
def test_an_encoder_in_which_padding_shows_does_not_learn(batch_norm, how):
    network = build_network(EncoderSpec(kind="hf", path=batch_norm[0]), None)
    with pytest.raises(ConfigError, match="conv_pos_batch_norm.*; leave it frozen"):
        TunedModel(network, None, TuneConfig(**how), FeatureConfig(), 1)
