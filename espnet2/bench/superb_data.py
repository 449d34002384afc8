"""One encoder and one training set of ML-SUPERB, for our stage 11 and for ESPnet's recipe.

``FOLDER/superb/10min/{train,dev}``: Kaldi directories as stage 10 writes them, which both sides
read; ``FOLDER/speech_shape`` is ESPnet's list of lengths. ``FOLDER/export``: an encoder of random
weights as our exporter writes it for ESPnet, which both sides load. All utterances have one length,
so that every micro-batch of either side has as many frames.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from espnet2.asr.config import ProbeConfig, SpecAugConfig
from espnet2.asr.vocabulary import Vocabulary
from espnet2.bench.data_audio import SEED, joined, speech
from espnet2.bench.sizes import STRIDES, Size, encoder_conf, mask_conf
from espnet2.bench.tokens_data import write_shards
from espnet2.data.frames import SAMPLE_RATE_HZ
from espnet2.data.index import IndexedUtterance
from espnet2.data.kaldi import Utterance, write_kaldi, write_table
from espnet2.data.shards import Record
from espnet2.ssl.config import SSLModelConfig
from espnet2.ssl.factory import build_model
from espnet2.ssl.interop import state_dict_as
from espnet2.train.checkpoint import save_tensors
from espnet2.train.export.layouts import MODELS, exported_config, save_new_config
from espnet2.utils.seeding import rng_for

SHARD_S = 100.0
TRACK, LANGUAGE, CORPUS = "10min", "eng", "speech"
LETTERS = 0x4E00  # the first of so many characters that are none of Kaldi's or ESPnet's own
WORD = 6  # characters from one space to the next


@dataclass(frozen=True, kw_only=True)
class ProbeSize:
    """One size of the benchmark."""

    encoder: Size
    """Encoder, utterances of a micro-batch and their length."""

    probe: ProbeConfig
    """Downstream model."""

    characters: int
    """Different characters, the space among them."""

    text: int
    """Characters of an utterance."""


FULL = ProbeSize(
    encoder=Size(
        batch=8, audio_s=5, width=512, blocks=8, units=2048, channels=512, classes=500, masks=0,
        mask_frames=0,
    ),
    probe=ProbeConfig(), characters=1000, text=60,
)  # fmt: skip
TINY = ProbeSize(
    encoder=Size(
        batch=2, audio_s=1, width=32, blocks=2, units=32, channels=8, classes=16, masks=0,
        mask_frames=0,
    ),
    probe=ProbeConfig(
        projection=16, output_size=32, attention_heads=2, linear_units=32, num_blocks=1,
        specaug=SpecAugConfig(freq_mask_width=8),
    ),
    characters=20, text=8,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ProbeSet:
    """The set and the encoder, as the sides are told of them."""

    folder: Path
    """Where everything lies."""

    size: ProbeSize
    """Encoder, probe and batch."""

    utterances: int
    """Pieces of speech, all ``size.encoder.audio_s`` long."""

    origin: str
    """Which speech it is, for the notes of a table."""

    @property
    def data(self) -> Path:
        """What stage 10 would have written."""
        return self.folder / "superb"

    @property
    def train(self) -> Path:
        """Kaldi directory of the training set."""
        return self.data / TRACK / "train"

    @property
    def export(self) -> Path:
        """The encoder."""
        return self.folder / "export"

    @property
    def checkpoint(self) -> Path:
        """Its weights, the configuration beside them."""
        return self.export / MODELS["new"]

    @property
    def tokens(self) -> list[str]:
        """The vocabulary, as our stage 11 makes it of the training targets."""
        lines = (self.train / "text").read_text(encoding="utf-8").splitlines()
        return Vocabulary.from_targets(line.split(" ", 1)[1] for line in lines).tokens


def make_set(args: argparse.Namespace, folder: Path, size: ProbeSize, batches: int) -> ProbeSet:
    """Write an encoder, and speech for so many micro-batches; ``args.dump``: see ``speech``.

    Raises:
        ConfigError: there is no speech.
    """
    folder.mkdir(parents=True, exist_ok=True)
    seconds = batches * size.encoder.batch * size.encoder.audio_s
    sources, origin = speech(args.dump, folder, seconds)
    lengths_s = (size.encoder.audio_s, size.encoder.audio_s)
    rows = list(write_shards(folder / "dump", joined(sources, seconds, lengths_s), SHARD_S))
    audio = ProbeSet(folder=folder, size=size, utterances=len(rows), origin=origin)
    utterances = [
        utterance(folder, row, text) for row, text in zip(rows, texts(size, len(rows)), strict=True)
    ]
    write_split(audio.train, utterances)
    write_split(audio.data / TRACK / "dev", utterances[:1])  # nobody validates
    lines = [f"{row.utt_id} {row.num_samples}\n" for row in rows]
    (folder / "speech_shape").write_text("".join(lines), encoding="utf-8")
    write_encoder(audio.export, size.encoder)
    return audio


def utterance(folder: Path, row: IndexedUtterance, text: str) -> Utterance:
    """A line of each file of a Kaldi directory."""
    at = Record(row.offset, row.nbytes).kaldi_offset
    return Utterance(
        utt_id=row.utt_id, recording=row.utt_id, source=f"{folder / 'dump' / row.shard}:{at}",
        language=LANGUAGE, speaker=row.utt_id, text=text,
        duration_s=row.num_samples / SAMPLE_RATE_HZ,
    )  # fmt: skip


def texts(size: ProbeSize, count: int) -> list[str]:
    """Random characters in words: what training costs depends on their number alone."""
    rng = rng_for(SEED, "texts")
    letters = rng.integers(LETTERS, LETTERS + size.characters - 1, size=(count, size.text))
    letters[:, WORD - 1 : -1 : WORD] = ord(" ")
    return ["".join(map(chr, row)) for row in letters]


def write_split(folder: Path, utterances: list[Utterance]) -> None:
    """A Kaldi directory of ML-SUPERB."""
    write_kaldi(folder, utterances)
    write_table(folder / "utt2corpus", {u.utt_id: CORPUS for u in utterances})


def encoder_section(size: Size) -> dict[str, Any]:
    """The encoder's keys. No dropout: ESPnet leaves a frozen encoder in training mode, where it
    would change the features; ours are those of evaluation.
    """
    no_dropout = ("dropout_rate", "positional_dropout_rate", "attention_dropout_rate")
    return {
        "frontend": "wav2vec_cnn",
        "frontend_conf": {
            "shapes": [[size.channels, kernel, stride] for kernel, stride in STRIDES],
            "norm_mode": "layer_norm", "conv_mode": "standard", "bias": True,
            "normalize_audio": True,
        },
        "preencoder": "linear", "preencoder_conf": {"output_size": size.width},
        "encoder": "e_branchformer",
        "encoder_conf": encoder_conf(size) | dict.fromkeys(no_dropout, 0.0),
        "masker": "hubert", "masker_conf": mask_conf(),
        "loss": "hubert_ce",
        "loss_conf": {"num_classes": size.classes, "final_dim": size.width},
        "init": "xavier_uniform",
    }  # fmt: skip


def write_encoder(out: Path, size: Size) -> None:
    """A model of random weights in the layout of ESPnet from PyPI."""
    section = encoder_section(size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        model = build_model(SSLModelConfig.from_espnet(section))
    out.mkdir()
    save_new_config(out / "config.yaml", exported_config(section, size.classes))
    save_tensors(out / MODELS["new"], state_dict_as(model, "new", global_step=0))
