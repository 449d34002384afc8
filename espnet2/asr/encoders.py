"""Frozen encoders behind one interface: a wave goes in, every layer comes out.

Shapes: B batch, S samples, T frames of 20 ms, L layers, D width.
Every encoder gives ``frames.num_frames(S)`` frames, so features of different encoders align.
"""

import math
from pathlib import Path
from typing import Protocol

import kaldi_native_fbank
import numpy as np
import torch
from torch import Tensor

from espnet2.asr.config import EncoderSpec
from espnet2.data.frames import SAMPLE_RATE_HZ, num_frames
from espnet2.nn.padding import padding_for
from espnet2.ssl.config import SSLModelConfig
from espnet2.ssl.espnet_model import ESPnetSSLModel
from espnet2.ssl.extract import GRID_SAMPLES
from espnet2.ssl.factory import build_model
from espnet2.ssl.interop import load_model
from espnet2.utils.config import load_yaml
from espnet2.utils.errors import ConfigError
from espnet2.utils.hardware import has_amx_bf16
from espnet2.utils.seeding import seed_for

MEL_BINS = 80
STACK = 2  # fbank frames of 10 ms in one of 20 ms
CHECKPOINTS = ("xeus_checkpoint_new.pth", "xeus_checkpoint_old.pth")
PCM_SCALE = 32768.0  # Kaldi's filter banks expect 16-bit values


class Encoder(Protocol):
    """What the probe needs of an encoder."""

    num_layers: int
    """L: layers the probe may mix."""

    dim: int
    """D: width of each layer."""

    def features(self, waves: list[np.ndarray]) -> list[Tensor]:
        """(L, T, D) float32 of each wave (S,) float32 in +-1 at 16 kHz; the batch plays no role."""


def build_encoder(spec: EncoderSpec, export: Path | None, device: str, amp: str) -> Encoder:
    """The encoder that ``spec`` describes; ``export`` serves where it names no folder.

    Raises:
        ConfigError: no export folder is given, or it is not complete.
    """
    if spec.kind == "fbank":
        return FbankEncoder()
    folder = spec.path or export
    if folder is None:
        raise ConfigError(f"encoder of kind {spec.kind} needs an export folder: give --export")
    config = SSLModelConfig.from_espnet(load_yaml(folder / "config.yaml"), str(folder))
    if spec.kind == "random":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_for(spec.seed, "random encoder"))
            model = build_model(config)
    else:
        model = load_model(config, checkpoint_in(folder))
    return SSLEncoder(model, device, amp)


def checkpoint_in(folder: Path) -> Path:
    """The checkpoint of an export folder."""
    found = [folder / name for name in CHECKPOINTS if (folder / name).is_file()]
    if not found:
        raise ConfigError(f"{folder} holds none of {', '.join(CHECKPOINTS)}; export a model first")
    return found[0]


class SSLEncoder:
    """Input of the first block and output of every block of an SSL model."""

    def __init__(self, model: ESPnetSSLModel, device: str, amp: str) -> None:
        self.model = model.to(device).eval().requires_grad_(False)
        self.device = torch.device(device)
        has_bf16 = self.device.type == "cuda" or has_amx_bf16()
        wants_bf16 = has_bf16 if amp == "auto" else amp == "bfloat16"
        self.amp = torch.autocast(self.device.type, torch.bfloat16, enabled=wants_bf16)
        self.num_layers = len(model.encoder.encoders) + 1
        self.dim = model.encoder.output_size()

    @torch.inference_mode()
    def features(self, waves: list[np.ndarray]) -> list[Tensor]:
        """(L, T, D) of each wave; see ``Encoder``."""
        lengths = [len(wave) for wave in waves]
        # Half seconds: few shapes are fast on CPUs.
        width = math.ceil(max(lengths) / GRID_SAMPLES) * GRID_SAMPLES
        speech = torch.zeros(len(waves), width)  # (B, S)
        for row, wave in zip(speech, waves, strict=True):
            row[: len(wave)] = torch.from_numpy(wave)
        with self.amp:
            layers, frames = self.layers(speech.to(self.device), lengths)
        stacked = torch.stack([layer.float() for layer in layers], dim=1).cpu()  # (B, L, T, D)
        return [x[:, :count] for x, count in zip(stacked, frames, strict=True)]

    def layers(self, speech: Tensor, lengths: list[int]) -> tuple[list[Tensor], list[int]]:
        """L tensors (B, T, D) and the frames of each utterance."""
        feats, frames = self.model.frontend(speech, lengths)
        feats = feats[:, : max(frames)]  # the grid's last frames are nobody's
        padding = padding_for(frames, feats.shape[1], feats.device)
        x = self.model.project(feats, padding)
        return [x, *self.model.states(x, padding, use_final_output=False)], frames


class FbankEncoder:
    """80 log-mel energies every 10 ms, mean of the utterance removed, two frames side by side."""

    num_layers, dim = 1, STACK * MEL_BINS

    def __init__(self) -> None:
        self.options = kaldi_native_fbank.FbankOptions()
        self.options.frame_opts.samp_freq = SAMPLE_RATE_HZ
        self.options.frame_opts.dither = 0
        self.options.mel_opts.num_bins = MEL_BINS

    def features(self, waves: list[np.ndarray]) -> list[Tensor]:
        """(1, T, 160) of each wave; see ``Encoder``."""
        return [self.one(wave) for wave in waves]

    def one(self, wave: np.ndarray) -> Tensor:
        """(1, T, 160) of one wave; the last 10 ms frame is repeated where it has no partner."""
        bank = kaldi_native_fbank.OnlineFbank(self.options)
        bank.accept_waveform(SAMPLE_RATE_HZ, wave * PCM_SCALE)
        bank.input_finished()
        frames = [bank.get_frame(index) for index in range(bank.num_frames_ready)]
        count = num_frames(len(wave))
        if not count:
            return torch.zeros(1, 0, self.dim)
        mel = np.stack(frames + frames[-1:])[: STACK * count]  # (2T, 80)
        mel = mel - mel.mean(axis=0)
        return torch.from_numpy(mel.reshape(1, count, self.dim))
