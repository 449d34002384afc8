"""Kinds of corpora that stand on this machine's disk: what ``corpora.yaml`` says of each.

A kind is a dataclass here and a module of the same name that reads it; ``disk.py`` joins the two.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from espnet2.data.languages import language_problem
from espnet2.utils.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class OnDisk:
    """What all of these kinds have."""

    kind: str
    """Who reads it: hf_parquet, lhotse, kaldi, folder, ml_superb or manual."""

    path: Path | None = None
    """Its folder, from the recipe's; null: ``downloads/<name>``."""

    hours: float | None = None
    """Hours of it in the published training set, which the table of stage 3 shows beside ours."""

    licence: str = ""
    """Terms of use."""

    source: str = ""
    """Where it comes from: an address, or ``owner/name`` of a Hugging Face data set."""

    num_languages: int | None = None
    """Languages of it in the published training set."""

    place: str = ""
    """What must be put at ``path``, in a sentence; said while nothing is there."""

    language: str | None = None
    """ISO 639-3 code of everything in it; null: the corpus says the language itself."""

    languages: dict[str, str] = field(default_factory=dict)
    """Code or name in the corpus -> ISO 639-3, where ``data/languages.py`` does not know it."""

    unknown_language: str | None = None
    """ISO 639-3 code (``und``) of what has another language; null: such a corpus is refused."""

    prefix_ids: bool = True
    """Put the corpus's name before its ids, since ids must differ between corpora."""

    def __post_init__(self) -> None:
        for code in (self.language, self.unknown_language, *self.languages.values()):
            problem = language_problem(code) if code is not None else None
            if problem:
                raise ConfigError(problem)


@dataclass(frozen=True, kw_only=True)
class HfParquet(OnDisk):
    """Parquet files as Hugging Face stores data sets; the audio stays in them."""

    files: list[str] = field(default_factory=list)
    """Patterns of files below ``path``; empty: every ``*.parquet`` but those of test, dev,
    validation and eval splits."""

    id_column: str | None = None
    """Null, here and below: found by its usual names. Without one, ids are file and row."""

    language_column: str | None = None
    """Codes or names of languages; not needed where ``language`` is given."""

    speaker_column: str | None = None
    """Without one, each utterance is a speaker of its own."""

    text_column: str | None = None
    """Transcripts, kept where all utterances have one."""


@dataclass(frozen=True, kw_only=True)
class Lhotse(OnDisk):
    """Manifests of lhotse: of one of its recipes, or already made and lying at ``path``."""

    recipe: str | None = None
    """``librispeech`` calls ``lhotse.recipes.prepare_librispeech``; null: ``path`` has manifests
    ``*recordings*.jsonl.gz`` and, beside them, ``*supervisions*.jsonl.gz``."""

    arguments: dict[str, Any] = field(default_factory=dict)
    """Further arguments of the recipe; its first one is ``path`` unless given here."""

    parts: list[str] = field(default_factory=lambda: ["train*"])
    """Patterns of the parts to take: what stands behind ``recordings_`` in a manifest's name."""


@dataclass(frozen=True, kw_only=True)
class Kaldi(OnDisk):
    """An existing Kaldi data directory."""

    prefix_ids: bool = False
    """Put the corpus's name before its ids, since ids must differ between corpora."""


@dataclass(frozen=True, kw_only=True)
class Folder(OnDisk):
    """Audio files in folders. Without ``language``, the first folder below ``path`` names it."""

    speaker_folder: int | None = None
    """Which folder names the speaker: 1 is the one directly below ``path``."""


@dataclass(frozen=True, kw_only=True)
class MlSuperb(OnDisk):
    """The training lists of an ML-SUPERB tree; what is in its dev and test lists stays out."""

    corpora: list[str] = field(default_factory=list)
    """Corpora of the tree; empty: all of them."""

    track: str = "1h"
    """Which training lists: 10min or 1h."""


@dataclass(frozen=True, kw_only=True)
class Manual(Folder):
    """A licensed corpus: a Kaldi data directory, or a folder of audio, that somebody placed."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.place:
            raise ConfigError("place is required: say what must be put where")


KINDS: dict[str, type[OnDisk]] = {
    "hf_parquet": HfParquet,
    "lhotse": Lhotse,
    "kaldi": Kaldi,
    "folder": Folder,
    "ml_superb": MlSuperb,
    "manual": Manual,
}
