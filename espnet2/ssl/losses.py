"""Masked prediction of cluster labels.

Shapes: B batch, T frames, D model width, F width of the head, C classes.
The head runs on all frames: at XEUS size that adds 0.4 % of the arithmetic, and it spares a
gather whose size the host would have to wait for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from espnet2.nn.loss_output import FrameOutcome
from espnet2.nn.precision import at_least_float32
from espnet2.ssl.part_configs import LossConfig

TEMPERATURE = 0.1  # HuBERT (arXiv 2106.07447); XEUS keeps it for the linear head
COSINE_EPS = 1e-8


@dataclass(frozen=True)
class Targets:
    """What there is to predict, and where."""

    labels: Tensor  # (B, T) int64, 0 where is_masked and is_visible are both False
    is_masked: Tensor  # (B, T) bool, True where the encoder saw the mask vector
    is_visible: Tensor  # (B, T) bool, True on real frames it saw


class LinearHead(nn.Module):
    """Logits by two linear layers (``hubert_ce``)."""

    def __init__(self, dim: int, num_classes: int, final_dim: int):
        super().__init__()
        self.final_proj = nn.Linear(dim, final_dim)
        self.label_embeddings = nn.Linear(final_dim, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` (B, T, D) -> logits (B, T, C), at least fp32."""
        return at_least_float32(self.label_embeddings(self.final_proj(x))) / TEMPERATURE


class CosineHead(nn.Module):
    """Logits by cosine similarity to one vector a class (``hubert``), as one matrix product."""

    def __init__(self, dim: int, num_classes: int, final_dim: int):
        super().__init__()
        self.label_embeddings = nn.Parameter(torch.rand(num_classes, final_dim))
        self.final_proj = nn.Linear(dim, final_dim)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` (B, T, D) -> logits (B, T, C), at least fp32."""
        projected = F.normalize(at_least_float32(self.final_proj(x)), dim=-1, eps=COSINE_EPS)
        classes = F.normalize(at_least_float32(self.label_embeddings), dim=-1, eps=COSINE_EPS)
        return at_least_float32(projected @ classes.t()) / TEMPERATURE


HEADS: dict[str, Any] = {"hubert_ce": LinearHead, "hubert": CosineHead}


class MaskedPredictionLoss(nn.Module):
    """Cross entropy summed over masked (and, if asked, visible) frames of chosen layers."""

    def __init__(self, dim: int, config: LossConfig):
        super().__init__()
        self.decoder = HEADS[config.kind](dim, config.num_classes, config.final_dim)
        self.num_classes = config.num_classes
        self.layers = config.layers
        self.layer_weights = config.layer_weights or (1.0,) * len(config.layers)
        self.masked_weight = config.masked_weight
        self.unmasked_weight = config.unmasked_weight

    def forward(
        self, states: list[Tensor], targets: Targets, extra: dict[int, float]
    ) -> tuple[Tensor, FrameOutcome]:
        """The loss sum, and the outcome of every frame in the last layer.

        ``states``: hidden states (B, T, D), the last already through the final norm.
        ``extra``: more layers and their weights, from 0, as ``set_phase`` sets them.
        """
        frame_weight = self.masked_weight * targets.is_masked
        frame_weight = frame_weight + self.unmasked_weight * targets.is_visible  # (B, T)
        total: Tensor | float = 0.0
        weighted = [*extra.items(), *zip(self.layers, self.layer_weights, strict=True)]
        for layer, weight in weighted:
            logits = self.decoder(states[layer])
            entropy = F.cross_entropy(
                logits.flatten(0, 1), targets.labels.flatten(), reduction="none"
            )
            entropy = entropy.view_as(targets.labels)
            total = total + weight * (frame_weight * entropy).sum()
        outcome = FrameOutcome(
            labels=targets.labels,
            predictions=logits.detach().argmax(-1),
            loss=entropy.detach(),
            is_masked=targets.is_masked,
        )
        return total, outcome

    def weight(self, targets: Targets) -> Tensor:
        """Number of frames in the loss, fp32."""
        count = torch.zeros((), device=targets.labels.device)
        if self.masked_weight:
            count = count + targets.is_masked.sum()
        if self.unmasked_weight:
            count = count + targets.is_visible.sum()
        return count


def meters(outcome: FrameOutcome, targets: Targets) -> dict[str, tuple[Tensor, Tensor]]:
    """Accuracy and cross entropy a frame, on masked and on visible frames: (sum, frames)."""
    is_correct = outcome.predictions == outcome.labels
    counts = {}
    for name, where in (("masked", targets.is_masked), ("unmasked", targets.is_visible)):
        count = where.sum()
        counts[f"{name}_acc"] = ((is_correct & where).sum(), count)
        counts[f"{name}_loss"] = ((outcome.loss * where).sum(), count)
    return counts
