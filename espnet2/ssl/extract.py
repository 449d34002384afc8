"""Recordings become features: batches of like length, read ahead, through the model.

Shapes: B utterances, S samples, T frames of 20 ms, L blocks, D width.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from espnet2.data.frames import SAMPLE_RATE_HZ
from espnet2.data.kaldi import Utterance
from espnet2.data.recordings import usable_audio
from espnet2.data.tsv import Dropped
from espnet2.ssl.espnet_model import ESPnetSSLModel
from espnet2.utils.errors import ConfigError, XeusError
from espnet2.utils.read_ahead import read_ahead

GRID_SAMPLES = SAMPLE_RATE_HZ // 2  # batches are budgeted in half seconds


class Extractor:
    """One layer of a model, or all, for batches of signals. The blocks above it are removed."""

    def __init__(
        self,
        model: ESPnetSSLModel,
        layer: str = "last",
        dtype: torch.dtype = torch.float32,
        bf16: bool = False,
    ) -> None:
        """``model``: in eval mode, on its device. ``layer``: a block counted from 1 or ``last``,
        its raw output; ``final``: the last after the final norm; ``all``: every block's raw output.
        ``dtype``: of the features. ``bf16``: compute in bfloat16 where autocast allows it.

        Raises ConfigError: no such layer.
        """
        blocks = model.encoder.encoders
        is_number = layer.isdecimal() and 1 <= int(layer) <= len(blocks)
        if not is_number and layer not in ("last", "final", "all"):
            raise ConfigError(
                f"layer must be 1 to {len(blocks)}, last, final or all; got '{layer}'"
            )
        if is_number:
            del blocks[int(layer) :]
        self.model, self.layer, self.dtype = model, layer, dtype
        self.device = next(model.parameters()).device
        self.autocast = torch.autocast(self.device.type, torch.bfloat16, enabled=bf16)

    @torch.inference_mode()
    def features(self, waves: Sequence[np.ndarray]) -> list[Tensor]:
        """(T, D) on the CPU of each wave (S,) float32 at 16 kHz; (L, T, D) for all layers.

        Raises XeusError when the device has too little memory for the batch.
        """
        lengths = torch.tensor([len(wave) for wave in waves])
        speech = pad_sequence([torch.from_numpy(wave) for wave in waves], batch_first=True)
        try:
            with self.autocast:
                out = self.model.encode(
                    speech.to(self.device), lengths, use_final_output=self.layer == "final"
                )
        except torch.OutOfMemoryError:
            seconds = speech.numel() / SAMPLE_RATE_HZ
            raise XeusError(
                f"{self.device}: too little memory for {len(waves)} utterances padded to "
                f"{seconds:.0f} s; lower --batch_seconds, or cut long recordings with --segments"
            ) from None
        states = out.layers if self.layer == "all" else out.layers[-1:]
        frames = out.lengths.tolist()
        chosen = [torch.stack([s[b, :n] for s in states]) for b, n in enumerate(frames)]
        return [(x if self.layer == "all" else x[0]).to("cpu", self.dtype) for x in chosen]


def extract(
    extractor: Extractor, utterances: Sequence[Utterance], batch_seconds: float
) -> Iterator[tuple[Utterance, Tensor | Dropped]]:
    """The features of each utterance, or why it has none; the longest batch first.

    ``utterances`` have a ``duration_s``, which only decides the batches: how they are cut changes
    no feature by more than rounding does.
    """
    seconds = [u.duration_s for u in utterances if u.duration_s is not None]  # all have one
    samples = np.array([round(s * SAMPLE_RATE_HZ) for s in seconds])
    groups = [
        [utterances[row] for row in rows]
        for rows in reversed(padded_groups(samples, batch_seconds))
    ]
    read = partial(usable_audio, shortest=extractor.model.frontend.receptive_samples)
    for group, audio in zip(groups, read_ahead(groups, read), strict=True):
        results = dict(zip(group, audio, strict=True))
        heard = [u for u in group if isinstance(results[u], np.ndarray)]
        if heard:
            features = extractor.features([results[u] for u in heard])
            results.update(zip(heard, map(finite, heard, features), strict=True))
        yield from results.items()


def finite(utterance: Utterance, features: Tensor) -> Tensor | Dropped:
    """The features again, unless some are NaN or infinite."""
    if features.isfinite().all():
        return features
    kind = str(features.dtype).removeprefix("torch.")
    return Dropped(
        utt_id=utterance.utt_id, reason="not finite",
        detail=f"the features hold NaN or infinity as {kind}"
        + ("; use float32" if kind == "float16" else "; look at the audio and the checkpoint"),
    )  # fmt: skip


def padded_groups(num_samples: np.ndarray, batch_s: float) -> list[np.ndarray]:
    """Rows grouped into batches of like length, shortest first, each of at most ``batch_s`` padded
    seconds (lengths count as the next half second) or of one row."""
    padded = np.ceil(num_samples / GRID_SAMPLES) * (GRID_SAMPLES / SAMPLE_RATE_HZ)
    order = np.argsort(num_samples, kind="stable")
    groups, start = [], 0
    for stop in range(1, len(order) + 1):
        if stop == len(order) or padded[order[stop]] * (stop + 1 - start) > batch_s:
            groups.append(order[start:stop])
            start = stop
    return groups
