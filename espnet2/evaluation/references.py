"""What stage 10 says about a split: transcripts, languages, corpora, and which are special."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from espnet2.asr.config import Units
from espnet2.data.phones import TEXT_PHONES
from espnet2.data.superb import DIALECTS
from espnet2.evaluation.cells import Cell
from espnet2.evaluation.score_config import SPLITS
from espnet2.utils.errors import DataError
from espnet2.utils.files import read_json

UNSEEN_VOICE = "unseen_voice"


@dataclass(frozen=True, kw_only=True)
class References:
    """One split of one track, by utterance id."""

    transcripts: dict[str, str]
    languages: dict[str, str]
    corpora: dict[str, str]
    few_shot_languages: frozenset[str]
    unseen_voice_corpora: frozenset[str]
    """Corpora whose test voices are unseen in training and shared by all languages."""


def scored_splits(data: Path, cell: Cell, corrupted: Iterable[str] = ()) -> tuple[str, ...]:
    """Dev, test, dialects where there are some (not for one language alone), corrupted tests."""
    has_dialects = (Path(data) / cell.track / DIALECTS / "text").is_file() and cell.kind != "mono"
    return (*SPLITS, *([DIALECTS] if has_dialects else []), *corrupted)


def reference_files(data: Path, track: str, split: str) -> list[Path]:
    """The files that decide a split's references: small, so that a unit can hash them."""
    folder = Path(data) / track / split
    files = [folder / name for name in ("text", "utt2lang", "utt2corpus")]
    optional = (folder / TEXT_PHONES, Path(data) / "corpora.json")
    return [*files, Path(data) / "languages.json", *(path for path in optional if path.is_file())]


def read_references(data: Path, track: str, split: str, units: Units = "characters") -> References:
    """Read ``data/<track>/<split>`` and the two JSON files beside the tracks.

    Without ``corpora.json`` every corpus counts as real. Phones stand in ``text_phones``, for the
    utterances of some languages; the others are empty then.

    Raises:
        DataError: a file is missing or damaged, or the files name different utterances.
    """
    folder = Path(data) / track / split
    transcripts = read_map(folder / "text")
    languages, corpora = read_map(folder / "utt2lang"), read_map(folder / "utt2corpus")
    for name, table in (("utt2lang", languages), ("utt2corpus", corpora)):
        odd = sorted(table.keys() ^ transcripts.keys())
        if odd:
            raise DataError(f"{folder}: {odd[0]} stands in only one of text and {name}")
    if units == "phones":
        phones = read_map(folder / TEXT_PHONES)
        transcripts = {utt: phones.get(utt, "") for utt in transcripts}
    kinds = read_json_file(Path(data) / "corpora.json", default={})
    return References(
        transcripts=transcripts,
        languages=languages,
        corpora=corpora,
        few_shot_languages=frozenset(read_json_file(Path(data) / "languages.json")["few_shot"]),
        unseen_voice_corpora=frozenset(
            name for name, facts in kinds.items() if facts.get("kind") == UNSEEN_VOICE
        ),
    )


def read_map(path: Path) -> dict[str, str]:
    """``{utterance id: rest of the line}`` of a Kaldi text file; an empty rest is allowed."""
    if not path.is_file():
        raise DataError(f"{path} is missing; run stage 10 (superb_data) first")
    table: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
        if not line:
            continue
        utt_id, _, rest = line.partition(" ")
        if utt_id in table:
            raise DataError(f"{path}:{number}: {utt_id} is given twice")
        table[utt_id] = rest.strip()
    return table


def read_json_file(path: Path, default: dict | None = None) -> dict:
    """A JSON file as a dict; ``default`` stands in for a missing one."""
    if default is not None and not path.is_file():
        return default
    try:
        return read_json(path)
    except FileNotFoundError:
        raise DataError(f"{path} is missing; run the stage that writes it first") from None
    except ValueError as error:
        raise DataError(str(error)) from None
