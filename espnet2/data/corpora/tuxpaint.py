"""Tux Paint's stamps: phrases read aloud in nine languages, and written in many more.

A stamp ``animals/birds/owl`` has ``owl.txt`` (the first line is English, then ``xx.utf8=phrase``)
and, where somebody read it, ``owl_desc_xx.ogg``. One stamp is one sentence in every language.
"""

import re
from pathlib import Path

from espnet2.data.corpora.clips import Clip, Dropped
from espnet2.data.corpora.text import clean_text
from espnet2.utils.errors import DataError

PACKAGE = "tuxpaint-stamps-default"
STAMPS = Path("usr/share/tuxpaint/stamps")
PHRASE = re.compile(r"^(?P<code>[A-Za-z_]+(?:@[a-z]+)?)\.utf8=(?P<text>.*)$")
RECORDING = re.compile(r"^(?P<stem>.+)_desc_(?P<code>[A-Za-z_@]+)\.ogg$")


def read_phrases(package: Path) -> dict[str, dict[str, str]]:
    """``{stamp: {language code: phrase}}`` of every stamp, in C order.

    Raises:
        DataError: the package holds no stamps.
    """
    root = package / STAMPS
    phrases = {}
    for path in sorted(root.rglob("*.txt")):
        stamp = path.relative_to(root).with_suffix("").as_posix()
        phrases[stamp] = parse_phrases(path.read_text(encoding="utf-8", errors="replace"))
    if not phrases:
        raise DataError(f"{root} holds no stamps (*.txt): not {PACKAGE}")
    return phrases


def parse_phrases(text: str) -> dict[str, str]:
    """The phrases of one stamp, by language code; empty ones are left out."""
    phrases = {}
    for number, line in enumerate(text.splitlines()):
        match = PHRASE.match(line)
        if match:
            phrases[match["code"]] = clean_text(match["text"])
        elif number == 0:
            phrases["en"] = clean_text(line)
    return {code: phrase for code, phrase in phrases.items() if phrase}


def sentences(phrases: dict[str, dict[str, str]]) -> list[tuple[str, str, str]]:
    """(stamp, language code, phrase) of everything written: what ``link_groups`` reads."""
    return [(stamp, code, text) for stamp, own in phrases.items() for code, text in own.items()]


def read_clips(
    package: Path, languages: dict[str, str], phrases: dict[str, dict[str, str]]
) -> tuple[list[Clip], list[Dropped]]:
    """Every recording; those of languages that are not asked for are dropped.

    ``languages``: ISO 639-3 -> Tux Paint's code.
    """
    root = package / STAMPS
    iso3 = {code: language for language, code in languages.items()}
    found = []
    for path in sorted(root.rglob("*_desc_*.ogg")):
        match = RECORDING.match(path.relative_to(root).as_posix())
        if match:
            found.append((match["stem"], match["code"], path))
    number = {stamp: i for i, stamp in enumerate(sorted({*phrases, *(row[0] for row in found)}))}
    clips, dropped = [], []
    for stamp, code, path in found:
        language = iso3.get(code)
        if language is None:
            dropped.append(Dropped(utt_id=path.name, reason="other_language", detail=stamp))
            continue
        speaker = f"tuxpaint_{language}"
        clips.append(
            Clip(
                utt_id=f"{speaker}_{number[stamp]:06d}", path=path, language=language,
                speaker=speaker, text=phrases.get(stamp, {}).get(code), group=stamp,
            )
        )  # fmt: skip
    return clips, dropped
