"""Cached features: the same as live ones, resumable, nothing lost in silence."""

import errno
import os

import numpy as np
import pytest
import soundfile
import torch
from tiny_asr import make_split

from espnet2.asr import features as module
from espnet2.asr.config import EncoderSpec, FeatureConfig
from espnet2.asr.encoders import build_encoder
from espnet2.asr.features import FeatureStore
from espnet2.data.frames import num_frames
from espnet2.data.kaldi import read_kaldi
from espnet2.utils.files import read_json

FBANK = EncoderSpec(kind="fbank")


def write(folder, config=None, data="data"):
    config = config or FeatureConfig(chunk_s=2)
    return module.write_features(folder / data, FBANK, None, config, "cpu", folder / "features")


def test_stored_features_are_the_encoders_rounded_to_16_bits(tmp_path):
    ids = make_split(tmp_path / "data", per_language=3)
    write(tmp_path)
    store = FeatureStore(tmp_path / "features")
    assert store.utt_ids == ids
    assert len(store.chunks) > 2
    encoder = build_encoder(FBANK, None, "cpu", "float32")
    for row, utterance in enumerate(read_kaldi(tmp_path / "data")):
        wave, _ = soundfile.read(utterance.source, dtype="float32")
        [expected] = encoder.features([wave])  # (1, T, 160)
        [stored] = store.features([row])  # (T, 1, 160)
        assert store.frames[row] == num_frames(len(wave)) == len(stored)
        centred = (expected - expected.mean(1, keepdim=True)).transpose(0, 1)
        assert torch.equal(stored, centred.to(torch.bfloat16))


def test_an_interrupted_extraction_goes_on_at_its_chunk(tmp_path, monkeypatch):
    make_split(tmp_path / "data", per_language=3)
    calls, encode = [], module.encode

    def stop_in_the_third(encoder, waves, config):
        calls.append(len(waves))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return encode(encoder, waves, config)

    monkeypatch.setattr(module, "encode", stop_in_the_third)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path)
    done = sorted(path.name for path in (tmp_path / "features").glob("*"))
    assert done == ["000.bin", "001.bin", "dropped.tsv", "settings.json", "storage.json"]
    write(tmp_path)
    resumed = {path.name: path.read_bytes() for path in (tmp_path / "features").glob("*.bin")}
    for path in (tmp_path / "features").glob("*"):
        path.unlink()
    write(tmp_path)
    whole = {path.name: path.read_bytes() for path in (tmp_path / "features").glob("*.bin")}
    assert resumed == whole


def test_chunks_of_other_settings_are_not_reused(tmp_path):
    make_split(tmp_path / "data", per_language=2)
    write(tmp_path, FeatureConfig(chunk_s=2, centre=False))
    before = read_json(tmp_path / "features/features.json")["content"]
    write(tmp_path, FeatureConfig(chunk_s=2))
    after = read_json(tmp_path / "features/features.json")["content"]
    assert before != after


def test_chunks_of_audio_that_was_replaced_are_not_reused(tmp_path):
    ids = make_split(tmp_path / "data", per_language=2)
    write(tmp_path)
    before = (tmp_path / "features/features.json").read_bytes()
    (tmp_path / "features/features.json").unlink()  # as a run that was killed before its end
    wav = tmp_path / "data/wav" / f"{ids[0]}.wav"
    audio, rate_hz = soundfile.read(wav)
    soundfile.write(wav, audio[::-1], rate_hz)
    os.utime(wav, ns=(0, 0))
    write(tmp_path)
    assert (tmp_path / "features/features.json").read_bytes() != before


def test_the_record_of_features_that_are_not_stored_follows_the_audio_and_not_its_times(tmp_path):
    ids, never = make_split(tmp_path / "data", per_language=1), FeatureConfig(keep="never")
    wav, record = tmp_path / "data/wav" / f"{ids[0]}.wav", tmp_path / "features/features.json"
    write(tmp_path, never)
    before = record.read_bytes()
    os.utime(wav, ns=(0, 0))
    write(tmp_path, never)
    assert record.read_bytes() == before
    audio, rate_hz = soundfile.read(wav)
    soundfile.write(wav, audio[::-1], rate_hz)  # as long as it was
    write(tmp_path, never)
    assert record.read_bytes() != before


def test_a_full_disk_is_an_error_that_names_the_chunk(tmp_path, monkeypatch):
    make_split(tmp_path / "data", per_language=2)

    def no_space(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", no_space)
    with pytest.raises(OSError, match=r"No space left on device: .*000\.bin") as error:
        write(tmp_path)
    assert error.value.errno == errno.ENOSPC
    assert list((tmp_path / "features").glob("*.bin")) == []


def test_unreadable_and_tiny_audio_has_no_frames_and_a_reason(tmp_path):
    ids = make_split(tmp_path / "data", per_language=2)
    wavs = tmp_path / "data" / "wav"
    (wavs / f"{ids[0]}.wav").write_bytes(b"RIFF")
    soundfile.write(wavs / f"{ids[1]}.wav", np.zeros(399), 16_000)
    write(tmp_path)
    store = FeatureStore(tmp_path / "features")
    assert store.frames[:2].tolist() == [0, 0]
    assert store.features([0])[0].shape == (0, 1, 160)
    rows = (tmp_path / "features/dropped.tsv").read_text().splitlines()[1:]
    assert [row.split("\t")[:2] for row in rows] == [
        [ids[0], "unreadable audio"],
        [ids[1], "shorter than a frame"],
    ]
