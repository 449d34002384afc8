"""Cluster ids of recordings that stand in no index: what stage 5 gives for the same audio.

A recording is rounded to 16 bits as stage 2 stores it, and labelled whole, by the teacher that the
codebook's story names.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from espnet2.data.audio import to_float, to_int16
from espnet2.data.frames import RECEPTIVE_SAMPLES, num_frames
from espnet2.data.kaldi import Utterance
from espnet2.data.recordings import in_chunks, usable_audio
from espnet2.data.tsv import Dropped
from espnet2.tokens.codebook import STORY, check_teacher, load_codebook
from espnet2.tokens.nearest import NearestCentroid
from espnet2.tokens.stream import lawful
from espnet2.tokens.teachers.base import Teacher, pack
from espnet2.tokens.teachers.registry import build_teacher, teacher_config
from espnet2.utils.errors import ConfigError, DataError
from espnet2.utils.files import read_json
from espnet2.utils.read_ahead import read_ahead
from espnet2.utils.recipe_paths import recipe_path

PATHS = ("checkpoint", "model")  # keys of a teacher's settings that name its weights


@dataclass(frozen=True)
class Labeller:
    """A codebook with the teacher it was fitted on."""

    teacher: Teacher
    nearest: NearestCentroid


def open_labeller(codebook: Path, checkpoint: Path | None, device: str) -> Labeller:
    """``codebook``: folder of stage 4. ``checkpoint``: the teacher's weights, if they moved.

    Raises:
        DataError: no codebook there.
        ConfigError: the teacher cannot be built, or is not the one that the codebook belongs to.
    """
    book = load_codebook(codebook)
    name, settings = teacher_of(codebook, checkpoint)
    teacher = build_teacher(name, settings, device)
    check_teacher(book, teacher.identity(), teacher.dim)
    return Labeller(teacher, NearestCentroid(book.centroids, teacher.device))


def teacher_of(codebook: Path, checkpoint: Path | None) -> tuple[str, dict[str, Any]]:
    """Name and settings of a codebook's teacher."""
    story = codebook / STORY
    if not story.is_file():
        raise DataError(f"{story}: no such file; it names the codebook's teacher (stage 4)")
    config = read_json(story).get("config") or {}
    if "teacher" not in config:
        raise DataError(f"{story}: names no teacher under config; run the kmeans stage again")
    name, settings = config["teacher"], dict(config.get("teacher_conf") or {})
    key = next((key for key in PATHS if key in settings), None)
    if checkpoint is not None and key is None:
        raise ConfigError(
            f"--checkpoint: teacher {name} of {codebook} has no weights; leave it out"
        )
    if key is not None:
        settings[key] = str(checkpoint or recipe_path(settings[key], codebook))
        teacher_config(name, settings)
    return name, settings


def labels(
    labeller: Labeller, utterances: Sequence[Utterance], batch_seconds: float
) -> Iterator[tuple[Utterance, np.ndarray | Dropped]]:
    """(frames,) uint16 of each utterance in its order, or why it has none.

    ``utterances`` have a ``duration_s``, which only decides what is read together.
    """
    chunks = list(in_chunks(utterances, batch_seconds))
    read = partial(usable_audio, shortest=RECEPTIVE_SAMPLES)
    for chunk, found in zip(chunks, read_ahead(chunks, read), strict=True):
        results = dict(zip(chunk, found, strict=True))
        heard = [u for u in chunk if isinstance(results[u], np.ndarray)]
        audio = [to_float(to_int16(results[u])) for u in heard]
        frames = labeller.teacher.frames(audio)
        parts = frames.values.split(frames.lengths.tolist())
        for utterance, signal, part in zip(heard, audio, parts, strict=True):
            results[utterance] = ids_of(labeller, utterance.utt_id, part, num_frames(len(signal)))
        yield from results.items()


def ids_of(labeller: Labeller, utt_id: str, frames: Any, expected: int) -> np.ndarray | Dropped:
    """(expected,) uint16 of one utterance's frames (T, D)."""
    teacher = labeller.teacher
    try:
        fixed = lawful(pack([frames], teacher.dim, teacher.device), np.array([expected]), [utt_id])
    except DataError as error:
        return Dropped(utt_id=utt_id, reason="no frames", detail=str(error))
    return labeller.nearest(fixed.values)
