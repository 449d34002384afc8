"""Reading what a probe said: the language tag in front and the characters that count.

A target is ``[iso] TEXT`` (joint), ``[iso]`` (lid) or ``TEXT`` (multi). Stage 10 removes brackets
from transcripts and upper-cases them, so a lower-case tag in brackets is never part of a text.
"""

import re

# ML-SUPERB's own scorer reads these two forms: "[eng]", and "[org_jpn]" of one odd corpus.
LANGUAGE_TAG = re.compile(r"\[([a-z]{3}(?:_[a-z]{3})?)\]")

# The vocabulary's name for an unseen character is one wrong character, not five.
UNKNOWN, WRONG_CHARACTER = "<unk>", "\N{REPLACEMENT CHARACTER}"


def first_language(text: str) -> str | None:
    """The code inside the first language tag of ``text``, None where there is none."""
    match = LANGUAGE_TAG.search(text)
    return match.group(1) if match else None


def scored_characters(text: str) -> str:
    """``text`` without language tags, runs of white space as one space, none at the ends.

    Spaces between words stay and count as characters, as in the benchmark, whose scorer hands
    sclite one token a character and ``<space>`` for a space.
    """
    text = text.replace(UNKNOWN, WRONG_CHARACTER)
    return " ".join(LANGUAGE_TAG.sub(" ", text).split())
