"""ML-SUPERB: which utterances of its folder tree make up a split, and why others do not.

The tree is ``<root>/<corpus>/<iso3>/{wav/<utt>.wav, transcript_<track>_train.txt,
transcript_10min_dev.txt, transcript_10min_test.txt}``; a line is ``utt_id field2 words...``.
Nothing is lost in silence: what is left out is returned with its reason.
"""

import re
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Literal

from espnet2.data.config import BankConfig
from espnet2.data.languages import language_problem
from espnet2.data.superb_languages import FEW_SHOT_UTTERANCES, RESERVED_LANGUAGES
from espnet2.data.superb_rows import Dropped, SuperbRow, checked, normalise
from espnet2.utils.config import guess
from espnet2.utils.errors import ConfigError, DataError

SPLITS = ("train", "dev", "test")

DIALECTS = "test_dialect"
"""The further test of ML-SUPERB 2.0: language varieties."""

FULL = "full"
"""The track of data that has one training list only."""

TEST = re.compile(r"test_[A-Za-z0-9_-]+")  # a folder; tables are named <track>.<split>

MEANT_FOR = {  # keys of one kind of data only
    "corpora": "ml_superb", "few_shot_utterances": "ml_superb", "few_shot_count": "ml_superb",
    "dev_share": "ml_superb2", "tests": "kaldi",
}  # fmt: skip

# A class of its own in the benchmark, and no ISO 639-3: a code that the standard leaves free.
PRIVATE_CODES = {"org_jpn": "qoj"}


@dataclass(frozen=True, kw_only=True)
class SuperbDataConfig:
    """Where the benchmark's utterances come from, and which are used."""

    kind: Literal["ml_superb", "ml_superb2", "kaldi"] = "ml_superb"
    """What the root holds. ml_superb: the benchmark's tree. ml_superb2: the Parquet files of
    ML-SUPERB 2.0 (``train-*``, ``dev-*``, ``dev_dialect-*``). kaldi: the directories ``train``,
    ``dev`` and ``test`` with wav.scp, text and utt2lang, for languages of your own."""

    corpora: list[str] = field(default_factory=list)
    """ml_superb: corpora to read; empty: every folder of the root that holds transcripts."""

    languages: list[str] = field(default_factory=list)
    """Languages (ISO 639-3) to use; empty: all. One that the root lacks is an error."""

    few_shot_languages: list[str] | None = None
    """Reserved languages (ISO 639-3), trained on a few utterances only. None: the benchmark's
    20; of kaldi none."""

    few_shot_utterances: dict[str, list[str]] = field(default_factory=dict)
    """ml_superb: the training utterances of a reserved language; not named: the benchmark's five,
    and of a tree that lists none of them the first of each corpus."""

    few_shot_count: int = 5
    """ml_superb: how many training utterances a reserved language then keeps of each corpus."""

    max_train_s: float = 20.0
    """Longer training and development utterances are dropped; test is not filtered."""

    dev_share: float = 0.05
    """ml_superb2: share of its training utterances, but for reserved languages, that picks the
    model; its own dev is the test, for the challenge's test is not public."""

    tests: list[str] = field(default_factory=list)
    """kaldi: further directories of the root to test on, named test_<something>; not test_dialect,
    which is ML-SUPERB 2.0's."""

    def __post_init__(self) -> None:
        problems = [
            f"tests: {name!r} must begin with test_, go on with letters, digits, _ or -, and not "
            f"be {DIALECTS}"
            for name in self.tests
            if not TEST.fullmatch(name) or name == DIALECTS
        ]
        if len(set(self.tests)) != len(self.tests):
            problems.append(f"tests must hold nothing twice, got {self.tests}")
        usual = {f.name: f.default if f.default is not MISSING else f.default_factory()
                 for f in fields(self)}  # fmt: skip
        problems += [
            f"{name} means nothing with kind: {self.kind}"
            for name, kind in MEANT_FOR.items()
            if kind != self.kind and getattr(self, name) != usual[name]
        ]
        problems += [
            f"few_shot_utterances: {name} is none of the reserved languages"
            f"{guess(name, self.reserved)}"
            for name in self.few_shot_utterances
            if name not in self.reserved
        ]
        if not 0 < self.dev_share < 1:
            problems.append(f"dev_share must be between 0 and 1, got {self.dev_share}")
        if problems:
            raise ConfigError("data: " + "; ".join(problems))

    @property
    def reserved(self) -> list[str]:
        """The reserved languages, given or not."""
        if self.few_shot_languages is not None:
            return self.few_shot_languages
        return [] if self.kind == "kaldi" else list(RESERVED_LANGUAGES)

    @property
    def further_tests(self) -> list[str]:
        """Test splits beside ``test`` that the data itself has."""
        return {"ml_superb": [], "ml_superb2": [DIALECTS], "kaldi": self.tests}[self.kind]

    @property
    def splits(self) -> tuple[str, ...]:
        """Every split that the data itself has."""
        return (*SPLITS, *self.further_tests)


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


def find_languages(
    root: Path, corpora: list[str], languages: list[str] | None = None
) -> dict[str, list[str]]:
    """The corpora of each folder of a language, C-sorted: ``{"dan": ["fleurs", "voxforge"]}``.

    Raises:
        DataError: ``root`` is no ML-SUPERB tree, lacks a named corpus or language, or a folder
            with transcripts is no language.
    """
    if not root.is_dir():
        raise DataError(f"{root} is not a folder; give the root of an ML-SUPERB tree")
    missing = [name for name in corpora if not (root / name).is_dir()]
    if missing:
        raise DataError(f"{root} has no corpus {missing[0]}; it must be a folder of that name")
    found: dict[str, list[str]] = {}
    for corpus in sorted(corpora) or sorted(
        path.name for path in root.iterdir() if path.is_dir() and path.name[0] != "."
    ):
        for folder in sorted(path for path in (root / corpus).iterdir() if path.is_dir()):
            if (folder / "wav").is_dir() or any(folder.glob("transcript_*.txt")):
                found.setdefault(folder.name, []).append(corpus)
    if not found:
        raise DataError(
            f"{root} holds no <corpus>/<iso3>/transcript_10min_test.txt: not an ML-SUPERB tree"
        )
    for name, holders in found.items():
        problem = language_problem(PRIVATE_CODES.get(name, name))
        if problem:
            raise DataError(f"{root / holders[0] / name}: {problem}")
    absent = [name for name in languages or [] if name not in found]
    if absent:
        raise DataError(f"{root} has no language {absent[0]}; it has {', '.join(sorted(found))}")
    return {name: found[name] for name in sorted(found) if not languages or name in languages}


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
            if utt_id in rows:
                dropped.append(Dropped(utt_id=utt_id, reason="duplicate id", detail=str(wav)))
                continue
            row = checked(
                SuperbRow(
                    utt_id=utt_id, wav=str(wav), language=PRIVATE_CODES.get(language, language),
                    corpus=corpus, duration_s=0.0, text=normalise(words), recording=utt_id,
                ),
                config.max_train_s if split != "test" else None,
            )  # fmt: skip
            if isinstance(row, Dropped):
                dropped.append(row)
            else:
                rows[utt_id] = row
    kept = [rows[utt_id] for utt_id in sorted(rows)]
    if split == "train" and language in config.reserved:
        kept = few_shot(kept, language, config, dropped)
    return kept, dropped


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
