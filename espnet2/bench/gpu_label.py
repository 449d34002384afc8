"""Labelling with XEUS's teacher: a network of WavLabLM-MS's size, then the nearest centroid."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from espnet2.bench.gpu_step import MFU_NOTE
from espnet2.bench.hubert_flops import hubert_flops
from espnet2.bench.table import Table
from espnet2.bench.timing import NOTHING, Setup, Timing, attempt, measure, milliseconds, row_of
from espnet2.data.frames import SAMPLE_RATE_HZ, num_frames
from espnet2.tokens.nearest import NearestCentroid
from espnet2.tokens.teachers.hubert_config import HubertConfig, build_hubert
from espnet2.tokens.teachers.network import NetworkTeacher, NetworkTeacherConfig

WAVLABLM = HubertConfig(
    extractor_mode="layer_norm",
    encoder_embed_dim=1024,
    encoder_num_layers=24,
    encoder_num_heads=16,
    encoder_ff_interm_features=4096,
    encoder_layer_norm_first=True,
)
TINY = HubertConfig(
    extractor_mode="layer_norm",
    extractor_conv_layer_config=((8, 10, 5), *((8, 3, 2),) * 4, *((8, 2, 2),) * 2),
    encoder_embed_dim=32,
    encoder_pos_conv_kernel=16,
    encoder_pos_conv_groups=4,
    encoder_num_layers=2,
    encoder_num_heads=2,
    encoder_ff_interm_features=64,
    encoder_layer_norm_first=True,
)
CLUSTERS, TINY_CLUSTERS = 2048, 16
LENGTHS_S, TINY_LENGTHS_S = (2.0, 20.0), (0.5, 1.0)
AUDIO_S, TINY_AUDIO_S = 5 * 3600.0, 4.0  # a shard
NOISE_S = 60.0  # of which all audio is cut
LARGE_BATCH_S = 400.0  # of the bare forward, to see whether larger batches are faster
BUDGET_S = 5.0  # of timed calls, a row
COLUMNS = ("what", "audio", "ms", "× real time", "MFU", "of the first row's time", "peak GiB",
           "first call s")  # fmt: skip


class RandomTeacher(NetworkTeacher):
    """A HuBERT with random weights, built on the device."""

    def __init__(self, config: HubertConfig, device: torch.device) -> None:
        with device:
            network = build_hubert(config)
        settings = NetworkTeacherConfig(layer=config.encoder_num_layers)
        super().__init__(network, network.output_size(), settings, str(device), True)

    def layer_output(self, speech: Tensor, lengths: list[int]) -> tuple[Tensor, list[int]]:
        """See ``NetworkTeacher``."""
        return self.network(speech, lengths)

    def identity(self) -> dict[str, Any]:
        """Nothing is kept that would have to be recognised."""
        return {"teacher": "random"}


def label(setup: Setup) -> Table:
    """The bare forward in the teacher's batches and in larger ones, then labelling."""
    config, clusters = (TINY, TINY_CLUSTERS) if setup.is_tiny else (WAVLABLM, CLUSTERS)
    title = (
        f"labelling, {config.encoder_num_layers} layers of width {config.encoder_embed_dim}, "
        f"{clusters:,} clusters"
    )
    before = torch.get_float32_matmul_precision()
    try:
        rows = label_rows(setup, title, config, clusters)
    finally:
        torch.set_float32_matmul_precision(before)  # nearest centroids ask for the highest
    notes = (
        MFU_NOTE + "; of the utterances' own frames, and without the look-up of labels",
        "labelling: audio of a shard in host memory, batches as the label stage makes them, filled "
        "with rows of silence; nearest centroid in float32, ids back on the host; decoding, counts "
        "and files are not in it",
        "bare forward: the same batches without silent rows, or large ones, lie on the device",
    )
    return Table(title=title, columns=COLUMNS, rows=tuple(rows), notes=notes)


def label_rows(
    setup: Setup, title: str, config: HubertConfig, clusters: int
) -> list[tuple[str, ...]]:
    """One row a way."""
    setup.clear()
    teacher = RandomTeacher(config, setup.device)
    audio = random_audio(*((TINY_AUDIO_S, TINY_LENGTHS_S) if setup.is_tiny else
                           (AUDIO_S, LENGTHS_S)))  # fmt: skip
    nearest = NearestCentroid(some_frames(teacher, audio, clusters), teacher.device)
    lengths = np.array([len(signal) for signal in audio])
    flops = sum(hubert_flops(config, num_frames(int(n))) for n in lengths)
    seconds = f"{lengths.sum() / SAMPLE_RATE_HZ:,.0f} s"
    groups = teacher.groups(lengths)
    large = by_length(lengths, LARGE_BATCH_S)
    calls: dict[str, Callable[[], Callable[[], object]]] = {
        "bare forward": lambda: forward(teacher, audio, groups),
        f"bare forward, batches of {LARGE_BATCH_S:g} s": lambda: forward(teacher, audio, large),
        "labelling": lambda: partial(label_groups, teacher, nearest, audio, groups),
    }
    rows, first_s = [], None
    for name, make in calls.items():
        setup.clear()
        timing = attempt(setup, lambda make=make: measure(setup, make(), BUDGET_S))
        if isinstance(timing, str):
            rows.append(row_of(title, [name, seconds, timing, *[NOTHING] * (len(COLUMNS) - 3)]))
            continue
        first_s = first_s or timing.median_s
        cells = cells_of(setup, timing, float(lengths.sum()) / SAMPLE_RATE_HZ, flops)
        share = f"{timing.median_s / first_s:.1%}"
        rows.append(row_of(title, [name, seconds, *cells[:3], share, *cells[3:]]))
    return rows


def cells_of(setup: Setup, timing: Timing, audio_s: float, flops: float) -> list[str]:
    """Milliseconds, speed, MFU, memory and first call."""
    mfu = NOTHING
    if setup.peak is not None:
        mfu = f"{flops / setup.peak.matrix_flops_s / timing.median_s:.1%}"
    memory = NOTHING if timing.peak_bytes is None else f"{timing.peak_bytes / 2**30:.1f}"
    speed = f"{audio_s / timing.median_s:,.0f}"
    return [milliseconds(timing.median_s), speed, mfu, memory, f"{timing.first_s:.1f}"]


def random_audio(seconds: float, lengths_s: tuple[float, float]) -> list[np.ndarray]:
    """Pieces (samples,) of white noise, of mixed lengths, about ``seconds`` in all."""
    rng, audio, have = np.random.default_rng(0), [], 0
    noise = 0.1 * rng.standard_normal(round(NOISE_S * SAMPLE_RATE_HZ), dtype=np.float32)
    while have < seconds * SAMPLE_RATE_HZ:
        samples = round(rng.uniform(*lengths_s) * SAMPLE_RATE_HZ)
        start = rng.integers(len(noise) - samples)
        audio.append(noise[start : start + samples])
        have += samples
    return audio


def some_frames(teacher: RandomTeacher, audio: list[np.ndarray], count: int) -> np.ndarray:
    """(count, D) frames of the teacher, to be the centroids: as far apart as its frames are."""
    used, frames = 0, 0
    while frames < 2 * count and used < len(audio):
        frames, used = frames + num_frames(len(audio[used])), used + 1
    values = teacher.frames(audio[:used]).values.cpu().numpy()
    return values[np.linspace(0, len(values) - 1, count).astype(np.int64)]


def by_length(lengths: np.ndarray, batch_s: float) -> list[np.ndarray]:
    """Positions of like lengths, at most ``batch_s`` with padding."""
    order, batches, start = np.argsort(lengths), [], 0
    for end in range(1, len(order) + 1):
        is_last = end == len(order)
        if is_last or (end - start + 1) * lengths[order[end]] > batch_s * SAMPLE_RATE_HZ:
            batches.append(order[start:end])
            start = end
    return batches


def forward(
    teacher: RandomTeacher, audio: list[np.ndarray], groups: list[np.ndarray]
) -> Callable[[], object]:
    """A call that sends all groups, padded on the device beforehand, through the network."""
    batches = []
    for group in groups:
        lengths = [len(audio[i]) for i in group]
        speech = torch.zeros(len(group), max(lengths), device=teacher.device)
        for row, i in zip(speech, group, strict=True):
            row[: len(audio[i])] = torch.from_numpy(audio[i])
        batches.append((speech, lengths))

    @torch.inference_mode()
    def call() -> None:
        for speech, lengths in batches:
            teacher.run(speech, lengths)

    return call


def label_groups(
    teacher: RandomTeacher, nearest: NearestCentroid, audio: list[np.ndarray],
    groups: list[np.ndarray],
) -> int:  # fmt: skip
    """What the label stage does with decoded audio; returns the labels made."""
    return sum(len(nearest(teacher.frames([audio[i] for i in group]).values)) for group in groups)
