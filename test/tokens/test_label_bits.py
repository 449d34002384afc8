"""Labels against a plain reference: one utterance at a time, every distance in double precision."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hubert_files import MODELS, tensors, yaml_of
from hubert_files import save as save_hubert
from tiny_hf import make_extractor, make_model
from tiny_hf import save as save_hf
from tiny_teachers import save_xeus
from tiny_tokens import tones

from espnet2.data.index import Index
from espnet2.data.labels import labels_file
from espnet2.ssl.config import SSLModelConfig, config_beside
from espnet2.ssl.interop import load_model
from espnet2.tokens.assign import label_shard
from espnet2.tokens.codebook import Codebook, save_codebook
from espnet2.tokens.config import TokensConfig
from espnet2.tokens.teachers import network
from espnet2.tokens.teachers.registry import build_teacher
from espnet2.utils.config import load_yaml

MINI = Path(__file__).resolve().parents[2] / "egs2/mini/ssl1"
CHECKPOINT = MINI / "exp/ssl_mini/export/xeus_checkpoint_new.pth"
ROWS = 6  # utterances of each corpus that are compared
LENGTHS = (8000, 399, 400, 7999, 12000, 5000, 0, 16000, 8001, 900)


def speech():
    """The mini recipe's valid set, the first rows of each of its shards."""
    if not (MINI / "dump/valid/index.json").is_file():
        pytest.skip("the mini recipe's speech is not there: run its stages 1 to 3")
    index = Index.open(MINI / "dump/valid")
    return index, [(shard.name, shard.rows[:ROWS]) for shard in index.each_shard()]


def plain_mfcc(audio):
    return build_teacher("mfcc", {}).utterance(audio)


def plain_xeus():
    """Block 2 of the whole mini encoder, by the model's own method."""
    yaml_path = config_beside(CHECKPOINT)
    config = SSLModelConfig.from_espnet(load_yaml(yaml_path), str(yaml_path))
    model = load_model(config, CHECKPOINT).eval()

    @torch.no_grad()
    def frames(audio):
        speech, length = torch.from_numpy(audio)[None], torch.tensor([len(audio)])
        return model.encode(speech, length, use_final_output=False).layers[1][0].numpy()

    return frames


@pytest.mark.parametrize("name", ["mfcc", "xeus"])
@pytest.mark.parametrize("batch_seconds", [1.0, 100.0])
def test_labels_of_real_speech_are_those_of_each_utterance_by_itself(tmp_path, name, batch_seconds):
    index, parts = speech()
    settings = {}
    if name == "xeus":
        if not CHECKPOINT.is_file():
            pytest.skip("the mini recipe's model is not there: run its stages 8 and 9")
        settings = {"checkpoint": str(CHECKPOINT), "layer": 2}
    plain = plain_xeus() if name == "xeus" else plain_mfcc
    teacher = build_teacher(name, settings)
    wanted = [[plain(index.audio(row)).astype(np.float64) for row in rows] for _, rows in parts]
    every = np.concatenate([frames for part in wanted for frames in part])
    centroids = every[:: len(every) // 100].astype(np.float32)
    save_codebook(tmp_path / "book", Codebook(centroids=centroids, teacher=teacher.identity()))
    config = TokensConfig(teacher=name, teacher_conf=settings, batch_seconds=batch_seconds)
    total = 0
    for (shard, rows), frames in zip(parts, wanted, strict=True):
        out, ends = labels_file(tmp_path, shard), (rows.start, rows.stop)
        label_shard(index.path, shard, ends, tmp_path / "book", out, config, "cpu")
        expected = np.concatenate([nearest(part, centroids) for part in frames])
        np.testing.assert_array_equal(np.fromfile(out, "<u2"), expected)
        total += len(expected)
    assert total == len(every) > 1000
    assert len(np.unique(nearest(every, centroids))) > 50


def nearest(frames, centroids):
    """(N,) by every distance of (N, D) to (K, D), frame by frame in double precision."""
    wide = centroids.astype(np.float64)
    return np.array([np.square(wide - frame).sum(axis=1).argmin() for frame in frames])


def network_teacher(kind, folder, dtype):
    """A tiny teacher of each network that leaves no trace of padding."""
    if kind == "xeus":
        settings = {"checkpoint": str(save_xeus(folder)[1])}
    elif kind in MODELS:
        settings = {"checkpoint": str(save_hubert(folder, tensors(kind), yaml_of(kind)))}
    else:
        model = str(save_hf(folder, make_model(kind), make_extractor(kind)))
        return build_teacher("hf", {"model": model, "layer": 2, "dtype": dtype})
    name = "xeus" if kind == "xeus" else "wavlablm"
    return build_teacher(name, {**settings, "layer": 2, "dtype": dtype})


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", ["xeus", "large", "base", "hubert_large", "wavlm_large"])
def test_the_batches_of_a_gpu_change_no_bit_of_any_network(tmp_path, monkeypatch, kind, dtype):
    teacher = network_teacher(kind, tmp_path, dtype)
    audio = [tones(length, i).astype(np.float32) / 32768 for i, length in enumerate(LENGTHS)]
    audio[4][:] = 0  # digital silence
    by_itself = teacher.frames(audio)
    monkeypatch.setattr(network, "BATCH_SAMPLES", 3 * 16000)
    teacher.is_batched = True
    together = teacher.frames(audio)
    single = torch.cat([teacher.frames([signal]).values for signal in audio])
    assert torch.equal(together.values, single)
    assert torch.isfinite(single).all()
    assert set(teacher._trusted) == {(5, 8320), (2, 16320), (1, 24320)}
    assert all(teacher._trusted.values())
    np.testing.assert_array_equal(together.lengths, by_itself.lengths)
    if dtype == "float32":
        torch.testing.assert_close(together.values, by_itself.values, rtol=1e-4, atol=2e-5)
