"""Asterisk's telephone prompts: one professional speaker a language, 8 kHz, no transcripts."""

from pathlib import Path

from espnet2.data.corpora.clips import Clip, Dropped
from espnet2.utils.errors import DataError

SOUNDS = Path("usr/share/asterisk/sounds")
NOT_SPEECH = ("silence/", "beep", "ascending-", "descending-", "tt-monkeys")


def read_clips(package: Path, language: str) -> tuple[list[Clip], list[Dropped]]:
    """The prompts of one package; signals and silence are dropped.

    Raises:
        DataError: the package holds no prompts.
    """
    paths = sorted((package / SOUNDS).rglob("*.wav"))
    if not paths:
        raise DataError(f"{package / SOUNDS} holds no prompts (*.wav)")
    speaker = f"asterisk_{language}"
    clips, dropped = [], []
    for number, path in enumerate(paths):
        utt_id = f"{speaker}_{number:06d}"
        prompt = path.relative_to(package / SOUNDS).as_posix().partition("/")[2]
        if prompt.startswith(NOT_SPEECH):
            dropped.append(Dropped(utt_id=utt_id, reason="not_speech", detail=prompt))
        else:
            clips.append(
                Clip(
                    utt_id=utt_id, path=path, language=language, speaker=speaker, text=None,
                    group=utt_id,
                )
            )  # fmt: skip
    return clips, dropped
