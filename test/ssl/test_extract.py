"""Recordings to features: any batch gives what ``encode`` gives alone, nothing is lost or mixed."""

import numpy as np
import pytest
import soundfile
import torch

from espnet2.data.recordings import plain_files, with_durations
from espnet2.data.tsv import Dropped
from espnet2.ssl.extract import Extractor, extract, padded_groups
from espnet2.utils.errors import ConfigError, XeusError


@pytest.fixture
def model(reference):
    return reference("new").model()


def record(folder, lengths, seed=0):
    """A 16-bit recording of each length; returns the utterances with durations."""
    rng = np.random.default_rng(seed)
    for number, length in enumerate(lengths):
        audio = rng.normal(0, 0.1, length).clip(-1, 1)
        soundfile.write(folder / f"r{number:02d}.wav", audio, 16000)
    return with_durations(plain_files(sorted(folder.glob("*.wav"))))


def alone(model, utterance, **options):
    """encode() of one recording as a user would call it: a list of (T, D)."""
    wave, _ = soundfile.read(utterance.source, dtype="float32")
    out = model.encode(torch.from_numpy(wave)[None], torch.tensor([len(wave)]), **options)
    return [state[0].detach() for state in out.layers]


def assert_close(ours, theirs):
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() < 1e-5 * theirs.abs().max()


@pytest.mark.parametrize("batch_seconds", [0.1, 2.5, 1000])
def test_features_equal_those_of_encode_alone_however_they_are_batched(
    model, tmp_path, batch_seconds
):
    utterances = record(tmp_path, [400, 16000, 719, 23456, 720, 16001, 8000, 5000])
    results = list(extract(Extractor(model), utterances, batch_seconds))
    assert sorted(u.utt_id for u, _ in results) == [u.utt_id for u in utterances]
    for utterance, features in results:
        assert features.dtype == torch.float32
        assert_close(features, alone(model, utterance, use_final_output=False)[-1])


def test_each_name_of_a_layer_means_what_it_says(model, reference, tmp_path):
    utterances = record(tmp_path, [9000, 12000])
    num_blocks = len(model.encoder.encoders)

    def chosen(layer):
        extractor = Extractor(reference("new").model(), layer)
        return {u.utt_id: features for u, features in extract(extractor, utterances, 60)}

    raw = alone(model, utterances[1], use_final_output=False)
    for number in range(1, num_blocks + 1):
        assert_close(chosen(str(number))["r01"], raw[number - 1])
    assert_close(chosen("last")["r01"], raw[-1])
    assert_close(chosen("final")["r01"], alone(model, utterances[1])[-1])
    assert not torch.allclose(chosen("final")["r01"], raw[-1])
    assert chosen("all")["r00"].shape == (num_blocks, 27, raw[0].shape[1])
    assert_close(chosen("all")["r01"], torch.stack(raw))


def test_blocks_above_the_layer_are_not_computed(model):
    extractor = Extractor(model, "1")
    assert len(extractor.model.encoder.encoders) == 1


@pytest.mark.parametrize("layer", ["0", "4", "-1", "first", ""])
def test_a_layer_that_is_not_there_is_refused(model, layer):
    num_blocks = len(model.encoder.encoders)
    message = f"layer must be 1 to {num_blocks}, last, final or all; got '{layer}'"
    with pytest.raises(ConfigError, match=message):
        Extractor(model, layer)


def test_a_recording_without_features_leaves_the_others_of_its_batch_as_they_are(model, tmp_path):
    utterances = record(tmp_path, [8000, 399, 8000, 8000])
    soundfile.write(tmp_path / "r02.wav", np.full(8000, np.nan), 16000, subtype="FLOAT")
    results = {u.utt_id: result for u, result in extract(Extractor(model), utterances, 60)}
    assert results["r01"] == Dropped(
        utt_id="r01",
        reason="too short",
        detail="399 samples at 16 kHz; at least 400 make one frame",
    )
    assert results["r02"].reason == "unreadable"
    assert results["r02"].detail.endswith("r02.wav: holds NaN or infinite samples")
    for row in (0, 3):
        expected = alone(model, utterances[row], use_final_output=False)[-1]
        assert_close(results[f"r0{row}"], expected)


def test_features_that_overflow_the_type_are_dropped_with_the_way_out(model, tmp_path):
    utterances = record(tmp_path, [8000])
    with torch.no_grad():
        model.encoder.encoders[-1].norm_final.weight *= 1e6
    [(_, result)] = extract(Extractor(model, "last", torch.float16), utterances, 60)
    assert result.reason == "not finite"
    assert result.detail == "the features hold NaN or infinity as float16; use float32"
    [(_, result)] = extract(Extractor(model, "last", torch.float32), utterances, 60)
    assert result.isfinite().all()


def test_bfloat16_is_near_and_comes_back_as_float32(model, tmp_path):
    utterances = record(tmp_path, [8000])
    expected = alone(model, utterances[0], use_final_output=False)[-1]
    [(_, features)] = extract(Extractor(model, bf16=True), utterances, 60)
    assert features.dtype == torch.float32
    error = ((features - expected).norm() / expected.norm()).item()
    assert 1e-5 < error < 0.05


def test_too_little_memory_is_one_line_with_the_way_out(model, tmp_path, monkeypatch):
    def out_of_memory(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    monkeypatch.setattr(model, "encode", out_of_memory)
    message = "cpu: too little memory for 2 utterances padded to 4 s; lower --batch_seconds, or cut"
    with pytest.raises(XeusError, match=message):
        list(extract(Extractor(model), record(tmp_path, [32000, 16000]), 60))


def test_batches_are_of_like_length_and_the_longest_comes_first(model, tmp_path):
    utterances = record(tmp_path, [4000, 16000, 4001, 15000, 3000])
    order = [u.utt_id for u, _ in extract(Extractor(model), utterances, 2)]
    assert order == ["r03", "r01", "r04", "r00", "r02"]


def test_groups_are_of_like_length_and_stay_within_the_budget():
    samples = np.random.default_rng(0).integers(0, 80_000, 50)
    groups = padded_groups(samples, batch_s=10)
    assert sorted(np.concatenate(groups)) == list(range(50))
    for group in groups:
        longest_s = np.ceil(samples[group].max() / 8000) * 0.5
        assert longest_s * len(group) <= 10
    assert max(len(group) for group in padded_groups(samples, batch_s=0.01)) == 1
