"""Whether a Hugging Face folder is whole, before strangers load it."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor
from transformers import AutoFeatureExtractor, AutoTokenizer, pipeline

import espnet2.hf  # registers the classes
from espnet2.data.frames import SAMPLE_RATE_HZ
from espnet2.hf.quiet import quiet
from espnet2.ssl.checkpoint_files import HUGGING_FACE, read_checkpoint
from espnet2.ssl.config import MODEL_TYPE
from espnet2.tasks.ssl import SSLTask
from espnet2.utils.errors import CheckpointError, ConfigError, DataError
from espnet2.utils.files import read_json

MODELS = {"XeusModel": espnet2.hf.XeusModel, "XeusForCTC": espnet2.hf.XeusForCTC}
NEEDED = ("README.md", "config.json", HUGGING_FACE, "preprocessor_config.json")
OF_CTC = ("processor_config.json", "tokenizer_config.json", "vocabulary.txt")
ALSO = ("LICENSE", "NOTICE", "special_tokens_map.json", "vocabulary.model")
FRONT_MATTER = re.compile(r"---\n(.*?)\n---\n", re.DOTALL)
MAX_DIFFERENCE = 1e-6  # of a hidden state; the same arithmetic twice differs by 0


@dataclass(frozen=True, kw_only=True)
class CheckedFolder:
    """A folder that others can load."""

    path: Path
    """The folder."""

    kind: str
    """XeusModel or XeusForCTC."""

    licence: str
    """Of the card."""

    files: list[Path]
    """What belongs to it, in the order of the names."""

    left_out: list[Path]
    """What does not, and is not sent."""


def check_folder(path: Path) -> CheckedFolder:
    """Load it as users do and compare.

    Raises:
        ConfigError: a file is missing, or the card names no licence.
        CheckpointError: weights that are not the file's, that are missing or left over.
        DataError: a damaged JSON file.
    """
    if not (path / "config.json").is_file():
        raise ConfigError(
            f"{path} holds no config.json: name a folder of stage 9, of export_cell, or one that "
            "model.save_pretrained or Trainer.save_model wrote"
        )
    config = read_json(path / "config.json")
    [kind] = config.get("architectures") or [None]
    if config.get("model_type") != MODEL_TYPE or kind not in MODELS:
        raise ConfigError(f"{path}/config.json is of no model of espnet2.hf: {kind}")
    needed = NEEDED + (OF_CTC if kind == "XeusForCTC" else ())
    missing = [name for name in needed if not (path / name).is_file()]
    if missing:
        raise ConfigError(f"{path} holds no {', '.join(missing)}: {how_to_make(missing, kind)}")
    licence = licence_of(path / "README.md")
    speech = 0.1 * torch.randn(1, SAMPLE_RATE_HZ, generator=torch.Generator().manual_seed(1))
    with quiet():
        model = loaded(path, kind)
        compare_weights(path / HUGGING_FACE, model.state_dict())
        if kind == "XeusForCTC":
            hear(path, model, speech)
        else:
            compare_features(path, model, speech)
    inside = sorted(file for file in path.rglob("*") if file.is_file())
    files = [file for file in inside if file.relative_to(path).as_posix() in (*needed, *ALSO)]
    return CheckedFolder(
        path=path, kind=kind, licence=licence, files=files,
        left_out=[file for file in inside if file not in files],
    )  # fmt: skip


def how_to_make(missing: list[str], kind: str) -> str:
    """What writes the files that are missing."""
    steps = []
    if HUGGING_FACE in missing:
        steps.append("model.save_pretrained(FOLDER) writes the weights")
    if set(missing) - {HUGGING_FACE, "README.md"}:
        steps.append(
            "processor.save_pretrained(FOLDER) writes what is heard and said with, and so does "
            "Trainer(processing_class=processor)"
            if kind == "XeusForCTC"
            else "XeusFeatureExtractor().save_pretrained(FOLDER) writes how audio comes in"
        )
    if "README.md" in missing:
        steps.append(
            "stage 9 and export_cell write README.md, or you do: its first lines are ---, "
            "license: NAME and ---"
        )
    return "; ".join(steps)


def licence_of(card: Path) -> str:
    """The licence in a card's front matter.

    Raises:
        ConfigError: there is none, or it is unknown.
    """
    found = FRONT_MATTER.match(card.read_text(encoding="utf-8"))
    try:
        matter = yaml.safe_load(found[1]) if found else None
    except yaml.YAMLError:
        matter = None
    licence = matter.get("license") if isinstance(matter, dict) else None
    if not isinstance(licence, str) or licence == "unknown":
        raise ConfigError(
            f"{card} does not say under which licence the weights are: write it between its first "
            "two lines of ---, as license: cc-by-nc-sa-4.0; export.licence and --licence do so"
        )
    return licence


def loaded(path: Path, kind: str) -> Any:
    """The model in evaluation mode and fp32, as ``SSLTask`` has it, every key in its place."""
    model, info = MODELS[kind].from_pretrained(path, output_loading_info=True, dtype=torch.float32)
    for problem in ("missing", "unexpected", "mismatched"):
        if keys := sorted(map(str, info[f"{problem}_keys"])):
            raise CheckpointError(f"{path}: {len(keys)} {problem} weights: {keys[0]}, ...")
    return model.eval()


def compare_weights(file: Path, state: dict[str, Tensor]) -> None:
    """Refuse a model that is not what its file holds, and numbers that are none."""
    tensors = read_checkpoint(file).tensors
    for name, tensor in state.items():
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f"{file}: {name} holds NaN or infinite values")
        if name not in tensors or not torch.equal(tensor, tensors[name].to(tensor.dtype)):
            raise CheckpointError(f"{file}: {name} is not what transformers loads")


@torch.inference_mode()
def compare_features(path: Path, model: Any, speech: Tensor) -> None:
    """Refuse an encoder that gives other hidden states in transformers than by ``SSLTask``."""
    AutoFeatureExtractor.from_pretrained(path)
    ours, _ = SSLTask.build_model_from_file(None, path)
    wanted = ours.encode(speech, torch.tensor([speech.shape[1]]), use_final_output=False).layers
    found = model(speech, output_hidden_states=True).hidden_states[1:]
    pairs = zip(wanted, found, strict=True)
    difference = float(torch.stack([(a - b).abs().max() for a, b in pairs]).max())
    if not difference <= MAX_DIFFERENCE:
        raise CheckpointError(f"{path}: hidden states differ from SSLTask's by {difference:g}")


@torch.inference_mode()
def hear(path: Path, model: Any, speech: Tensor) -> None:
    """Refuse a recogniser whose tokens are not its outputs, or that ``pipeline`` does not run."""
    tokenizer = AutoTokenizer.from_pretrained(path)
    if tokenizer.vocab_size != model.config.vocab_size:
        raise DataError(
            f"{path}/vocabulary.txt has {tokenizer.vocab_size} tokens, the model "
            f"{model.config.vocab_size}"
        )
    text = tokenizer.decode(model(speech).logits[0].argmax(1))
    recognise = pipeline("automatic-speech-recognition", model=str(path))
    heard = recognise(np.asarray(speech[0]))["text"]
    if heard != text:
        raise CheckpointError(f"{path}: pipeline hears {heard!r} where the model says {text!r}")
