"""Encoders behind one interface: a wave goes in, every layer comes out.

Shapes: B batch, S samples, T frames of 20 ms, L layers, D width.
Every encoder gives ``frames.num_frames(S)`` frames, so features of different encoders align.
"""

import math
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from espnet2.asr.config import EncoderSpec
from espnet2.asr.encoder_files import model_files
from espnet2.asr.fbank import FbankNetwork
from espnet2.asr.hf_network import HfNetwork
from espnet2.asr.network import Network
from espnet2.asr.ssl_network import SSLNetwork
from espnet2.data.frames import num_frames
from espnet2.ssl.config import SSLModelConfig, load_config
from espnet2.ssl.extract import GRID_SAMPLES
from espnet2.ssl.factory import build_model
from espnet2.ssl.interop import load_model
from espnet2.utils.hardware import has_amx_bf16
from espnet2.utils.seeding import seed_for


class Encoder(Protocol):
    """What cached features need of an encoder."""

    num_layers: int
    """L: layers the probe may mix."""

    dim: int
    """D: width of each layer."""

    def features(self, waves: list[np.ndarray]) -> list[Tensor]:
        """(L, T, D) float32 of each wave (S,) float32 in +-1 at 16 kHz; the batch plays no role."""


def build_encoder(spec: EncoderSpec, export: Path | None, device: str, amp: str) -> Encoder:
    """The encoder that ``spec`` describes; ``export`` serves where it names no folder.

    Raises:
        ConfigError: it names nothing that can be loaded.
        CheckpointError: weights that are damaged or of another model.
    """
    return FrozenEncoder(build_network(spec, export), device, amp)


def build_network(spec: EncoderSpec, export: Path | None) -> Network:
    """The same as a module on the CPU; raises as ``build_encoder``."""
    if spec.kind == "fbank":
        return FbankNetwork()
    if spec.kind == "hf":
        return HfNetwork(spec.path)
    config, checkpoint = model_files(spec, export)
    model_config = SSLModelConfig.from_espnet(load_config(config), str(config))
    if checkpoint is not None:
        return SSLNetwork(load_model(model_config, checkpoint), spec.mixes_input)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for(spec.seed, "random encoder"))
        return SSLNetwork(build_model(model_config), spec.mixes_input)


class FrozenEncoder:
    """A network that only listens."""

    def __init__(self, network: Network, device: str, amp: str) -> None:
        self.network = network.to(device).eval().requires_grad_(False)
        self.device = torch.device(device)
        self.amp = autocast_for(self.device, amp)
        self.num_layers, self.dim = network.num_layers, network.dim

    @torch.inference_mode()
    def features(self, waves: list[np.ndarray]) -> list[Tensor]:
        """(L, T, D) of each wave; see ``Encoder``."""
        if len(waves) > 1 and not self.network.is_exact_in_batch:
            return [self.features([wave])[0] for wave in waves]
        lengths = [len(wave) for wave in waves]
        if not num_frames(min(lengths)):  # networks want at least a frame
            return [self.of_any_length(wave) for wave in waves]
        inputs = pad_sequence([self.network.prepare(wave) for wave in waves], batch_first=True)
        if (
            inputs.dim() == 2 and self.network.is_exact_in_batch
        ):  # Samples: half seconds, as few shapes are fast on CPUs.
            width = math.ceil(inputs.shape[1] / GRID_SAMPLES) * GRID_SAMPLES
            inputs = torch.nn.functional.pad(inputs, (0, width - inputs.shape[1]))
        with self.amp:
            # The grid's last frames are nobody's.
            layers, frames = self.network.layers(
                inputs.to(self.device), lengths, num_frames(max(lengths))
            )
        stacked = torch.stack([layer.float() for layer in layers], dim=1).cpu()  # (B, L, T, D)
        return [x[:, :count] for x, count in zip(stacked, frames, strict=True)]

    def of_any_length(self, wave: np.ndarray) -> Tensor:
        """(L, T, D) of one wave, T 0 where it is shorter than a frame."""
        if num_frames(len(wave)):
            return self.features([wave])[0]
        return torch.zeros(self.num_layers, 0, self.dim)


def autocast_for(device: torch.device, amp: str) -> torch.autocast:
    """Autocast as ``FeatureConfig.amp`` asks: bfloat16 where the device multiplies it, or not."""
    has_bf16 = device.type == "cuda" or has_amx_bf16()
    wants_bf16 = has_bf16 if amp == "auto" else amp == "bfloat16"
    return torch.autocast(device.type, torch.bfloat16, enabled=wants_bf16)
