"""Torchaudio's and ESPnet's side of the HuBERT tests, in ESPnet's own environment.

``python3 -P hubert_side.py golden FILE`` writes ``test/golden/hubert_tiny.npz``: for each of
``MODELS`` the settings (JSON), a state dict with random weights, and every layer's output for two
utterances, each alone; all from ``torchaudio.models.hubert_pretrain_model``, fp32, CPU.

``python3 -P hubert_side.py peer FOLDER`` lets ESPnet train for one step on the Kaldi files of
FOLDER/data, for every FOLDER/CASE/train.yaml. That leaves config.yaml, 1epoch.pth and
checkpoint.pth in the case's folder. answers.npz there holds the layers of model.pth, which is
1epoch.pth with all weights moved, for every ``wav*`` (N,) of FOLDER/audio.npz.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from espnet2.asr.encoder.hubert_encoder import TorchAudioHuBERTPretrainEncoder
from espnet2.tasks.hubert import HubertTask

NOISE = 0.1  # added to every weight, so that none is left at its plain start
SHAPES = [[8, 10, 5], *[[8, 3, 2]] * 4, *[[8, 2, 2]] * 2]
SIZES = {
    "extractor_conv_layer_config": SHAPES,
    "encoder_embed_dim": 16,
    "encoder_pos_conv_groups": 4,
    "encoder_num_layers": 3,
    "encoder_num_heads": 2,
    "encoder_ff_interm_features": 24,
}
MODELS = {
    "large": {  # the choices of WavLabLM-MS
        **SIZES,
        "extractor_mode": "layer_norm",
        "extractor_conv_bias": False,
        "encoder_pos_conv_kernel": 8,
        "encoder_layer_norm_first": True,
    },
    "base": {
        **SIZES,
        "extractor_mode": "group_norm",
        "extractor_conv_bias": False,
        "encoder_pos_conv_kernel": 7,
        "encoder_layer_norm_first": False,
    },
    "mixed": {
        **SIZES,
        "extractor_mode": "group_norm",
        "extractor_conv_bias": True,
        "encoder_pos_conv_kernel": 8,
        "encoder_layer_norm_first": True,
    },
}
LENGTHS = (8000, 3217)


def golden(path):
    """Write the golden file."""
    rng = np.random.default_rng(0)
    arrays = {f"wav{i}": wave(rng, length) for i, length in enumerate(LENGTHS)}
    for name, settings in MODELS.items():
        torch.manual_seed(0)
        model = moved(hubert(settings)).eval()
        arrays[f"{name}/cfg"] = json.dumps(settings)
        for key, value in model.state_dict().items():
            arrays[f"{name}/sd/{key}"] = value.numpy()
        for i in range(len(LENGTHS)):
            for number, layer in enumerate(layers(model, arrays[f"wav{i}"]), start=1):
                arrays[f"{name}/wav{i}/layer{number}"] = layer
    np.savez_compressed(path, **arrays)


def wave(rng, length):
    """(length,) of noise with a slow swell."""
    swell = 0.1 + 0.1 * np.sin(np.arange(length) / 500)
    return (swell * rng.standard_normal(length)).astype(np.float32)


def hubert(settings):
    """Torchaudio's pre-training model, through ESPnet's defaults."""
    encoder = TorchAudioHuBERTPretrainEncoder(1, **settings, num_classes=5, final_dim=6)
    return encoder.hubert_pretrain_model


@torch.no_grad()
def moved(model):
    """``model`` with noise on all weights."""
    for parameter in model.parameters():
        parameter.add_(NOISE * torch.randn_like(parameter))
    return model


@torch.no_grad()
def layers(model, samples):
    """(T, D) of every layer for one utterance (N,)."""
    states, _ = model.wav2vec2.extract_features(torch.from_numpy(samples)[None])
    return [state[0].numpy() for state in states]


def peer(folder):
    """Train and answer for every case."""
    audio = np.load(folder / "audio.npz")
    for case in sorted(path.parent for path in folder.glob("*/train.yaml")):
        model = trained_by_espnet(case)
        answers = {}
        for name in [name for name in audio.files if name.startswith("wav")]:
            for number, layer in enumerate(layers(model, audio[name]), start=1):
                answers[f"{name}/layer{number}"] = layer
        np.savez(case / "answers.npz", **answers)


def trained_by_espnet(case):
    """The HuBERT model of train.yaml after a step of ESPnet's training, all weights moved."""
    data = case.parent / "data"
    options = [
        "--config", case / "train.yaml", "--output_dir", case, "--token_type", "word",
        "--token_list", data / "tokens.txt", "--max_epoch", 1, "--optim", "sgd",
        "--batch_type", "unsorted", "--batch_size", 2, "--num_workers", 0, "--ngpu", 0,
        "--use_tensorboard", "false", "--use_matplotlib", "false", "--num_att_plot", 0,
    ]  # fmt: skip
    for part in ("train", "valid"):
        options += [f"--{part}_shape_file", data / "speech_shape"]
        for file in (f"{data}/wav.scp,speech,sound", f"{data}/text,text,text"):
            options += [f"--{part}_data_path_and_name_and_type", file]
    HubertTask.main(cmd=[str(option) for option in options])
    model, _ = HubertTask.build_model_from_file(case / "config.yaml", case / "1epoch.pth")
    torch.manual_seed(1)
    torch.save(moved(model).state_dict(), case / "model.pth")
    return model.encoder.hubert_pretrain_model.eval()


if __name__ == "__main__":
    {"golden": golden, "peer": peer}[sys.argv[1]](Path(sys.argv[2]))
