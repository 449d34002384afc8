"""ESPnet's side of ``test_probe_peer.py``: real ESPnet ASR models, in their own environment.

``python3 -P probe_side.py FOLDER`` builds for every FOLDER/cases/CASE the ASR model of config.yaml,
loads model.pth (the probe's weights; the encoder's come with the frontend), and leaves beside them

- shapes.json: name and shape of every parameter outside of the frozen encoder;
- answers.npz: of the utterances of FOLDER/audio.npz log-probabilities, frames and loss, each alone;
  what the two together give; the loss and every gradient of one in training, and what its
  SpecAugment drew.

In FOLDER/trained it lets ESPnet train the first case for a step on the Kaldi files of FOLDER/data.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
import yaml

from espnet2.tasks.asr import ASRTask

LID = torch.tensor([[4]])


def main(folder):
    """Answer for every case."""
    audio = np.load(folder / "audio.npz")
    batches = [
        [torch.from_numpy(audio[f"{name}{i}"])[None] for name in ("wav", "text")] for i in range(2)
    ]
    for case in sorted(folder.glob("cases/*")):
        model = loaded(case)
        shapes = {name: list(p.shape) for name, p in outside_of_the_encoder(model)}
        (case / "shapes.json").write_text(json.dumps(shapes))
        answers = {}
        for i, (wav, text) in enumerate(batches):
            answers |= {f"{key}{i}": value for key, value in in_eval(model, wav, text).items()}
        answers |= together(model, batches)
        answers |= in_training(model, *batches[0])
        np.savez(case / "answers.npz", **answers)
    train(folder, sorted(folder.glob("cases/*"))[0])


def train(folder, case):
    """A step of ESPnet's training, as its recipes call it."""
    data = folder / "data"
    options = [
        "--config", case / "config.yaml", "--output_dir", folder / "trained", "--max_epoch", 1,
        "--num_iters_per_epoch", 1, "--batch_size", 2, "--accum_grad", 1, "--num_workers", 0,
        "--ngpu", 0, "--use_tensorboard", "false", "--use_matplotlib", "false",
    ]  # fmt: skip
    for part in ("train", "valid"):
        options += [f"--{part}_shape_file", data / "speech_shape"]
        for file in (f"{data}/wav.scp,speech,sound", f"{data}/text,text,text"):
            options += [f"--{part}_data_path_and_name_and_type", file]
    ASRTask.main(cmd=[str(option) for option in options])


def loaded(case):
    """The model of config.yaml and model.pth: every key known, every weight of the probe used."""
    config = yaml.safe_load((case / "config.yaml").read_text())
    unknown = set(config) - set(ASRTask.get_default_config())
    assert not unknown, unknown
    model, _ = ASRTask.build_model_from_file(case / "config.yaml", case / "model.pth")
    state = torch.load(case / "model.pth", weights_only=True)
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected, unexpected
    rest = [name for name in missing if not name.startswith("frontend.upstream.")]
    assert rest == ["frontend.global_step"], rest
    assert all(torch.equal(model.state_dict()[name], state[name]) for name in state)
    return model


def outside_of_the_encoder(model):
    """(name, parameter) of what the probe is."""
    for name, parameter in model.named_parameters():
        if not name.startswith("frontend.upstream."):
            yield name, parameter


def arguments(wavs, texts):
    """What the model's forward takes."""
    lengths = [torch.tensor([len(row) for row in rows]) for rows in (wavs, texts)]
    lid = {"lid": LID.repeat(len(wavs), 1), "lid_lengths": torch.ones(len(wavs), dtype=torch.long)}
    return [wavs, lengths[0], texts, lengths[1]], lid


@torch.no_grad()
def in_eval(model, wav, text):
    """Log-probabilities, frames and loss of one utterance."""
    model.eval()
    batch, lid = arguments(wav, text)
    x, frames = model.encode(*batch[:2])
    x = x[0] if isinstance(x, tuple) else x
    loss, _, _ = model(*batch, **lid)
    return {"log_probs": model.ctc.log_softmax(x)[0].numpy(), "frames": frames.numpy(),
            "loss": loss.numpy()}  # fmt: skip


@torch.no_grad()
def together(model, batches):
    """Frames of both in one batch, padded; the loss of a batch of two that are as long."""
    model.eval()
    longest = max(wav.shape[1] for wav, _ in batches)
    lengths = torch.tensor([wav.shape[1] for wav, _ in batches])
    pad = torch.nn.functional.pad
    wavs = torch.cat([pad(wav, (0, longest - wav.shape[1])) for wav, _ in batches])
    _, frames = model.encode(wavs, lengths)
    wav, text = batches[0]
    batch, lid = arguments(torch.cat([wav, wav.flip(1)]), torch.cat([text, text.flip(1)]))
    loss, _, weight = model(*batch, **lid)
    return {"frames_together": frames.numpy(), "loss_of_two": (loss * weight).numpy()}


def in_training(model, wav, text):
    """Loss and gradients without dropout, with SpecAugment, and its draws in their order."""
    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if isinstance(getattr(module, "dropout_rate", None), float):
            module.dropout_rate = 0.0
    draws, draw = [], torch.randint

    def recorded(*args, **kwargs):
        draws.append(draw(*args, **kwargs))
        return draws[-1]

    torch.manual_seed(5)
    torch.randint = recorded
    batch, lid = arguments(wav, text)
    loss, _, _ = model(*batch, **lid)
    torch.randint = draw
    loss.backward()
    parts = outside_of_the_encoder(model)
    gradients = {f"grad/{name}": p.grad.numpy() for name, p in parts}
    drawn = {f"draw{i}": value.numpy() for i, value in enumerate(draws)}
    return {"training_loss": loss.detach().numpy(), **gradients, **drawn}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
