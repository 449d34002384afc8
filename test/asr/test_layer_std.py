"""Layers divided by their standard deviation: measured once, the same wherever a cell is heard."""

import math
from dataclasses import replace

import pytest
import torch
from tiny_asr import make_export, make_split, tone

from espnet2.asr.cell_data import CellData
from espnet2.asr.config import EncoderSpec, FeatureConfig, ProbeConfig, TuneConfig
from espnet2.asr.ctc_model import CTCModel
from espnet2.asr.encoders import build_network
from espnet2.asr.espnet_probe import espnet_state
from espnet2.asr.features import FeatureStore, write_features
from espnet2.asr.layer_mix import LayerMix
from espnet2.asr.layer_std import layer_std
from espnet2.asr.network import padded_inputs
from espnet2.asr.tuned_model import TunedModel
from espnet2.data.frames import num_frames
from espnet2.utils.errors import ConfigError, DataError

STD = FeatureConfig(normalise="std", amp="float32", dtype="float16")
PROBE = ProbeConfig(
    conv_channels=4, output_size=16, attention_heads=2, linear_units=16, num_blocks=1,
    dropout_rate=0.0, specaug=None,
)  # fmt: skip


def test_a_layer_is_measured_without_its_utterances_means():
    torch.manual_seed(0)
    x = torch.randn(500, 3, 8) * torch.tensor([4.3, 0.4, 1.0])[:, None]
    x = torch.cat([x, torch.full((500, 1, 8), 7.0)], dim=1)
    ours = layer_std([x[:200] + 5, torch.zeros(0, 4, 8), x[200:] - 100])
    parts = [part - part.mean(0) for part in (x[:200], x[200:])]
    expected = torch.cat(parts).std((0, 2), unbiased=False)
    assert ours[:3] == pytest.approx(expected[:3].tolist(), rel=1e-3)
    assert ours[3] == 1.0  # it never changes: nothing to divide by


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(DataError, match="no frame of audio to measure the layers by"):
        layer_std([torch.zeros(0, 2, 3)])
    x = torch.zeros(4, 2, 3)
    x[1, 1, 1] = math.inf
    with pytest.raises(DataError, match="layer 1 is not finite"):
        layer_std([x])


def test_a_mix_of_measured_layers_is_that_of_layers_of_size_one():
    x = torch.randn(2, 6, 3, 5)
    std = [4.0, 0.5, 2.0]
    mix, plain = LayerMix(3, std), LayerMix(3)
    mix.logits.data = plain.logits.data = torch.tensor([0.0, 1.0, -1.0])
    torch.testing.assert_close(mix(x), plain(x / torch.tensor(std)[:, None]))
    assert torch.equal(mix.weights(), plain.weights())  # shares of what is divided already
    assert set(mix.state_dict()) == {"logits"}


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    """(training directory, export folder)."""
    root = tmp_path_factory.mktemp("normalised")
    make_split(root / "10min/train", 3)
    return root / "10min/train", make_export(root / "export")


@pytest.mark.parametrize("keep", ["always", "never"])
def test_features_say_how_large_their_layers_are_whether_stored_or_not(split, tmp_path, keep):
    data, export = split
    spec = EncoderSpec(kind="export")
    write_features(data, spec, export, replace(STD, keep=keep), "cpu", tmp_path / "a")
    write_features(data, spec, export, replace(STD, normalise=None), "cpu", tmp_path / "b")
    plain = FeatureStore(tmp_path / "b")
    expected = layer_std(plain.features(list(range(9))))
    assert FeatureStore(tmp_path / "a").layer_std == pytest.approx(expected, rel=1e-6)
    assert len(expected) == 3
    assert plain.layer_std is None


def test_a_probe_hears_stored_and_live_features_alike(split):
    network = build_network(EncoderSpec(kind="export"), split[1])
    torch.manual_seed(0)
    probe = CTCModel(PROBE, num_layers=3, input_size=16, num_tokens=5, layer_std=[3.0, 0.2, 0.4])
    model = TunedModel(network, probe, TuneConfig(), STD, 1).eval()
    wave = tone("UN DEUX TROIS")
    speech = padded_inputs([network.prepare(wave)], num_frames(len(wave)))
    features, frames = model.listen(speech, torch.tensor([len(wave)]))
    live, _ = model.log_probs(speech, torch.tensor([len(wave)]))
    assert torch.equal(live, probe.log_probs(features, frames)[0])
    probe.mix.scale = None
    assert not torch.allclose(live, probe.log_probs(features, frames)[0], atol=1e-3)


def test_features_that_were_not_measured_are_not_taken_as_they_come(split, tmp_path):
    data, export = split
    spec = EncoderSpec(kind="export")
    folder = tmp_path / "10min_train"
    write_features(data, spec, export, replace(STD, normalise=None), "cpu", folder)
    source = CellData(
        data=data.parents[1], features=tmp_path, task="joint", track="10min", corpora=[],
        encoder=spec, export=export, feature_config=STD,
    )  # fmt: skip
    with pytest.raises(DataError, match=r"made without features.normalise; run stage 11 again"):
        source.layer_std(source.open("train")[0])
    assert replace(source, feature_config=FeatureConfig()).layer_std(FeatureStore(folder)) is None


def test_espnet_has_no_such_mix():
    probe = replace(PROBE, conv_channels=None)
    model = CTCModel(probe, num_layers=2, input_size=16, num_tokens=5, layer_std=[1.0, 2.0])
    with pytest.raises(ConfigError, match="ESPnet mixes layers as they come"):
        espnet_state(model)
