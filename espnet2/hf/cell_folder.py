"""A finished cell as a Hugging Face folder that holds everything: encoder, probe and vocabulary."""

import contextlib
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from espnet2.asr.encoders import model_files
from espnet2.asr.network import padded_inputs
from espnet2.asr.ssl_network import SSLNetwork
from espnet2.asr.tuned_model import TunedModel
from espnet2.data.duplicates import scratch
from espnet2.data.frames import SAMPLE_RATE_HZ, num_frames
from espnet2.hf.cell_card import cell_card
from espnet2.hf.config import HearingConfig, XeusConfig
from espnet2.hf.feature_extractor import XeusFeatureExtractor
from espnet2.hf.for_ctc import XeusForCTC
from espnet2.hf.processor import XeusProcessor
from espnet2.hf.quiet import quiet
from espnet2.hf.tokenizer import XeusTokenizer
from espnet2.ssl.config import MODEL_TYPE, load_config
from espnet2.tasks.asr import ASRTask, folder_of
from espnet2.tasks.recogniser import SpeechRecogniser
from espnet2.train.cell_model import read_cell
from espnet2.train.cells import CellConfig
from espnet2.train.export.hf_folder import complete_keys
from espnet2.utils.config import to_dict
from espnet2.utils.errors import CheckpointError, ConfigError
from espnet2.utils.files import read_json, write_text
from espnet2.utils.logs import log
from espnet2.utils.provenance import version

HEADS = ("loss", "loss_conf")  # of pre-training: nothing recognises with them


def save_cell(
    cell_folder: Path, out: Path, export: Path | None = None, licence: str = "unknown",
    command: str = "",
) -> None:  # fmt: skip
    """Write ``out``, loaded again and compared before it takes the place of what was there.

    Args:
        cell_folder: of stage 11.
        export: where the encoder's export folder lies now, if it moved.
        licence: terms of the weights for the card, as Hugging Face abbreviates them.
        command: how this was called, for the card.

    Raises:
        ConfigError: the cell's encoder is no XEUS model, its files cannot be used, or ``out`` is
            something else.
        CheckpointError: the cell is not trained, or what was written gives other numbers.
    """
    folder = folder_of(cell_folder)
    refuse_other_folder(out)
    recogniser, _ = ASRTask.build_model_from_file(model_file=folder, export=export)
    saved, cell = read_cell(folder / "config.yaml")
    tuned = recogniser.model
    if not isinstance(tuned.encoder, SSLNetwork):
        raise ConfigError(
            f"{folder}: its encoder is {cell.encoder.kind}; only cells on a XEUS model become a "
            "folder of XeusForCTC"
        )
    if tuned.tune.encoder == "lora":
        merge_lora(tuned.encoder)
    place = export or saved["data"]["export"]
    path, _ = model_files(cell.encoder, Path(place) if place else None)
    layer_std = saved["model"].get("layer_std")
    model = hf_model(config_of(load_config(path), cell, tuned, recogniser, layer_std), tuned)
    with scratch(out.parent / f".{out.name}.part") as folder_of_part:
        part = folder_of_part / out.name
        with quiet():
            model.save_pretrained(part)
            processor_of(folder).save_pretrained(part)
        write_text(part / "README.md", cell_card(out.name, folder, saved, model, licence, command))
        compare(part, recogniser)
        replace_folder(part, out)


def config_of(
    encoder: dict[str, Any], cell: CellConfig, tuned: TunedModel, recogniser: SpeechRecogniser,
    layer_std: list[float] | None,
) -> XeusConfig:  # fmt: skip
    """config.json: the encoder's keys without its heads, and how the probe hears it."""
    keys = {key: value for key, value in complete_keys(encoder).items() if key not in HEADS}
    features = cell.features
    # An encoder that learned gives its layers as they are.
    types: dict[str, Any] = {} if tuned.stages else {"amp": features.amp, "dtype": features.dtype}
    hearing = HearingConfig(
        **types, centre=features.centre, mixes_input=tuned.encoder.mixes_input, layer_std=layer_std
    )
    return XeusConfig(
        **keys, probe=to_dict(cell.probe), hearing=to_dict(hearing),
        vocab_size=len(recogniser.vocabulary), xeus_version=version("xeus"),
    )  # fmt: skip


def hf_model(config: XeusConfig, tuned: TunedModel) -> XeusForCTC:
    """The model with the cell's weights, which are not copied."""
    with torch.device("meta"):
        model = XeusForCTC(config)
    encoder = {
        f"xeus.{name}": tensor
        for name, tensor in tuned.encoder.model.state_dict().items()
        if not name.startswith("losses.")
    }
    probe = {f"probe.{name}": tensor for name, tensor in tuned.probe.state_dict().items()}
    state: dict[str, Tensor] = {**encoder, **probe}
    model.load_state_dict(state, strict=True, assign=True)
    return model.eval()


def merge_lora(network: nn.Module) -> None:
    """Add the low-rank additions to the layers that they were learned for."""
    for name, layer in list(network.named_modules()):
        if hasattr(layer, "lora_A"):
            layer.merge()
            parent, _, last = name.rpartition(".")
            setattr(network.get_submodule(parent), last, layer.get_base_layer())


def processor_of(cell_folder: Path) -> XeusProcessor:
    """Extractor and tokenizer."""
    pieces = cell_folder / "vocabulary.model"
    tokenizer = XeusTokenizer(
        str(cell_folder / "vocabulary.txt"), str(pieces) if pieces.is_file() else None
    )
    return XeusProcessor(XeusFeatureExtractor(), tokenizer)


@torch.inference_mode()
def compare(part: Path, recogniser: SpeechRecogniser) -> None:
    """Load the folder as users do; two waves of noise together must get the cell's numbers.

    Raises:
        CheckpointError: a key is missing or left over, or the numbers differ.
    """
    with quiet():
        model, info = XeusForCTC.from_pretrained(part, output_loading_info=True)
        tokenizer = XeusTokenizer.from_pretrained(part)
    odd = sorted({*info["missing_keys"], *info["unexpected_keys"]})
    if odd:
        raise CheckpointError(f"{part.name}: read back, {odd[0]} is missing or left over")
    if tokenizer.vocabulary.tokens != recogniser.vocabulary.tokens:
        raise CheckpointError(f"{part.name}: read back, its vocabulary is another one")
    generator = torch.Generator().manual_seed(1)
    waves = [0.1 * torch.randn(n, generator=generator) for n in (SAMPLE_RATE_HZ, 9000)]
    samples = torch.tensor([len(wave) for wave in waves])
    speech = padded_inputs(waves, num_frames(len(waves[0])))
    wanted, rows = recogniser.model.log_probs(speech, samples)
    mask = torch.arange(speech.shape[1]) < samples[:, None]
    found = model.eval()(speech, mask).logits
    difference = max(
        float((a[:count] - b[:count]).abs().max())
        for a, b, count in zip(wanted, found, rows.tolist(), strict=True)
    )
    if difference != 0:
        raise CheckpointError(f"{part.name}: read back, log-probabilities differ by {difference:g}")
    log(f"{part.name}: read back, log-probabilities are the cell's, bit by bit")


def refuse_other_folder(out: Path) -> None:
    """Refuse to replace what is no Hugging Face folder of ours."""
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        path = out / "config.json"
        if not path.is_file() or read_json(path).get("model_type") != MODEL_TYPE:
            raise ConfigError(f"{out} is there and no Hugging Face folder of XEUS: choose another")


def replace_folder(part: Path, out: Path) -> None:
    """Put a whole folder where another one may be; that one is gone only afterwards."""
    old = part.with_name(f"{part.name}.old")
    with contextlib.suppress(FileNotFoundError):
        os.rename(out, old)
    os.rename(part, out)
    shutil.rmtree(old, ignore_errors=True)
