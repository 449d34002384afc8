"""ML-SUPERB: which utterances of its folder tree make up a split, and why others do not.

The tree is ``<root>/<corpus>/<iso3>/{wav/<utt>.wav, transcript_<track>_train.txt,
transcript_10min_dev.txt, transcript_10min_test.txt}``; a line is ``utt_id field2 words...``.
Nothing is lost in silence: what is left out is returned with its reason.
"""

import re
import string
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from espnet2.data.audio import duration_s
from espnet2.data.config import BankConfig
from espnet2.data.superb_reserved import FEW_SHOT_UTTERANCES, RESERVED_LANGUAGES
from espnet2.utils.errors import ConfigError, DataError

SPLITS = ("train", "dev", "test")

# The benchmark removes from the first "[" to the last "]" unless a bracket of another kind is
# between them, so that "[a] b [c]" vanishes as a whole. Kept: other text means other scores.
BRACKETED = re.compile(r"\[[^()]*\]")
WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)


@dataclass(frozen=True, kw_only=True)
class SuperbDataConfig:
    """What becomes of an ML-SUPERB tree."""

    corpora: list[str] = field(default_factory=list)
    """Corpora to read; empty: every folder of the root that holds transcripts."""

    few_shot_languages: list[str] = field(default_factory=lambda: list(RESERVED_LANGUAGES))
    """Reserved languages (ISO 639-3), trained on a few utterances only."""

    few_shot_utterances: dict[str, list[str]] = field(default_factory=dict)
    """The training utterances of a reserved language; not named: the benchmark's five, and of
    a tree that lists none of them the first of each corpus."""

    few_shot_count: int = 5
    """How many training utterances a reserved language keeps of each corpus."""

    max_train_s: float = 20.0
    """Longer training and development utterances are dropped; test is not filtered."""


@dataclass(frozen=True, kw_only=True)
class CorruptConfig:
    """A copy of the test split as it is heard in noise and in rooms.

    Noise lasts as long as the utterance and is heard in its room. The keys that training
    has too mean the same there (``MixConfig``).
    """

    noise_prob: float = 1.0
    """Chance that noise is added to an utterance."""

    noise_snr_db: tuple[float, float] = (0.0, 15.0)
    """Range of the signal-to-noise ratio, in dB, between active speech and noise."""

    rir_prob: float = 1.0
    """Chance that an utterance is reverberated."""

    banks: BankConfig = field(default_factory=BankConfig)
    """Noises and rooms of these tests alone, in the keys of section ``augment``; babble is made
    of the development split. The rooms' ``t60_s`` stands here."""

    seed: int = 0
    """Seed of banks and draws. Not the recipe's: runs that differ in theirs are compared on
    the same audio."""

    def __post_init__(self) -> None:
        for name in ("noise_prob", "rir_prob"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} must be from 0 to 1, got {getattr(self, name)}")
        if not self.noise_snr_db[0] <= self.noise_snr_db[1]:
            raise ConfigError(f"noise_snr_db must rise, got {list(self.noise_snr_db)}")


@dataclass(frozen=True, kw_only=True)
class SuperbRow:
    """One utterance of the benchmark."""

    utt_id: str
    wav: str
    language: str  # ISO 639-3
    corpus: str
    duration_s: float
    text: str  # normalised


@dataclass(frozen=True, kw_only=True)
class Dropped:
    """One utterance, or line, that was left out."""

    utt_id: str
    reason: str
    detail: str


def normalise(text: str) -> str:
    """The benchmark's text form: no ``[...]``, no ASCII punctuation, upper case, single spaces."""
    return " ".join(BRACKETED.sub("", text).translate(WITHOUT_PUNCTUATION).upper().split())


def find_languages(root: Path, corpora: list[str]) -> dict[str, list[str]]:
    """The corpora of each language, C-sorted: ``{"dan": ["fleurs", "voxforge"], ...}``.

    Raises:
        DataError: ``root`` is no ML-SUPERB tree, or a named corpus is missing.
    """
    if not root.is_dir():
        raise DataError(f"{root} is not a folder; give the root of an ML-SUPERB tree")
    missing = [name for name in corpora if not (root / name).is_dir()]
    if missing:
        raise DataError(f"{root} has no corpus {missing[0]}; it must be a folder of that name")
    found: dict[str, list[str]] = {}
    for corpus in sorted(corpora) or sorted(path.name for path in root.iterdir() if path.is_dir()):
        for folder in sorted(path for path in (root / corpus).iterdir() if path.is_dir()):
            if (folder / "transcript_10min_test.txt").is_file():
                found.setdefault(folder.name, []).append(corpus)
    if not found:
        raise DataError(
            f"{root} holds no <corpus>/<iso3>/transcript_10min_test.txt: not an ML-SUPERB tree"
        )
    return dict(sorted(found.items()))


def transcript_path(root: Path, corpus: str, language: str, track: str, split: str) -> Path:
    """The list of a split; development and test have one list for both tracks."""
    listed = track if split == "train" else "10min"
    return root / corpus / language / f"transcript_{listed}_{split}.txt"


def transcripts(root: Path, corpora: list[str], language: str, tracks: list[str]) -> list[Path]:
    """Every transcript file of a language: the small files that decide its rows."""
    paths = {
        transcript_path(root, corpus, language, track, split)
        for corpus in corpora
        for track in tracks
        for split in SPLITS
    }
    absent = sorted(str(path) for path in paths if not path.is_file())
    if absent:
        raise DataError(f"{absent[0]} is missing; the tree is not complete")
    return sorted(paths)


def read_lines(path: Path, dropped: list[Dropped]) -> Iterator[tuple[str, str]]:
    """(utt_id, words) of each line; a line of under three fields goes to ``dropped``."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text (byte {error.start})") from None
    for number, line in enumerate(lines, 1):
        fields = line.split(maxsplit=2)
        if len(fields) == 3:
            yield fields[0], fields[2]
        elif fields:
            where = f"{path.name}:{number}"
            dropped.append(Dropped(utt_id=fields[0], reason="fewer than 3 fields", detail=where))


def language_rows(
    root: Path, corpora: list[str], language: str, track: str, split: str, config: SuperbDataConfig
) -> tuple[list[SuperbRow], list[Dropped]]:
    """The utterances of one language in one split, by id, and what was left out."""
    rows: dict[str, SuperbRow] = {}
    dropped: list[Dropped] = []
    for corpus in corpora:
        path = transcript_path(root, corpus, language, track, split)
        for utt_id, words in read_lines(path, dropped):
            wav = path.parent / "wav" / f"{utt_id}.wav"
            row = SuperbRow(
                utt_id=utt_id, wav=str(wav), language=language, corpus=corpus,
                duration_s=0.0, text=normalise(words),
            )  # fmt: skip
            if utt_id in rows:
                dropped.append(Dropped(utt_id=utt_id, reason="duplicate id", detail=str(wav)))
                continue
            problem = row_problem(row, config.max_train_s if split != "test" else None)
            if isinstance(problem, Dropped):
                dropped.append(problem)
            else:
                rows[utt_id] = problem
    kept = [rows[utt_id] for utt_id in sorted(rows)]
    if split == "train" and language in config.few_shot_languages:
        kept = few_shot(kept, language, config, dropped)
    return kept, dropped


def row_problem(row: SuperbRow, max_s: float | None) -> SuperbRow | Dropped:
    """The row with its measured length, or why it cannot be used."""
    if not row.text:
        return Dropped(utt_id=row.utt_id, reason="empty transcript", detail=row.corpus)
    if not Path(row.wav).is_file():
        return Dropped(utt_id=row.utt_id, reason="wav missing", detail=row.wav)
    try:
        seconds = duration_s(row.wav)
    except (DataError, OSError) as error:
        return Dropped(utt_id=row.utt_id, reason="wav unreadable", detail=str(error))
    if max_s is not None and seconds > max_s:
        return Dropped(utt_id=row.utt_id, reason=f"over {max_s:g} s", detail=f"{seconds:.2f}")
    return SuperbRow(**{**vars(row), "duration_s": seconds})


def few_shot(
    rows: list[SuperbRow], language: str, config: SuperbDataConfig, dropped: list[Dropped]
) -> list[SuperbRow]:
    """The few training utterances of a reserved language; the rest are recorded as reserved."""
    ids = {row.utt_id for row in rows}
    chosen = config.few_shot_utterances.get(language, FEW_SHOT_UTTERANCES.get(language, ()))
    if language not in config.few_shot_utterances and not ids.intersection(chosen):
        corpora = {row.corpus for row in rows}
        in_corpus = [[row.utt_id for row in rows if row.corpus == name] for name in corpora]
        chosen = [utt_id for ids in in_corpus for utt_id in ids[: config.few_shot_count]]
    dropped += [
        Dropped(utt_id=utt_id, reason="few-shot utterance missing", detail=language)
        for utt_id in chosen
        if utt_id not in ids
    ]
    reserved = [row for row in rows if row.utt_id not in chosen]
    dropped += [Dropped(utt_id=r.utt_id, reason="reserved language", detail="") for r in reserved]
    return [row for row in rows if row.utt_id in chosen]
