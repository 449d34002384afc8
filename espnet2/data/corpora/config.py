"""What stage 1 prepares (``local/corpora.yaml``) and how (section ``data`` of the recipe YAML)."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from espnet2.data.superb import RESERVED_LANGUAGES
from espnet2.utils.config import from_dict, load_yaml
from espnet2.utils.errors import ConfigError

NAME = re.compile(r"[A-Za-z0-9_-]+")


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
class CorpusSpec:
    """One corpus of ``corpora.yaml``."""

    reader: Literal["tuxpaint", "fillets", "asterisk", "espeak", "noise"]
    """Who knows its files."""

    kind: Literal["real", "unseen_voice", "unlabelled", "noise"]
    """``unseen_voice``: test voices are unseen in training and the same in every language.
    ``unlabelled``: pre-training audio only, prepared on request. ``noise``: no speech."""

    packages: list[str] = field(default_factory=list)
    """Debian packages that hold it."""

    languages: dict[str, str] = field(default_factory=dict)
    """ISO 639-3 -> the code its files use."""

    held_out_scale: float = 1.0
    """Multiplies ``dev_share`` and ``test_share``: less than 1 for a corpus with much audio."""


@dataclass(frozen=True, kw_only=True)
class CorporaSpec:
    """The whole of ``corpora.yaml``."""

    corpora: dict[str, CorpusSpec]
    """By name; the name becomes ``data/<name>``."""

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
    """Also prepare the corpora of kind ``unlabelled``."""

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


def load_corpora(path: Path) -> CorporaSpec:
    """Read ``corpora.yaml``.

    Raises:
        ConfigError: an unknown key, a wrong type, or a package that is not pinned.
    """
    spec = from_dict(CorporaSpec, load_yaml(path), str(path))
    for name, corpus in spec.corpora.items():
        if not NAME.fullmatch(name):  # it becomes a folder, and a folder may be removed
            raise ConfigError(f"{path}: corpus {name!r}: letters, digits, - and _ make a name")
        for package in corpus.packages:
            if package not in spec.packages:
                raise ConfigError(
                    f"{path}: corpora.{name}: package {package} has no entry under packages "
                    f"(version, sha256, size)"
                )
    return spec
