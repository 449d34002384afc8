"""Transcripts: one plain spelling, and what makes one unusable."""

import re
import unicodedata

# The benchmark's text rule removes ASCII punctuation only; typographic signs become ASCII here.
TYPOGRAPHIC = str.maketrans(
    {
        "“": '"', "”": '"', "„": '"', "‟": '"', "«": '"', "»": '"', "‹": '"', "›": '"',
        "’": "'", "‘": "'", "‚": "'", "ʼ": "'", "´": "'", "`": "'",
        "–": "-", "—": "-", "‑": "-", "…": "...", "·": ".", "•": ".", "¡": "", "¿": "",
        "\u00a0": " ", "\u00ad": "", "\u200b": "", "\u200c": "", "\u200d": "", "\ufeff": "",
    }
)  # fmt: skip
DIGIT = re.compile(r"\d")
NOT_LETTERS = re.compile(r"[\W_]+")


def clean_text(text: str) -> str:
    """NFC, typographic signs as ASCII, single spaces."""
    return " ".join(unicodedata.normalize("NFC", text).translate(TYPOGRAPHIC).split())


def text_key(text: str) -> str:
    """What two transcripts share when they say the same: letters only, case folded."""
    return NOT_LETTERS.sub(" ", clean_text(text)).casefold().strip()


def text_problem(text: str | None, duration_s: float, rates: tuple[float, float]) -> str | None:
    """Why a transcript cannot be used, or None. ``rates``: least and most characters a second."""
    if not text or not text_key(text):
        return "empty_transcript"
    if DIGIT.search(text):
        return "digits"
    rate = len(text) / duration_s
    if not rates[0] <= rate <= rates[1]:
        return "character_rate"
    return None
