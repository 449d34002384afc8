"""Kind ``folder``: audio files in folders, ``<folder>/<language>/…`` or all of one language."""

import re
from collections.abc import Iterator
from pathlib import Path

from espnet2.data.corpora.corpus_folder import Drops
from espnet2.data.corpora.kinds import Folder
from espnet2.data.corpora.language_codes import Languages
from espnet2.data.corpora.listing import files_below
from espnet2.data.kaldi import Utterance
from espnet2.data.languages import iso639_3, language_name
from espnet2.utils.errors import DataError

READABLE = {
    ".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".sph", ".aif", ".aiff", ".au", ".caf", ".w64"
}  # fmt: skip
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
# What libsndfile cannot read:
OTHER_AUDIO = {".m4a", ".mp4", ".aac", ".wma", ".webm", ".amr", ".3gp", ".mkv", ".shn"}

# Names of parts of corpora that ISO 639-3 knows as languages (wav is Waka, dev is Domung).
PARTS = {
    "all", "aud", "cut", "dev", "doc", "male", "mic", "mono", "new", "ogg", "old", "raw", "seg",
    "set", "src", "trn", "tst", "val", "wav",
}  # fmt: skip


def utterances(spec: Folder, languages: Languages, drops: Drops) -> Iterator[Utterance]:
    """Every audio file; files that are no audio (texts, tables) are passed over.

    An utterance is named by its path. Raises DataError for a folder that should name a language
    and has the name of a part of a corpus.
    """
    for entry in files_below(spec.path):
        inside = Path(entry.path).relative_to(spec.path)
        suffix = inside.suffix.lower()
        utt_id = "-".join(inside.with_suffix("").parts)
        if suffix in OTHER_AUDIO:
            drops.add(
                as_text(utt_id),
                "format",
                f"{as_text(entry.path)}: {suffix} is not read; convert it to FLAC",
            )
        if suffix not in READABLE:
            continue
        problem = place_problem(inside, spec)
        if problem:
            drops.add(as_text(utt_id), *problem)
            continue
        if spec.language is None:
            refuse_part(inside.parts[0], spec)
        level = spec.speaker_folder
        yield Utterance(
            utt_id=utt_id, recording=utt_id, source=entry.path,
            language=languages.of(inside.parts[0]),
            speaker=utt_id if level is None else inside.parts[level - 1],
        )  # fmt: skip


def place_problem(inside: Path, spec: Folder) -> tuple[str, str] | None:
    """(reason, detail) why a file cannot be used where it stands; None if it can."""
    folders = len(inside.parts) - 1
    if as_text(str(inside)) != str(inside) or _CONTROL.search(str(inside)):
        return "file name", f"{as_text(str(inside))}: not plain text in UTF-8; rename the file"
    if spec.language is None and not folders:
        return "no language", f"{inside}: not in a folder that names its language"
    if spec.speaker_folder is not None and folders < spec.speaker_folder:
        return "no speaker", f"{inside}: not {spec.speaker_folder} folders deep (speaker_folder)"
    return None


def refuse_part(folder: str, spec: Folder) -> None:
    """Raise DataError for a folder such as ``dev``, unless corpora.yaml calls it a language."""
    if folder.lower() in PARTS and folder not in spec.languages:
        code = iso639_3(folder)
        raise DataError(
            f"{spec.path / folder}: the first folder names the language, and {folder} is more "
            f"likely a part of the corpus than {language_name(code)}; give language: or a path one "
            f"folder deeper, move it away, or say languages: {{{folder}: {code}}}"
        )


def as_text(name: str) -> str:
    """A file name as UTF-8 can hold it."""
    return name.encode("utf-8", "replace").decode()
