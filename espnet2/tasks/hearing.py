"""Recordings through a trained cell: what is said in them, and in which language.

Steps: read ahead -> parts of at most so many seconds, cut where it is quietest -> the recogniser,
parts of like length together -> the parts of a recording joined again, in their order.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from espnet2.asr.config import task_kind
from espnet2.asr.vocabulary import split_language
from espnet2.data.frames import RECEPTIVE_SAMPLES, SAMPLE_RATE_HZ
from espnet2.data.kaldi import Utterance
from espnet2.data.quiet_cuts import SHORTEST_LIMIT_S, quiet_cuts
from espnet2.data.recordings import in_chunks, usable_audio
from espnet2.data.tsv import Dropped
from espnet2.tasks.asr import ASRTask, folder_of
from espnet2.tasks.recogniser import SpeechRecogniser
from espnet2.train.cell_model import read_cell
from espnet2.utils.errors import ConfigError, XeusError
from espnet2.utils.read_ahead import read_ahead
from espnet2.utils.recipe_paths import recipe_path

CHUNK_S = 600.0  # seconds of recordings that are held at a time, or one recording


@dataclass(frozen=True, kw_only=True)
class Part:
    """What was heard in a stretch of a recording."""

    start_s: float
    end_s: float
    language: str | None  # of a cell that knows languages; None where none was recognised
    text: str


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What was heard in one recording."""

    utt_id: str
    parts: tuple[Part, ...]  # in their order, without gaps

    @property
    def text(self) -> str:
        """The texts of the parts, with spaces between them."""
        return " ".join(part.text for part in self.parts if part.text)

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds in which each language was heard, most first; of equals, the first heard."""
        found: dict[str, float] = defaultdict(float)
        for part in self.parts:
            if part.language is not None:
                found[part.language] += part.end_s - part.start_s
        return {k: round(found[k], 3) for k in sorted(found, key=lambda k: -found[k])}

    @property
    def language(self) -> str | None:
        """The language of most seconds; None where none was recognised."""
        return next(iter(self.seconds), None)

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for a line of JSON."""
        return {
            "utt_id": self.utt_id, "duration_s": self.parts[-1].end_s, "language": self.language,
            "seconds_by_language": self.seconds, "text": self.text,
            "parts": [vars(part) for part in self.parts],
        }  # fmt: skip


def open_cell(
    cell: Path, export: Path | None, device: str, tasks: Sequence[str]
) -> SpeechRecogniser:
    """Load a cell of one of ``tasks`` (their kinds: mono, multi, lid, joint).

    ``export``: where its encoder lies now; without, where its YAML says, from here or above it.

    Raises:
        ConfigError: a cell that learned something else, or whose encoder is not there.
        CheckpointError: it is not trained, or its files do not fit together.
    """
    folder = folder_of(cell)
    if not cell.exists():
        raise ConfigError(f"--cell {cell}: no such folder; give exp/superb/<encoder>/<cell>")
    saved, config = read_cell(folder / "config.yaml")
    kind = task_kind(config.task)
    if kind not in tasks:
        raise ConfigError(
            f"--cell {cell}: was trained on task {config.task}; give one of {' or '.join(tasks)}"
        )
    where = saved["data"].get("export")
    if export is None and where:
        export = recipe_path(where, folder)
    recogniser, _ = ASRTask.build_model_from_file(
        folder / "config.yaml", folder / "model.pth", device, export=export
    )
    return recogniser


def hear(
    recogniser: SpeechRecogniser, utterances: Sequence[Utterance], batch_s: float, max_s: float
) -> Iterator[tuple[Utterance, Heard | Dropped]]:
    """What is heard in each utterance, in its order; or why nothing can be.

    ``utterances`` have a ``duration_s``, which only decides what is read together. ``batch_s``:
    padded seconds at once on a GPU. ``max_s``: longer recordings are cut.

    Raises:
        ConfigError: ``max_s`` is too short.
        XeusError: too little memory on the device.
    """
    if max_s < SHORTEST_LIMIT_S:
        raise ConfigError(f"--max_s must be at least {SHORTEST_LIMIT_S:g}, got {max_s:g}")
    chunks = list(in_chunks(utterances, CHUNK_S))
    read = partial(usable_audio, shortest=RECEPTIVE_SAMPLES)
    for chunk, found in zip(chunks, read_ahead(chunks, read), strict=True):
        results = dict(zip(chunk, found, strict=True))
        heard = [u for u in chunk if isinstance(results[u], np.ndarray)]
        cuts = {u: quiet_cuts(results[u], max_s) for u in heard}
        waves = [results[u][start:stop] for u in heard for start, stop in cuts[u]]
        texts = iter(transcribed(recogniser, waves, batch_s))
        for utterance in heard:
            parts = tuple(part_of(next(texts), *stretch) for stretch in cuts[utterance])
            results[utterance] = Heard(utt_id=utterance.utt_id, parts=parts)
        yield from results.items()


def transcribed(recogniser: SpeechRecogniser, waves: list[np.ndarray], batch_s: float) -> list[str]:
    """Texts of waves; a full device is an error for people."""
    try:
        return recogniser.transcribe(waves, batch_s)
    except torch.OutOfMemoryError:
        raise XeusError(
            "too little memory on the device; lower --batch_seconds, then --max_s"
        ) from None


def part_of(text: str, start: int, stop: int) -> Part:
    """One part from the recogniser's words and its place in samples."""
    language, words = split_language(text)
    seconds = (round(place / SAMPLE_RATE_HZ, 3) for place in (start, stop))
    return Part(**dict(zip(("start_s", "end_s"), seconds, strict=True)),
                language=language, text=words)  # fmt: skip
