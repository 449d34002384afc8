"""Our probe beside a real ESPnet ASR model built from the same YAML, with the same weights."""

import json
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch
import yaml
from espnet_process import require_espnet, run_espnet

from espnet2.asr.config import ProbeConfig, SpecAugConfig
from espnet2.asr.ctc_model import CTCModel
from espnet2.asr.espnet_probe import END, espnet_parts, espnet_state, espnet_yaml
from espnet2.asr.specaug import num_uniforms
from espnet2.ssl.config import SSLModelConfig
from espnet2.ssl.espnet_yaml import espnet_yaml as ssl_yaml
from espnet2.ssl.interop import state_dict_as
from espnet2.tasks.ssl import SSLTask
from espnet2.utils.errors import ConfigError

pytestmark = pytest.mark.peer

TOLERANCE = 1e-5  # of the largest absolute value
LAYERS, WIDTH, FRAMES = 3, 32, (61, 38)
TOKENS = ["<blank>", "<unk>", "<space>", "A", "[fra]", *"BCDEFGHIJKLMNOP"]
SHAPES = [[16, 10, 5], [16, 3, 2], [16, 3, 2], [16, 3, 2], [16, 3, 2], [16, 2, 2], [16, 2, 2]]
ENCODER = {
    "frontend": "wav2vec_cnn",
    "frontend_conf": {"norm_mode": "layer_norm", "conv_mode": "standard", "bias": True,
                      "shapes": SHAPES, "normalize_audio": True},
    "preencoder": "linear",
    "preencoder_conf": {"output_size": WIDTH},
    "encoder": "e_branchformer",
    "encoder_conf": {
        "output_size": WIDTH, "attention_heads": 4, "attention_layer_type": "selfattn",
        "pos_enc_layer_type": "conv", "input_layer": None, "num_blocks": LAYERS,
        "cgmlp_linear_units": 48, "cgmlp_conv_kernel": 7, "linear_units": 40,
        "merge_conv_kernel": 5, "use_ffn": True, "macaron_ffn": True, "dropout_rate": 0.0,
        "positional_dropout_rate": 0.0, "attention_dropout_rate": 0.0,
    },
    "util": [{"name": "mask", "conf": {}}],
    "loss": [{"name": "hubert", "conf": {"num_classes": 9, "final_dim": 24}}],
}  # fmt: skip
SMALL = ProbeConfig(
    projection=24, output_size=32, attention_heads=4, linear_units=48, num_blocks=3,
    specaug=SpecAugConfig(freq_mask_width=9),
)  # fmt: skip
CASES = {
    "benchmark": ProbeConfig(),
    "no_projection": replace(SMALL, projection=None),
    "no_specaug": replace(SMALL, specaug=None),
    "intermediate": replace(SMALL, interctc_layers=[1, 2], interctc_weight=0.3),
    "self_conditioned": replace(SMALL, interctc_layers=[2], self_conditioned=True),
    "language": replace(SMALL, lid_weight=0.4, lid_layer=1, self_conditioned=True),
    "both": replace(SMALL, interctc_layers=[2], interctc_weight=0.2, lid_weight=0.2),
}


@pytest.fixture(scope="module")
def peer(tmp_path_factory):
    """(folder, probe by case, features (1, T, L, D) of both utterances), ESPnet having answered."""
    require_espnet()
    folder = tmp_path_factory.mktemp("probe")
    rng, arrays = np.random.default_rng(3), {}
    for i, frames in enumerate(FRAMES):
        arrays[f"wav{i}"] = rng.normal(0.01, 0.1, 400 + 320 * (frames - 1)).astype(np.float32)
        arrays[f"text{i}"] = rng.integers(2, len(TOKENS), frames // 6)
    np.savez(folder / "audio.npz", **arrays)
    write_kaldi_files(folder / "data", arrays)
    encoder = save_encoder(folder / "encoder")
    probes = {name: save_probe(folder, name, config) for name, config in CASES.items()}
    run_espnet("probe_side.py", folder)
    with torch.no_grad():
        features = [features_of(encoder, arrays[f"wav{i}"]) for i in range(2)]
    return folder, probes, features


def write_kaldi_files(folder, arrays):
    """What ESPnet trains on."""
    folder.mkdir()
    lines = {"wav.scp": [], "text": [], "speech_shape": []}
    for i in range(2):
        samples = arrays[f"wav{i}"]
        soundfile.write(folder / f"utt{i}.wav", samples, 16000)
        lines["wav.scp"].append(f"utt{i} {folder}/utt{i}.wav")
        lines["text"].append(f"utt{i} [fra] A BAD CAFE"[: 18 - 4 * i])
        lines["speech_shape"].append(f"utt{i} {len(samples)}")
    for name, rows in lines.items():
        (folder / name).write_text("\n".join([*rows, ""]))


def save_encoder(folder):
    """A small SSL model in ESPnet's layout, no weight at its plain start."""
    torch.manual_seed(4)
    model = SSLTask.build_model(ENCODER)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    folder.mkdir()
    config = ssl_yaml(SSLModelConfig.from_espnet(ENCODER))
    (folder / "config.yaml").write_text(yaml.safe_dump({**config, "token_list": ["a"]}))
    torch.save(state_dict_as(model, "new", global_step=7), folder / "model.pth")
    return model.eval()


def save_probe(folder, name, config):
    """Our probe, and its YAML and weights for ESPnet."""
    torch.manual_seed(5)
    model = CTCModel(config, LAYERS, WIDTH, len(TOKENS))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    case = folder / "cases" / name
    case.mkdir(parents=True)
    keys = espnet_yaml(config, TOKENS, folder / "encoder/model.pth", WIDTH)
    (case / "config.yaml").write_text(yaml.safe_dump(keys))
    torch.save(espnet_state(model), case / "model.pth")
    return model


def features_of(encoder, wav):
    speech = torch.from_numpy(wav)[None]
    _, layers, _ = encoder.inference_encode(speech, torch.tensor([speech.shape[1]]))
    return torch.stack(layers, dim=2)  # (1, T, L, D)


def utterance(folder, i):
    """(text (1, N), its length) and the language of utterance ``i``."""
    text = torch.from_numpy(np.load(folder / "audio.npz")[f"text{i}"])[None]
    return (text, torch.tensor([text.shape[1]])), torch.tensor([TOKENS.index("[fra]")])


def assert_near(ours, theirs, what=""):
    theirs = torch.as_tensor(theirs).reshape(
        ours.shape if np.size(theirs) == 1 else np.shape(theirs)
    )
    assert ours.shape == theirs.shape, what
    error = (ours - theirs).abs().max() / theirs.abs().max().clamp(min=1e-6)
    assert error <= TOLERANCE, f"{what}: relative error {error:.1e}"


def answers_of(peer, case):
    folder, probes, features = peer
    return np.load(folder / "cases" / case / "answers.npz"), probes[case].eval(), features


@pytest.mark.parametrize("case", CASES)
def test_shapes_and_number_of_parameters_are_espnets(peer, case):
    shapes = json.loads((peer[0] / "cases" / case / "shapes.json").read_text())
    ours = {name: list(part.shape) for name, part in espnet_state(peer[1][case]).items()}
    assert shapes == ours
    as_large = CTCModel(CASES[case], LAYERS, WIDTH, len([*TOKENS, END]))
    count = sum(parameter.numel() for parameter in as_large.parameters())
    assert count == sum(np.prod(shape, dtype=int) for shape in shapes.values())


def test_the_benchmarks_probe_has_espnets_number_of_parameters(peer):
    shapes = json.loads((peer[0] / "cases/benchmark/shapes.json").read_text())
    at_1024 = CTCModel(ProbeConfig(), 25, 1024, len([*TOKENS, END]))
    count = sum(np.prod(shape, dtype=int) for shape in shapes.values())
    assert count + (25 - LAYERS) + (1024 - WIDTH) * 80 == sum(
        parameter.numel() for parameter in at_1024.parameters()
    )
    assert count == 4_605_800


@pytest.mark.parametrize("case", CASES)
@torch.no_grad()
def test_log_probabilities_and_loss_are_espnets(peer, case):
    answers, model, features = answers_of(peer, case)
    for i, frames in enumerate(FRAMES):
        lengths = torch.tensor([frames])
        log_probs, found = model.log_probs(features[i], lengths)
        assert found.tolist() == answers[f"frames{i}"].tolist()
        assert (answers[f"log_probs{i}"][..., -1] < -9000).all()  # <sos/eos>
        assert_near(log_probs[0], answers[f"log_probs{i}"][..., :-1], "log_probs")
        text, language = utterance(peer[0], i)
        loss = model(features[i], lengths, *text, language_ids=language).loss_sum
        assert_near(loss, answers[f"loss{i}"], "loss")


def uniforms_of(draws, frames, width, config):
    """The numbers in [0, 1) that give what ESPnet's SpecAugment drew for one utterance."""
    window, number = config.time_warp_window, iter(draws)
    centre, moved = next(number).item(), next(number).item()
    parts = [(centre - window + 0.5) / (frames - 2 * window)]
    parts += [(moved - (centre - window) + 0.5) / (2 * window)]
    longest = int(frames * config.time_mask_ratio)
    for total, widest in ((width, config.freq_mask_width), (frames, longest)):
        widths, starts = next(number)[0], next(number)[0]
        room = max(total - widths.max(), 1)
        pairs = np.stack([(widths + 0.5) / widest, (starts + 0.5) / room], axis=1)
        parts += pairs.flatten().tolist()
    assert next(number, None) is None
    return torch.tensor([parts])


@pytest.mark.parametrize("case", CASES)
def test_loss_and_gradients_in_training_are_espnets(peer, case):
    answers, model, features = answers_of(peer, case)
    draws = [answers[f"draw{i}"] for i in range(sum(key.startswith("draw") for key in answers))]
    specaug = model.config.specaug
    uniforms = uniforms_of(draws, FRAMES[0], WIDTH, specaug) if specaug else None
    assert specaug is None or uniforms.shape[1] == num_uniforms(specaug)
    quiet = CTCModel(replace(model.config, dropout_rate=0.0), LAYERS, WIDTH, len(TOKENS))
    quiet.load_state_dict(model.state_dict())
    text, language = utterance(peer[0], 0)
    loss = quiet.train()(features[0], torch.tensor([FRAMES[0]]), *text, uniforms, language).loss_sum
    assert_near(loss.detach(), answers["training_loss"], "loss")
    loss.backward()
    channels = quiet.subsampling.conv2.out_channels
    for name, parameter in quiet.named_parameters():
        for theirs, part in espnet_parts(name, parameter.grad, channels):
            expected = torch.from_numpy(answers[f"grad/{theirs}"])
            if name.startswith(("output", "conditioning.weight")):  # nothing for <sos/eos>
                assert part.shape == expected.shape
                expected = expected[tuple(slice(size) for size in parameter.shape)]
                part = parameter.grad
            near_gradient(part, expected, name)


def near_gradient(ours, theirs, name):
    error = (ours - theirs).abs().max()
    assert error <= 1e-4 * theirs.abs().max() + 1e-6, f"{name}: {error:.1e}"


@torch.no_grad()
def test_a_batch_is_the_sum_of_its_utterances_here_and_where_espnet_pads_nothing(peer):
    answers, model, features = answers_of(peer, "benchmark")
    folder = peer[0]
    wav = np.load(folder / "audio.npz")["wav0"]
    (text, length), _ = utterance(folder, 0)
    encoder = SSLTask.build_model_from_file(None, folder / "encoder/model.pth")[0]
    both = torch.cat([features_of(encoder, wav), features_of(encoder, wav[::-1].copy())])
    loss = model(both, torch.tensor([FRAMES[0]] * 2), torch.cat([text, text.flip(1)]),
                 length.repeat(2)).loss_sum  # fmt: skip
    assert_near(loss, answers["loss_of_two"], "loss of two")


@torch.no_grad()
def test_a_shorter_utterance_keeps_its_own_frames_where_espnet_adds_some_of_padding(peer):
    answers, model, features = answers_of(peer, "benchmark")
    padded = torch.zeros(2, FRAMES[0], LAYERS, WIDTH)
    for row, x in zip(padded, features, strict=True):
        row[: x.shape[1]] = x[0]
    log_probs, found = model.log_probs(padded, torch.tensor(FRAMES))
    assert found.tolist() == [answers[f"frames{i}"].item() for i in range(2)] == [28, 16]
    assert answers["frames_together"].tolist() == [28, 19]
    assert_near(log_probs[1, :16], answers["log_probs1"][..., :-1], "log_probs")


def test_espnet_trains_with_the_yaml(peer):
    folder, probes, _ = peer
    name = sorted(CASES)[0]
    state = torch.load(folder / "trained/1epoch.pth", weights_only=True)
    ours = espnet_state(probes[name])
    assert {key: state[key].shape for key in ours} == {key: x.shape for key, x in ours.items()}
    assert state["preencoder.linear_out.weight"].isfinite().all()
    saved = yaml.safe_load((folder / "trained/config.yaml").read_text())
    written = yaml.safe_load((folder / "cases" / name / "config.yaml").read_text())
    changed = {"accum_grad", "batch_size", "max_epoch", "num_iters_per_epoch"}
    # ESPnet writes out the defaults of what a part was not told.
    parts = {key for key, value in written.items() if isinstance(value, dict)}
    assert {key for key in written if saved[key] != written[key]} <= changed | parts
    for key in parts:
        assert saved[key].items() >= written[key].items(), key


def test_losses_that_espnet_cannot_weigh_are_refused():
    config = replace(SMALL, interctc_layers=[1], interctc_weight=0.3, lid_weight=0.2)
    with pytest.raises(ConfigError, match="block 1 has lid_weight 0.2, the others 0.3 each"):
        espnet_yaml(config, TOKENS, "model.pth", WIDTH)
