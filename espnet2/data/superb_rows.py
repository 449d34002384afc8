"""One utterance of a benchmark, whatever it was read from, and why an utterance is left out."""

import dataclasses
import io
import re
import string
from dataclasses import dataclass

import soundfile

from espnet2.data.audio import duration_s, not_audio
from espnet2.data.kaldi.tables import id_problem
from espnet2.data.languages import language_problem
from espnet2.data.parquet import is_parquet, record_bytes
from espnet2.data.sources import source_file
from espnet2.utils.errors import DataError

# The benchmark removes from the first "[" to the last "]" unless a bracket of another kind is
# between them, so that "[a] b [c]" vanishes as a whole. Kept: other text means other scores.
BRACKETED = re.compile(r"\[[^()]*\]")
WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)
SPACE = re.compile(r"\s")


@dataclass(frozen=True, kw_only=True)
class SuperbRow:
    """One utterance."""

    utt_id: str
    wav: str  # what wav.scp may hold: a file, ark:offset, parquet:row
    language: str  # ISO 639-3
    corpus: str
    duration_s: float
    text: str  # as it is trained on
    recording: str  # utt_id, where the utterance is all of it
    start_s: float = 0.0
    end_s: float | None = None  # None: to the end of the recording


@dataclass(frozen=True, kw_only=True)
class Dropped:
    """One utterance, or line, that was left out."""

    utt_id: str
    reason: str
    detail: str


def normalise(text: str) -> str:
    """The benchmark's text form: no ``[...]``, no ASCII punctuation, upper case, single spaces."""
    return " ".join(BRACKETED.sub("", text).translate(WITHOUT_PUNCTUATION).upper().split())


def checked(row: SuperbRow, longest_s: float | None) -> SuperbRow | Dropped:
    """The row with its length where that was 0.0, or why it cannot be used.

    longest_s: longer utterances are left out; None: none is.
    """

    def drop(reason: str, detail: str) -> Dropped:
        return Dropped(utt_id=row.utt_id, reason=reason, detail=detail)

    if SPACE.search(row.utt_id) or id_problem(row.utt_id):
        return drop("bad id", id_problem(row.utt_id) or "holds a space")
    problem = language_problem(row.language)
    if problem:
        return drop("unknown language", problem)
    if not row.text:
        return drop("empty transcript", row.corpus)
    if not source_file(row.wav).is_file():
        return drop("wav missing", row.wav)
    try:
        seconds = row.duration_s or seconds_of(row.wav) - row.start_s
    except (DataError, OSError) as error:
        return drop("wav unreadable", str(error))
    if seconds <= 0:
        return drop("empty audio", row.wav)
    if longest_s is not None and seconds > longest_s:
        return drop(f"over {longest_s:g} s", f"{seconds:.2f}")
    return dataclasses.replace(row, duration_s=seconds)


def seconds_of(source: str) -> float:
    """Seconds of audio by its header, in Parquet too.

    Raises:
        DataError: it is no audio, or damaged.
        OSError: it cannot be read.
    """
    if not is_parquet(source):
        return duration_s(source)
    try:
        about = soundfile.info(io.BytesIO(record_bytes(source)))
    except (soundfile.LibsndfileError, TypeError) as error:
        raise DataError(f"{source}: {not_audio(error)}") from None
    return about.frames / about.samplerate
