"""Reading what a probe said: the language tag in front and the units that count.

A target is ``[iso] TEXT`` (joint), ``[iso]`` (lid) or ``TEXT`` (multi, mono). Stage 10 upper-cases
transcripts, so a lower-case tag in brackets is never part of a
text. What only looks like a tag (``[``, ``[da``, ``[]``, ``[DAN]``) is text, and wrong text.
"""

import re

from espnet2.asr.config import Units
from espnet2.asr.vocabulary import CODE

LANGUAGE_TAG = re.compile(rf"\[({CODE})\]")

# The vocabulary's name for an unseen character is one wrong character, not five.
UNKNOWN, WRONG_CHARACTER = "<unk>", "\N{REPLACEMENT CHARACTER}"


def first_language(text: str) -> str | None:
    """The code inside the first language tag of ``text``, None where there is none."""
    match = LANGUAGE_TAG.search(text)
    return match.group(1) if match else None


def leading_language(text: str) -> tuple[str | None, str]:
    """``"[dan] HEJ"`` as ``("dan", "HEJ")``; a text that does not begin with a tag is whole."""
    text = text.strip()
    match = LANGUAGE_TAG.match(text)
    return (match.group(1), text[match.end() :].strip()) if match else (None, text)


def scored_characters(text: str) -> str:
    """``text`` without language tags, runs of white space as one space, none at the ends.

    Spaces between words stay and count as characters, as in the benchmark, whose scorer hands
    sclite one token a character and ``<space>`` for a space.
    """
    text = text.replace(UNKNOWN, WRONG_CHARACTER)
    return " ".join(LANGUAGE_TAG.sub(" ", text).split())


def scored_units(text: str, units: Units = "characters") -> str | list[str]:
    """What is compared: the characters of ``text``, or its phones, which spaces separate."""
    characters = scored_characters(text)
    return characters.split() if units == "phones" else characters
