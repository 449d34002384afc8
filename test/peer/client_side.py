"""ESPnet's side of ``test_espnet_client.py``: what ESPnet holds after the README's commands.

``python3 -P client_side.py FOLDER``, FOLDER a recipe's, leaves there client.npz and client.json:

- final output, hidden states and frames that FOLDER/shown.py, the README's lines, computed;
- of the exported checkpoint, as ``SSLTask`` loads it: keys that its loading found missing or
  unexpected, which ESPnet keeps to itself;
- of the ASR model that was trained: the same for the checkpoint under its frontend, whose weights
  must be the checkpoint's, what the frontend gives for audio.wav, and the weights of its mix;
- of the data for pre-training: each utterance as ESPnet's own dataset and preprocessing give it;
- names and sizes of the full-size model that FOLDER/full.yaml describes.
"""

import argparse
import json
import runpy
import sys
from pathlib import Path

import numpy as np
import soundfile
import torch
import yaml
from espnet2.train.dataset import ESPnetDataset

from espnet2.tasks.asr import ASRTask
from espnet2.tasks.ssl import SSLTask

EXPORT = "exp/ssl_mini/export/espnet/xeus_checkpoint_new.pth"


def main(folder):
    """Answer everything."""
    found, answers = {"full": full_size(folder)}, {}
    for name, answer in (("ssl", shown), ("asr", frontend)):
        arrays, found[name] = answer()
        answers |= arrays
    np.savez(folder / "client.npz", **answers, **utterances())
    (folder / "client.json").write_text(json.dumps(found))


def watched(build):
    """What ``build`` returns, and the keys that any loading in it found missing or unexpected."""
    load, keys = torch.nn.Module.load_state_dict, []

    def watching(module, state_dict, *args, **kwargs):
        result = load(module, state_dict, *args, **kwargs)
        keys.append([len(state_dict), result.missing_keys, result.unexpected_keys])
        return result

    torch.nn.Module.load_state_dict = watching
    try:
        return build(), keys
    finally:
        torch.nn.Module.load_state_dict = load


def shown():
    """What the lines of the README computed, and the keys of their loading."""
    values, keys = watched(lambda: runpy.run_path("shown.py"))
    state = torch.load(EXPORT, weights_only=True)
    model = values["model"].state_dict()
    assert all(torch.equal(value, state[name]) for name, value in model.items())
    arrays = {f"shown/layer{i}": x.detach().numpy() for i, x in enumerate(values["layers"])}
    arrays["shown/final"] = values["final"].detach().numpy()
    return arrays | {"shown/frames": values["frames"].numpy()}, keys


def frontend():
    """Features (1, T, D) of the trained recogniser's frontend, (L,) logits of its mix; keys."""
    config, trained = "exp/espnet_asr/config.yaml", "exp/espnet_asr/1epoch.pth"
    (model, _), keys = watched(lambda: ASRTask.build_model_from_file(config, trained))
    state = torch.load(EXPORT, weights_only=True)
    kept = model.frontend.upstream.state_dict()
    assert set(state) - set(kept) == {name for name in state if name.startswith("losses.")}
    assert all(torch.equal(value, state[name]) for name, value in kept.items())
    speech = torch.from_numpy(soundfile.read("audio.wav", dtype="float32")[0])[None]
    with torch.no_grad():
        feats, frames = model.eval().frontend(speech, torch.tensor([speech.shape[1]]))
    weights = model.frontend.featurizer.weights.detach()
    return {"feats": feats.numpy(), "frames": frames.numpy(), "mix": weights.numpy()}, keys


def utterances():
    """ID/speech (N,) fp32 and ID/text (T,) int64 of the training set."""
    args = argparse.Namespace(**yaml.safe_load(Path("exp/espnet_ssl/config.yaml").read_text()))
    files = [tuple(file) for file in args.train_data_path_and_name_and_type]
    data = ESPnetDataset(files, preprocess=SSLTask.build_preprocess_fn(args, train=True))
    return {f"{name}/{key}": array for name in data for key, array in data[name][1].items()}


def full_size(folder):
    """Shape by name of every tensor of the model of full.yaml; none is given memory."""
    args = argparse.Namespace(**yaml.safe_load((folder / "full.yaml").read_text()))
    with torch.device("meta"):
        model = SSLTask.build_model(args)
    return {name: list(value.shape) for name, value in model.state_dict().items()}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
