"""What frames tell, added up on the device: which clusters are predicted, how each language fares.

Shapes: B batch, T frames, L languages.
"""

import math

import torch
from torch import Tensor

from espnet2.nn.loss_output import FrameOutcome
from espnet2.train.distributed import World, sent

MAX_CLUSTERS = 2**16  # labels are stored in 16 bits, so no histogram needs more


class ClusterMeter:
    """Histograms of the labels and of the predictions of masked frames."""

    def __init__(self, device: torch.device) -> None:
        self.counts = torch.zeros(2, MAX_CLUSTERS, dtype=torch.float64, device=device)
        self.is_used = False

    def add(self, frames: FrameOutcome) -> None:
        """Count a batch's masked frames; nothing is copied to the host."""
        self.is_used = True
        is_masked = frames.is_masked.flatten().double()
        for counts, clusters in zip(self.counts, (frames.labels, frames.predictions), strict=True):
            counts.scatter_add_(0, clusters.flatten(), is_masked)

    def clear(self) -> None:
        """Start again from zero."""
        self.counts.zero_()
        self.is_used = False

    def read(self, world: World) -> dict[str, float]:
        """Over all ranks: entropies of labels and predictions in bits, and how many clusters were
        predicted at all; then start again from zero. {} where no frame was masked.
        """
        if not self.is_used:
            return {}
        counts = world.sum(self.counts)
        used = (counts[1] > 0).sum().double()
        figures = torch.stack([*entropy_bits(counts), used, counts[0].sum()])
        label_bits, prediction_bits, used, total = figures.tolist()
        self.clear()
        if not total:
            return {}
        return {
            "label_entropy": label_bits,
            "prediction_entropy": prediction_bits,
            "clusters_used": int(used),
        }


def entropy_bits(counts: Tensor) -> Tensor:
    """Entropy (N,) in bits of each histogram (N, C); not a number where one is empty."""
    share = counts / counts.sum(1, keepdim=True)
    return -torch.xlogy(share, share).sum(1) / math.log(2)


class LanguageMeter:
    """Loss, accuracy and number of frames of each language."""

    def __init__(self, num_languages: int, device: torch.device) -> None:
        # Rows: loss and right predictions of masked frames, masked frames, all frames.
        self.sums = torch.zeros(4, num_languages, dtype=torch.float64, device=device)
        self.is_used = False

    def add(self, frames: FrameOutcome, languages: Tensor) -> None:
        """Add a batch; ``languages`` (B, T), codes on the host, go to the device by themselves."""
        self.is_used = True
        codes = sent(languages, self.sums.device).long().flatten()
        is_masked = frames.is_masked & frames.loss.isfinite()
        is_right = (frames.predictions == frames.labels) & is_masked
        loss = frames.loss.where(is_masked, 0.0)
        parts = (loss, is_right, is_masked, torch.ones_like(is_masked))
        values = torch.stack([part.flatten().double() for part in parts])  # (4, B T)
        self.sums.scatter_add_(1, codes.expand(len(values), -1), values)

    def clear(self) -> None:
        """Start again from zero."""
        self.sums.zero_()
        self.is_used = False

    def read(self, world: World) -> list[list[float]]:
        """The four sums (L each) over all ranks, then start again from zero; [] if unused."""
        if not self.is_used:
            return []
        sums = world.sum(self.sums).tolist()
        self.clear()
        return sums
