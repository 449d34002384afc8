"""Encoders of the probe: frames that align, weights that are right, batches that do not matter."""

import numpy as np
import pytest
import torch
from tiny_asr import make_export, tone

from espnet2.asr.config import EncoderSpec
from espnet2.asr.encoder_files import encoder_files
from espnet2.asr.encoders import build_encoder
from espnet2.data.frames import num_frames
from espnet2.utils.errors import ConfigError


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    return make_export(tmp_path_factory.mktemp("export") / "export")


def build(export, kind, seed=1):
    return build_encoder(EncoderSpec(kind=kind, seed=seed), export, "cpu", "float32")


@pytest.mark.parametrize("num_samples", [0, 399, 400, 719, 720, 16000, 16017])
def test_fbank_frames_align_with_the_other_encoders(num_samples):
    wave = np.random.default_rng(0).normal(0, 0.1, num_samples).astype(np.float32)
    [features] = build(None, "fbank").features([wave])
    assert features.shape == (1, num_frames(num_samples), 160)


def test_fbank_removes_the_utterances_mean_and_the_gain():
    wave = np.random.default_rng(0).normal(0, 0.1, 16000 + 80).astype(np.float32)
    quiet, loud = build(None, "fbank").features([wave, 3 * wave])
    torch.testing.assert_close(quiet, loud, atol=1e-3, rtol=0)
    mean = quiet.reshape(-1, 80).mean(0)
    torch.testing.assert_close(mean, torch.zeros(80), atol=1e-4, rtol=0)


def test_an_export_gives_the_input_and_the_output_of_every_block(export):
    encoder = build(export, "export")
    wave = tone("UN DEUX TROIS")
    [features] = encoder.features([wave])
    assert (encoder.num_layers, encoder.dim) == (3, 16)
    assert features.shape == (3, num_frames(len(wave)), 16)
    speech, length = torch.from_numpy(wave)[None], torch.tensor([len(wave)])
    _, blocks, _ = encoder.network.model.inference_encode(speech, length)
    torch.testing.assert_close(features[1:], torch.stack(blocks)[:, 0], atol=1e-5, rtol=1e-5)


def test_the_benchmarks_mix_is_the_outputs_of_the_blocks_alone(export):
    wave = tone("UN DEUX TROIS")
    both = [
        build_encoder(EncoderSpec(kind="export", mixes_input=how), export, "cpu", "float32")
        for how in (True, False)
    ]
    every, blocks = (encoder.features([wave])[0] for encoder in both)
    assert [encoder.num_layers for encoder in both] == [3, 2]
    assert torch.equal(blocks, every[1:])
    fbank = EncoderSpec(kind="fbank", mixes_input=False)
    assert fbank.has_input
    assert build_encoder(fbank, None, "cpu", "float32").num_layers == 1
    assert not EncoderSpec(kind="random", mixes_input=False).has_input


def test_features_do_not_depend_on_batch_mates(export):
    encoder, waves = build(export, "export"), [tone("UN DEUX TROIS"), tone("UN")]
    together = encoder.features(waves)
    for wave, features in zip(waves, together, strict=True):
        torch.testing.assert_close(encoder.features([wave])[0], features, atol=1e-5, rtol=1e-5)


def test_random_weights_are_a_function_of_the_seed_alone(export):
    wave = tone("UN DEUX")
    torch.manual_seed(0)
    first = build(export, "random").features([wave])[0]
    torch.manual_seed(99)
    again = build(export, "random").features([wave])[0]
    other = build(export, "random", seed=2).features([wave])[0]
    trained = build(export, "export").features([wave])[0]
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)
    assert not torch.allclose(first, trained)


def test_building_a_random_encoder_leaves_torchs_generator_alone(export):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    build(export, "random")
    assert torch.equal(torch.rand(1), expected)


def test_an_encoder_without_an_export_folder_is_refused():
    with pytest.raises(ConfigError, match="needs an export folder: give --export"):
        build(None, "random")


def test_an_export_without_a_checkpoint_is_refused(tmp_path, export):
    (tmp_path / "config.yaml").write_bytes((export / "config.yaml").read_bytes())
    with pytest.raises(ConfigError, match="holds none of xeus_checkpoint_new.pth"):
        build(tmp_path, "export")


def test_a_released_checkpoint_is_the_encoder_that_its_file_holds(export, tmp_path):
    path = export / "xeus_checkpoint_old.pth"
    spec = EncoderSpec(kind="checkpoint", path=path)
    wave = tone("UN DEUX")
    [features] = build_encoder(spec, None, "cpu", "float32").features([wave])
    assert torch.equal(features, build(export, "export").features([wave])[0])
    assert encoder_files(spec, None) == [export / "config.yaml", path]
    with pytest.raises(ConfigError, match="kind checkpoint: .*none.pth: no such file"):
        build_encoder(EncoderSpec(kind="checkpoint", path=tmp_path / "none.pth"), None, "cpu", "")


@pytest.mark.parametrize("kind", ["checkpoint", "hf"])
def test_an_encoder_of_its_own_file_or_folder_must_name_it(kind):
    with pytest.raises(ConfigError, match=f"of kind {kind} needs path"):
        EncoderSpec(kind=kind)
