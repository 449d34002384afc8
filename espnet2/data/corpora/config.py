"""What stage 1 prepares (``local/corpora.yaml``) and how (section ``data`` of the recipe YAML)."""

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from espnet2.data.corpora.kinds import KINDS, OnDisk
from espnet2.data.superb_languages import RESERVED_LANGUAGES
from espnet2.utils.config import from_dict, guess, load_yaml
from espnet2.utils.errors import ConfigError

NAME = re.compile(r"[A-Za-z0-9_-]+")
MINI_KINDS = ("tuxpaint", "fillets", "asterisk", "espeak", "noise")


@dataclass(frozen=True, kw_only=True)
class PackageSpec:
    """A Debian package, pinned."""

    version: str
    """Debian version, epoch included."""

    sha256: str
    """Of the .deb file."""

    size: int
    """Of the .deb file, in bytes."""


@dataclass(frozen=True, kw_only=True)
class MiniCorpus:
    """A corpus of the mini recipe: fetched or made by stage 1, and split for the benchmark."""

    kind: Literal["tuxpaint", "fillets", "asterisk", "espeak", "noise"]
    """Who knows its files."""

    role: Literal["real", "unseen_voice", "unlabelled", "noise"]
    """``unseen_voice``: test voices are unseen in training and the same in every language.
    ``unlabelled``: pre-training audio only, prepared on request. ``noise``: no speech."""

    licence: str = ""
    """Terms of use."""

    packages: list[str] = field(default_factory=list)
    """Debian packages that hold it."""

    languages: dict[str, str] = field(default_factory=dict)
    """The code its files use -> ISO 639-3; both differ from language to language."""

    held_out_scale: float = 1.0
    """Multiplies ``dev_share`` and ``test_share``: less than 1 for a corpus with much audio."""

    @property
    def codes(self) -> dict[str, str]:
        """ISO 639-3 -> the code its files use."""
        return {language: code for code, language in self.languages.items()}


@dataclass(frozen=True, kw_only=True)
class CorporaSpec:
    """The whole of ``corpora.yaml``."""

    corpora: dict[str, MiniCorpus | OnDisk]
    """By name, which becomes ``data/<name>``; ``kind`` says which keys there are."""

    packages: dict[str, PackageSpec] = field(default_factory=dict)
    """Every package a corpus may name."""

    release: str = ""
    """Debian release that holds the pinned versions, for systems of another release."""

    mirror: str | None = None
    """Debian mirror for systems whose own sources are not Debian's; null: the system's own."""


@dataclass(frozen=True, kw_only=True)
class SyntheticConfig:
    """The synthetic corpus: the same voices in every language, some of them never trained on."""

    train_voices: list[str] = field(
        default_factory=lambda: [
            "m1", "m2", "m3", "m5", "m7", "f1", "f2", "f4", "Alex", "Alicia", "Andrea", "Gene",
            "Hugo", "Jacky", "Mario", "Michael", "Nguyen", "Reed", "antonio", "belinda", "edward",
            "grandma",
        ]
    )  # fmt: skip
    """Voice variants of the training and pre-training utterances."""

    dev_voices: list[str] = field(default_factory=lambda: ["m6", "f3", "Marco", "aunty"])
    """Voice variants of the development utterances."""

    test_voices: list[str] = field(
        default_factory=lambda: [
            "m4", "m8", "f5", "Annie", "Henrique", "steph", "pablo", "grandpa",
        ]
    )  # fmt: skip
    """Voice variants of the test utterances."""

    train_utterances: int = 160
    """Per language; pre-training uses all of them."""

    dev_utterances: int = 12
    """Per language."""

    test_utterances: int = 28
    """Per language."""

    train_minutes: float = 2.0
    """Length of the labelled training list of a language."""

    min_chars: int = 8
    """Shorter phrases are not spoken."""

    max_chars: int = 60
    """Longer phrases are not spoken."""

    rate_wpm: tuple[int, int] = (150, 200)
    """Speaking rate, drawn for each utterance, in the synthesizer's words a minute."""

    pitch: tuple[int, int] = (35, 65)
    """Pitch, drawn for each utterance, in the synthesizer's units (50: the voice's own)."""

    def __post_init__(self) -> None:
        voices = [*self.train_voices, *self.dev_voices, *self.test_voices]
        twice = sorted({voice for voice in voices if voices.count(voice) > 1})
        if twice:
            raise ConfigError(f"synthetic: voice {twice[0]} stands in two splits; voices must not")


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Section ``data``: what is kept, and how it is split."""

    real: Literal["auto", "require", "never"] = "auto"
    """``auto``: without Debian's tools or packages go on with the synthetic part alone."""

    with_unlabelled: bool = False
    """Also prepare the corpora whose role is ``unlabelled``."""

    train_minutes: float = 5.0
    """Longest labelled training list of a language and corpus."""

    dev_minutes: float | None = None
    """Longest development list of a language and corpus; null: all of ``dev_share``."""

    test_minutes: float | None = None
    """Longest test list of a language and corpus; null: all of ``test_share``."""

    dev_share: float = 0.04
    """Share of the sentences kept for development."""

    test_share: float = 0.08
    """Share of the sentences kept for the test."""

    few_shot_languages: list[str] = field(default_factory=lambda: list(RESERVED_LANGUAGES))
    """Languages with ``few_shot_utterances`` training utterances (the benchmark's reserved 20)."""

    few_shot_utterances: int = 5
    """Length of the training list of a few-shot language."""

    min_chars_per_s: float = 3.0
    """Fewer characters a second: the recording does not say its transcript."""

    max_chars_per_s: float = 26.0
    """More characters a second: the transcript was edited after the recording."""

    ssl_minutes_per_language: float | None = None
    """Most pre-training audio of a language and corpus; null: all of it."""

    synthetic: SyntheticConfig = field(default_factory=SyntheticConfig)
    """The synthetic corpus."""


def load_corpora(path: Path, downloads: Path = Path("downloads")) -> CorporaSpec:
    """Read ``corpora.yaml``; a corpus without a ``path`` stands in ``downloads/<name>``.

    Raises:
        ConfigError: an unknown kind or key, a wrong type, or a package that is not pinned; every
            problem, one a line.
    """
    data, problems, corpora = load_yaml(path), [], {}
    entries = data.get("corpora")
    if not isinstance(entries, dict) or not entries:
        raise ConfigError(f"{path}: corpora must be a mapping from names to corpora")
    spec = from_dict(CorporaSpec, {**data, "corpora": {}}, str(path))
    for name, entry in entries.items():
        try:
            corpora[name] = load_corpus(name, entry, spec.packages, downloads)
        except ConfigError as error:
            problems += [f"{path}: {line}" for line in str(error).splitlines()]
    if problems:
        raise ConfigError("\n".join(problems))
    return replace(spec, corpora=corpora)


def load_corpus(
    name: object, entry: object, packages: dict[str, PackageSpec], downloads: Path
) -> MiniCorpus | OnDisk:
    """One corpus, as the dataclass its kind asks for. Raises ConfigError."""
    if not isinstance(name, str) or not NAME.fullmatch(name):  # a folder, which may be removed
        raise ConfigError(f"corpus {name!r}: letters, digits, - and _ make a name")
    where = f"corpora.{name}"
    if not isinstance(entry, dict):
        raise ConfigError(f"{where} must be a mapping, got {entry!r}")
    kind, known = entry.get("kind"), [*KINDS, *MINI_KINDS]
    if kind not in known:
        raise ConfigError(
            f"{where}: kind must be one of {', '.join(known)}, got {kind!r}{guess(kind, known)}"
        )
    try:
        if kind in KINDS:
            return from_dict(KINDS[kind], {"path": str(downloads / name), **entry}, where)
        corpus = from_dict(MiniCorpus, entry, where)
    except ConfigError as error:
        lines = str(error).splitlines()
        raise ConfigError(
            "\n".join(x if x.startswith(where) else f"{where}: {x}" for x in lines)
        ) from None
    for package in corpus.packages:
        if package not in packages:
            raise ConfigError(
                f"{where}: package {package} has no entry under packages (version, sha256, size)"
            )
    return corpus
