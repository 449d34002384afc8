"""The frames of teacher ``hf`` against transformers itself, on the same audio."""

import socket

import numpy as np
import pytest
import torch
import transformers
from tiny_hf import KINDS, LAYERS, make_extractor, make_model, save
from tiny_tokens import make_set, tones

from espnet2.data.frames import num_frames
from espnet2.tokens.stream import stream_frames
from espnet2.tokens.teachers.hf_networks import EPSILON, normalised
from espnet2.tokens.teachers.registry import build_teacher
from espnet2.utils.errors import DataError

LENGTHS = (400, 719, 720, 1039, 1040, 8000, 12345, 16000)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """{name: (folder, model, extractor)} of every kind."""
    made = {}
    for name in KINDS:
        model, extractor = make_model(name), make_extractor(name)
        folder = save(tmp_path_factory.mktemp(name), model, extractor)
        made[name] = (folder, model, extractor)
    return made


def clip(length, seed=0):
    # An offset and a low level, which only normalisation takes out.
    return tones(length, seed).astype(np.float32) / 65536 + 0.05


def teacher_of(folder, layer=2):
    return build_teacher("hf", {"model": str(folder), "layer": layer})


@torch.no_grad()
def states_of(model, extractor, signal):
    """transformers' own hidden states of a signal, without padding: (layers + 1) of (T, D)."""
    inputs = extractor([signal], sampling_rate=16000, padding=True, return_tensors="pt")
    out = model(**inputs, output_hidden_states=True)
    count = len(out.hidden_states[0][0])
    if "input_features" in inputs:  # an odd last frame is padded, and masked
        count = int(inputs["attention_mask"].sum())
    return [states[0, :count] for states in out.hidden_states]


@pytest.mark.parametrize("layer", range(1, LAYERS + 1))
@pytest.mark.parametrize("name", KINDS)
def test_the_frames_are_the_hidden_states_of_the_layer_in_the_whole_model(models, name, layer):
    folder, model, extractor = models[name]
    teacher = teacher_of(folder, layer)
    for length in (8000, 12345):
        expected = states_of(model, extractor, clip(length))
        frames = teacher.frames([clip(length)])
        torch.testing.assert_close(frames.values, expected[layer], rtol=1e-5, atol=2e-5)
        assert not torch.allclose(frames.values, expected[layer - 1], atol=1e-2)
    assert (teacher.dim, len(teacher.network.model.encoder.layers)) == (16, layer)
    assert teacher.computed == "cpu float32"


@pytest.mark.parametrize("name", ["hubert_large", "wavlm_large"])
def test_the_last_layer_comes_without_the_final_norm(models, name):
    folder, model, extractor = models[name]
    with torch.no_grad():
        inputs = extractor([clip(8000)], sampling_rate=16000, return_tensors="pt")
        normed = model(inputs["input_values"]).last_hidden_state[0]
        raw = teacher_of(folder, LAYERS).frames([clip(8000)]).values
        torch.testing.assert_close(model.encoder.layer_norm(raw), normed, rtol=1e-5, atol=2e-5)
    assert not torch.allclose(raw, normed, atol=1e-2)


@pytest.mark.parametrize("name", KINDS)
def test_the_frames_obey_the_law_or_are_one_short(models, name):
    teacher = teacher_of(models[name][0])
    counts = np.array([len(teacher.frames([clip(length)]).values) for length in LENGTHS])
    missing = num_frames(np.array(LENGTHS)) - counts
    # w2v-BERT joins pairs of 10 ms frames; where their number is odd, one is left over.
    odd = ((np.array(LENGTHS) - 400) // 160) % 2 == 0
    np.testing.assert_array_equal(missing, odd if name == "w2v_bert" else np.zeros(len(LENGTHS)))


@pytest.mark.parametrize("name", KINDS)
def test_an_utterance_has_the_same_bits_in_any_company(models, name):
    teacher = teacher_of(models[name][0])
    audio = [clip(length, i) for i, length in enumerate((399, 8000, 720, 5000))]
    together = teacher.frames(audio)
    alone = [teacher.frames([signal]).values for signal in reversed(audio)]
    assert torch.equal(together.values, torch.cat(alone[::-1]))
    assert torch.equal(together.values, teacher.frames(audio).values)


@pytest.mark.parametrize("name", KINDS)
def test_silence_has_frames_too(models, name):
    frames = teacher_of(models[name][0]).frames([np.zeros(8000, np.float32)])
    assert frames.lengths == 24
    assert torch.isfinite(frames.values).all()


@torch.no_grad()
def trace_of_padding(teacher, lengths):
    """Largest difference between an utterance's frames in a padded batch and by itself.

    In float64: in float32, rounding alone may come to 1e-5, depending on the random weights.
    """
    network = teacher.network.double()
    audio = [torch.from_numpy(clip(length, i)).double() for i, length in enumerate(lengths)]
    speech = torch.nn.utils.rnn.pad_sequence(audio, batch_first=True)
    states, frames = network(speech, list(lengths))
    assert states.dtype == torch.float64
    assert frames == num_frames(np.array(lengths)).tolist()
    alone = [network(signal[None], [len(signal)])[0][0] for signal in audio]
    pairs = zip(states, frames, alone, strict=True)
    return max(float((row[:count] - own).abs().max()) for row, count, own in pairs)


@pytest.mark.parametrize("name", ["hubert_large", "wav2vec2_large", "wavlm_large"])
def test_models_with_layer_norms_leave_no_trace_of_padding(models, name):
    teacher = teacher_of(models[name][0])
    assert teacher.network.is_exact_in_batch
    assert trace_of_padding(teacher, (16000, 400, 9001, 12345)) < 1e-12


@pytest.mark.parametrize("name", ["hubert_base", "wavlm_base"])
def test_models_with_a_group_norm_go_alone_because_padding_would_change_them(models, name):
    teacher = teacher_of(models[name][0])
    assert not teacher.network.is_exact_in_batch
    assert trace_of_padding(teacher, (16000, 8000)) > 1e-3


def test_a_batch_norm_over_positions_goes_alone(tmp_path):
    model = make_model("hubert_large", conv_pos_batch_norm=True)
    teacher = teacher_of(save(tmp_path, model, make_extractor("hubert_large")))
    assert not teacher.network.is_exact_in_batch


@pytest.mark.parametrize("is_asked", [True, False])
def test_audio_is_normalised_only_where_the_folder_asks(tmp_path, models, is_asked):
    _, model, _ = models["hubert_large"]
    extractor = make_extractor("hubert_large", do_normalize=is_asked)
    teacher = teacher_of(save(tmp_path, model, extractor))
    expected = states_of(model, extractor, clip(8000))[2]
    torch.testing.assert_close(teacher.frames([clip(8000)]).values, expected, rtol=1e-5, atol=2e-5)
    assert teacher.identity()["normalise_audio"] is is_asked


def test_normalisation_is_over_an_utterances_own_samples():
    audio = [clip(400, 0), clip(250, 1), np.zeros(300, np.float32)]
    speech = torch.nn.utils.rnn.pad_sequence(list(map(torch.from_numpy, audio)), batch_first=True)
    rows = normalised(speech, [400, 250, 300]).numpy()
    for row, signal in zip(rows, audio, strict=True):
        own = (signal - signal.mean()) / np.sqrt(signal.var() + EPSILON)
        np.testing.assert_allclose(row[: len(signal)], own, atol=1e-5)
        assert not row[len(signal) :].any()


@pytest.mark.parametrize("name", ["hubert_large", "w2v_bert"])
def test_a_fine_tuned_models_folder_gives_its_encoder(tmp_path, name):
    model = make_model(name, head="ForCTC")
    teacher = teacher_of(save(tmp_path, model, make_extractor(name)))
    expected = states_of(model.base_model, make_extractor(name), clip(8000))[2]
    torch.testing.assert_close(teacher.frames([clip(8000)]).values, expected, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("name", KINDS)
def test_weights_that_are_not_finite_name_the_utterance(tmp_path, name):
    model = make_model(name)
    with torch.no_grad():
        model.encoder.layers[0].final_layer_norm.bias[3] = float("nan")
    teacher = teacher_of(save(tmp_path / "model", model, make_extractor(name)))
    index = make_set(tmp_path / "dump")
    rows = np.flatnonzero(index.num_samples[:] == 16000)
    with pytest.raises(DataError, match="train-000: the teacher's frames are not finite"):
        list(stream_frames(teacher, index, rows, 100.0))


def test_too_short_an_utterance_for_w2v_bert_is_named(tmp_path, models):
    index = make_set(tmp_path / "dump", lengths=(8000, 559))
    teacher = teacher_of(models["w2v_bert"][0])
    with pytest.raises(DataError, match="train-701: the teacher gave 0 frames, its audio has 1"):
        list(stream_frames(teacher, index, np.arange(2), 100.0))


def test_loading_asks_nobody_and_says_nothing(models, monkeypatch, capfd):
    def refuse(*args, **kwargs):
        raise AssertionError("a teacher wanted to talk to the network")

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    logging = transformers.utils.logging
    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    for name, (folder, _, _) in models.items():
        frames = teacher_of(folder).frames([clip(8000)])
        assert len(frames.values) == 24, name
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before
    assert capfd.readouterr() == ("", "")
