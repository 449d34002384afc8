import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_tokens import tones
from torch import nn

from espnet2.data.frames import num_frames
from espnet2.tokens.teachers import network
from espnet2.tokens.teachers.network import NetworkTeacher, NetworkTeacherConfig, padded, rows_of
from espnet2.utils.errors import ConfigError, XeusError


class Smooth(NetworkTeacher):
    """A convolution with our CNN's windows, then one over time."""

    def __init__(self, is_exact_in_batch=True, device="cpu", **settings):
        torch.manual_seed(0)
        parts = nn.Sequential(nn.Conv1d(1, 6, 400, 320), nn.Conv1d(6, 6, 5, padding=2))
        config = NetworkTeacherConfig(layer=1, **settings)
        super().__init__(parts, 6, config, device, is_exact_in_batch)
        self.shapes = []

    def layer_output(self, speech, lengths):
        self.shapes.append(tuple(speech.shape))
        frames = [num_frames(length) for length in lengths]
        x = self.network[0](speech[:, None])
        is_pad = torch.arange(x.shape[2], device=x.device) >= torch.tensor(frames)[:, None].to(
            x.device
        )
        x = self.network[1](x.masked_fill(is_pad[:, None], 0.0))
        return x.transpose(1, 2), frames


def batched(monkeypatch, seconds=3, **settings):
    """A teacher that batches as on a GPU."""
    monkeypatch.setattr(network, "BATCH_SAMPLES", seconds * 16000)
    teacher = Smooth(**settings)
    teacher.is_batched = True
    return teacher


def clip(length, seed=0):
    return tones(length, seed).astype(np.float32) / 32768


LENGTHS = (8000, 399, 400, 7999, 12000, 5000, 0, 16000, 8001, 900)


def test_on_a_cpu_every_utterance_goes_through_alone_in_its_own_length():
    teacher = Smooth()
    audio = [clip(length, i) for i, length in enumerate(LENGTHS)]
    frames = teacher.frames(audio)
    assert teacher.shapes == [(1, length) for length in LENGTHS if length >= 400]
    assert frames.lengths.tolist() == [num_frames(length) for length in LENGTHS]
    assert teacher.computed == "cpu float32"


def test_an_utterance_has_the_same_bits_in_any_batch_of_a_gpus_shapes(monkeypatch):
    teacher = batched(monkeypatch)
    audio = [clip(length, i) for i, length in enumerate(LENGTHS)]
    whole = teacher.frames(audio).values
    alone = [teacher.frames([signal]).values for signal in audio]
    assert torch.equal(torch.cat(alone), whole)
    backwards = teacher.frames(audio[::-1])
    parts = backwards.values.split(backwards.lengths.tolist())
    assert torch.equal(torch.cat(parts[::-1]), whole)
    torch.testing.assert_close(whole, Smooth().frames(audio).values)


def test_the_shape_of_a_batch_is_decided_by_the_length_alone(monkeypatch):
    teacher = batched(monkeypatch)
    for length in (400, 7999):
        teacher.shapes.clear()
        teacher.frames([clip(length)])
        assert set(teacher.shapes) == {(rows_of(8320), 8320)}
    teacher.shapes.clear()
    teacher.frames([clip(8000, i) for i in range(2)])
    assert set(teacher.shapes) == {(rows_of(16320), 16320)} == {(2, 16320)}


def test_rows_that_influence_each_other_are_taken_one_by_one(monkeypatch, capsys):
    class Leaking(Smooth):
        def layer_output(self, speech, lengths):
            states, frames = super().layer_output(speech, lengths)
            return states + 1e-3 * torch.arange(len(states))[:, None, None], frames

    monkeypatch.setattr(network, "BATCH_SAMPLES", 3 * 16000)
    teacher = Leaking()
    teacher.is_batched = True
    audio = [clip(8000, i) for i in range(4)]
    assert torch.equal(teacher.frames(audio).values, Smooth().frames(audio).values)
    assert "rows of (2, 16320) influence each other; taken one by one" in capsys.readouterr().err
    assert teacher.shapes.count((1, 8000)) == 4
    assert teacher.shapes.count((2, 16320)) == 2  # tried once, on noise, whatever comes first


def test_a_network_that_padding_disturbs_is_never_batched(monkeypatch):
    teacher = Smooth(is_exact_in_batch=False)
    assert [group.tolist() for group in teacher.groups(np.array([500, 400]))] == [[0], [1]]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(400, 640_000), max_size=60))
def test_groups_hold_every_utterance_once_and_only_utterances_of_one_shape(lengths):
    teacher = Smooth()
    teacher.is_batched = True
    lengths = np.array(lengths, dtype=np.int64)
    groups = teacher.groups(lengths)
    assert sorted(i for group in groups for i in group) == list(range(len(lengths)))
    for group in groups:
        widths = set(padded(lengths[group]).tolist())
        assert len(widths) == 1
        width = widths.pop()
        assert len(group) <= rows_of(width)
        assert num_frames(int(lengths[group].max())) < num_frames(width)  # there is padding
        assert width - lengths[group].max() <= 8320


def test_bfloat16_keeps_its_matrices_small_and_gives_float32():
    teacher = Smooth(dtype="bfloat16")
    values = teacher.frames([clip(8000)]).values
    assert values.dtype == torch.float32
    assert teacher.computed == "cpu bfloat16"
    torch.testing.assert_close(values, Smooth().frames([clip(8000)]).values, atol=2e-2, rtol=2e-2)


def test_an_unknown_dtype_is_refused():
    message = "teacher_conf: dtype must be one of auto, float32, bfloat16, got 'fp16'"
    with pytest.raises(ConfigError, match=message):
        Smooth(dtype="fp16")
    with pytest.raises(ConfigError, match="normalise must be one of none, mean, got 'cmvn'"):
        Smooth(normalise="cmvn")


def test_the_mean_of_each_utterance_is_taken_out_where_asked(monkeypatch):
    audio = [clip(length, i) for i, length in enumerate(LENGTHS)]
    whole, centred = Smooth().frames(audio), Smooth(normalise="mean").frames(audio)
    assert centred.lengths.tolist() == whole.lengths.tolist()
    for before, after in zip(
        whole.values.split(whole.lengths.tolist()),
        centred.values.split(centred.lengths.tolist()),
        strict=True,
    ):
        if len(after):
            torch.testing.assert_close(after, before - before.mean(dim=0))
    teacher = batched(monkeypatch, normalise="mean")
    alone = [teacher.frames([signal]).values for signal in audio]
    assert torch.equal(torch.cat(alone), teacher.frames(audio).values)
    assert teacher.settings() == {"layer": 1, "normalise": "mean"}


def test_too_little_memory_says_what_to_do():
    class Greedy(Smooth):
        def layer_output(self, speech, lengths):
            raise torch.OutOfMemoryError

    with pytest.raises(XeusError, match=r"too little memory .* 0.5 s utterances; use a larger"):
        Greedy().frames([clip(8000)])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_on_a_gpu_an_utterance_has_the_same_bits_in_any_batch(dtype):
    teacher = Smooth(dtype=dtype, device="cuda")
    audio = [clip(400 + 1777 * i, i) for i in range(40)]
    whole = teacher.frames(audio).values
    alone = [teacher.frames([signal]).values for signal in audio]
    assert torch.equal(torch.cat(alone), whole)
