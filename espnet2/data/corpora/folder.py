"""Kind ``folder``: audio files in folders, ``<folder>/<language>/…`` or all of one language."""

import re
from collections.abc import Iterator
from pathlib import Path

from espnet2.data.corpora.corpus_folder import Drops
from espnet2.data.corpora.kinds import Folder
from espnet2.data.corpora.language_codes import Languages
from espnet2.data.corpora.listing import files_below
from espnet2.data.kaldi import Utterance

READABLE = {
    ".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".sph", ".aif", ".aiff", ".au", ".caf", ".w64"
}  # fmt: skip
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
# What libsndfile cannot read:
OTHER_AUDIO = {".m4a", ".mp4", ".aac", ".wma", ".webm", ".amr", ".3gp", ".mkv", ".shn"}


def utterances(spec: Folder, languages: Languages, drops: Drops) -> Iterator[Utterance]:
    """Every audio file; files that are no audio (texts, tables) are passed over.

    An utterance is named by its path.
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


def as_text(name: str) -> str:
    """A file name as UTF-8 can hold it."""
    return name.encode("utf-8", "replace").decode()
