"""ESPnet's side of ``test_espnet_peer.py``: real ESPnet, in its own environment.

``python3 -P espnet_side.py FOLDER`` reads FOLDER/audio.npz (``wav*`` (N,) fp32, ``text*`` (T,)
int64) and

- for every FOLDER/theirs/CASE/train.yaml lets ESPnet train for one step on the Kaldi files of
  FOLDER/data, which leaves config.yaml, 1epoch.pth and checkpoint.pth in the case's folder, and
  saves model.pth, the same model with all weights moved;
- unpacks every FOLDER/zips/CASE.zip and makes of it a FOLDER/ours/CASE; what ``unpack`` returned is
  in FOLDER/unpacked.json, and the meta.yaml of a zip of ESPnet's own in packed_by_espnet.yaml;
- for every FOLDER/ours/CASE loads model.pth with config.yaml, once as ESPnet's users do and once
  strictly.

Beside each model.pth it leaves answers.npz: features of every utterance, the loss and its mask.
"""

import json
import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import torch
from espnet2.main_funcs.pack_funcs import pack, unpack

from espnet2.tasks.ssl import SSLTask

NOISE = 0.1  # added to every weight, so that none is left at its plain start


def main(folder):
    """Answer for every case of both sides."""
    arrays = np.load(folder / "audio.npz")
    audio = {name: torch.from_numpy(arrays[name])[None] for name in arrays.files}
    for case in sorted(folder.glob("theirs/*")):
        answer(written_by_espnet(case), audio, case)
    for archive in sorted(folder.glob("zips/*.zip")):
        unpacked_by_espnet(archive, folder)
    for case in sorted(folder.glob("ours/*")):
        answer(loaded_by_espnet(case), audio, case)


def written_by_espnet(case):
    """The model of train.yaml after a step of training, all weights moved; leaves its files."""
    data = case.parents[1] / "data"
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
    SSLTask.main(cmd=[str(option) for option in options])
    model, _ = SSLTask.build_model_from_file(case / "config.yaml", case / "1epoch.pth")
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(NOISE * torch.randn_like(parameter))
    torch.save(model.state_dict(), case / "model.pth")
    return model


def unpacked_by_espnet(archive, folder):
    """Unpack one of our zips, and pack what was in it again."""
    files = unpack(archive, archive.with_suffix(""))
    (folder / "unpacked.json").write_text(json.dumps(files))
    case = folder / "ours" / archive.stem
    case.mkdir()
    config, model = Path(files["ssl_train_config"]), Path(files["ssl_model_file"])
    shutil.copyfile(config, case / "config.yaml")
    shutil.copyfile(model, case / "model.pth")
    theirs = folder / "packed_by_espnet.zip"
    pack({"ssl_model_file": model}, {"ssl_train_config": config}, theirs)
    with zipfile.ZipFile(theirs) as content:
        (folder / "packed_by_espnet.yaml").write_bytes(content.read("meta.yaml"))


def loaded_by_espnet(case):
    """The model of our files, as ESPnet loads it; its strict loading must agree."""
    model, _ = SSLTask.build_model_from_file(case / "config.yaml", case / "model.pth")
    state = torch.load(case / "model.pth", weights_only=True)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    model.load_state_dict(state, strict=True)
    return model


def answer(model, audio, case):
    """Write ``case/answers.npz``."""
    model.eval()
    answers = {}
    for name in [name for name in audio if name.startswith("wav")]:
        speech, text = audio[name], audio[name.replace("wav", "text")]
        lengths, text_lengths = (torch.tensor([x.shape[1]]) for x in (speech, text))
        with torch.no_grad():
            final, layers, frames = model.inference_encode(speech, lengths)
            loss, mask = loss_and_mask(model, speech, lengths, text, text_lengths)
        answers |= {f"{name}/layer{i}": layer.numpy() for i, layer in enumerate(layers)}
        answers |= {f"{name}/final": final.numpy(), f"{name}/frames": frames.numpy()}
        answers |= {f"{name}/loss": loss.numpy(), f"{name}/mask": mask.numpy()}
    np.savez(case / "answers.npz", **answers)


def loss_and_mask(model, *batch):
    """The loss of one forward and the mask (1, T) that it drew."""
    drawn = []
    watch = model.util_modules["mask"].register_forward_hook(
        lambda module, inputs, output: drawn.append(output[1]["mask_m"].clone())
    )
    torch.manual_seed(2)
    loss, _, _ = model(*batch)
    watch.remove()
    return loss, drawn[0]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
