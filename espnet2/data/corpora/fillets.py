"""Fish Fillets: acted dialogues in Czech and Dutch.

``script/<room>/dialogs_xx.lua`` pairs ``dialogId("id", "font", "English")`` with
``dialogStr("text")``; ``sound/<room>/xx/<id>.ogg`` says it. The fonts of the two fish mark the two
main characters; every other font is a voice with effects.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from espnet2.data.corpora.clips import Clip, Dropped
from espnet2.data.corpora.text import clean_text
from espnet2.utils.errors import DataError

GAME = Path("usr/share/games/fillets-ng")
STRING = r'"((?:[^"\\]|\\.)*)"'
DIALOGUE = re.compile(
    rf"dialogId\(\s*{STRING}\s*,\s*{STRING}\s*,\s*{STRING}\s*\)\s*dialogStr\(\s*{STRING}\s*\)"
)
VOICES = {"font_small": "small", "font_big": "big"}  # the two fish


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a dialogue."""

    voice: str  # "small", "big" or "" for all others
    text: str


def parse_dialogues(script: str) -> dict[str, Line]:
    """Dialogue id -> line, of one script."""
    return {
        name: Line(voice=VOICES.get(font, ""), text=clean_text(re.sub(r"\\(.)", r"\1", text)))
        for name, font, _, text in DIALOGUE.findall(script)
    }


def read_dialogues(package: Path, code: str) -> dict[str, Line]:
    """``room/id`` -> line, of one language.

    Raises:
        DataError: the package holds no dialogues of that language.
    """
    lines = {}
    for path in sorted((package / GAME / "script").glob(f"*/dialogs_{code}.lua")):
        script = path.read_text(encoding="utf-8", errors="replace")
        lines.update({f"{path.parent.name}/{k}": v for k, v in parse_dialogues(script).items()})
    if not lines:
        raise DataError(f"{package / GAME}/script holds no dialogs_{code}.lua: not fillets-ng-data")
    return lines


def read_clips(
    texts: Path, recordings: dict[str, Path], languages: dict[str, str]
) -> tuple[list[Clip], list[Dropped], list[tuple[str, str, str]]]:
    """Recordings of the two fish, what else was said, and all sentences for ``link_groups``.

    ``texts`` is the package with the scripts; ``recordings``: language code -> package with its
    sound; ``languages``: ISO 639-3 -> code.
    """
    lines = {language: read_dialogues(texts, code) for language, code in languages.items()}
    names = sorted({name for own in lines.values() for name in own})
    number = {name: i for i, name in enumerate(names)}
    sentences = [
        (name, language, line.text) for language in lines for name, line in lines[language].items()
    ]
    clips, dropped = [], []
    for language, code in languages.items():
        for path in sorted((recordings[code] / GAME / "sound").glob(f"*/{code}/*.ogg")):
            name = f"{path.parent.parent.name}/{path.stem}"
            line = lines[language].get(name)
            if line is None or not line.voice:
                reason = "other_voice" if line else "no_transcript"
                dropped.append(Dropped(utt_id=f"{language}:{name}", reason=reason, detail=""))
                continue
            speaker = f"fillets-{line.voice}_{language}"
            clips.append(
                Clip(
                    utt_id=f"{speaker}_{number[name]:06d}", path=path, language=language,
                    speaker=speaker, text=line.text or None, group=name,
                )
            )  # fmt: skip
    return clips, dropped, sentences


def noise_files(package: Path) -> list[Path]:
    """Music and effects of the game: recorded sound without speech."""
    game = package / GAME
    return sorted([*(game / "music").glob("*.ogg"), *(game / "sound/share").glob("*.ogg")])
