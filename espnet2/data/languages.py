"""Languages as ISO 639-3 codes, by the tables of pycountry.

Known are the living, historical and constructed languages and the macrolanguages of the standard,
its special codes (``und`` undetermined, ``mul`` several, ``mis`` uncoded, ``zxx`` no language), and
``qaa`` to ``qtz``, which the standard leaves to whoever needs a code of their own.
"""

import difflib
import functools
import re

import pycountry

from espnet2.utils.errors import DataError

UNKNOWN_LANGUAGE = "und"
_PRIVATE = re.compile(r"^q[a-t][a-z]$")
_LOCALE = re.compile(r"^(?P<code>[A-Za-z]{2,3})[-_][A-Za-z0-9_-]+$")
# Two-letter codes that ISO 639-1 has withdrawn and data sets still use.
_WITHDRAWN = {"in": "ind", "iw": "heb", "ji": "yid", "jw": "jav", "mo": "ron", "sh": "hbs"}


@functools.cache
def is_language(code: str) -> bool:
    """Whether ``code`` is a language in ISO 639-3, as it must stand in ``utt2lang``."""
    return code in _names_by_code() or _PRIVATE.match(code) is not None


@functools.cache
def iso639_3(text: str) -> str:
    """The ISO 639-3 code of a code or English name: "en", "eng", "ger", "en-US", "English".

    Raises:
        DataError: nothing fits; the message guesses what was meant.
    """
    wanted = text.strip()
    if is_language(wanted.lower()):
        return wanted.lower()
    locale = _LOCALE.match(wanted)
    for candidate in (wanted, locale["code"] if locale else wanted):
        found = _codes_by_alias().get(candidate.lower())
        if found or is_language(candidate.lower()):
            return found or candidate.lower()
    raise DataError(f"'{text}' is no language of ISO 639-3{_guess(wanted)}")


def language_name(code: str) -> str:
    """The English name of a code; the code itself where there is none."""
    return _names_by_code().get(code, code)


def language_problem(code: str) -> str | None:
    """Why ``code`` cannot stand in ``utt2lang``, with what to write instead; None if it can."""
    if is_language(code):
        return None
    try:
        return f"language '{code}' is not ISO 639-3; '{code}' is {iso639_3(code)} in ISO 639-3"
    except DataError:
        return f"language '{code}' is not ISO 639-3{_guess(code)}"


def _guess(text: str) -> str:
    """``; did you mean ...?``, or where to look. Languages with a two-letter code come first."""
    known = [language for language in pycountry.languages if hasattr(language, "alpha_2")]
    for languages in (known, pycountry.languages):
        names = {_plain(language.name): language.alpha_3 for language in languages}
        near = difflib.get_close_matches(_plain(text), names, n=1, cutoff=0.8)
        if len(text) > 3 and near:
            code = names[near[0]]
            return f"; did you mean {code} ({language_name(code)})?"
    return f"; use a code of https://iso639-3.sil.org or {UNKNOWN_LANGUAGE} if it is not known"


def _plain(name: str) -> str:
    """A name in lower case, without what stands in brackets: "Swahili (macrolanguage)"."""
    return name.lower().partition(" (")[0]


@functools.cache
def _names_by_code() -> dict[str, str]:
    """ISO 639-3 code -> English name."""
    return {language.alpha_3: language.name for language in pycountry.languages}


@functools.cache
def _codes_by_alias() -> dict[str, str]:
    """Lower-case name, two-letter code or bibliographic code -> ISO 639-3 code.

    Where a name stands for two languages, the one whose main name it is wins.
    """
    languages = sorted(pycountry.languages, key=lambda language: hasattr(language, "alpha_2"))
    aliases = {_plain(language.name): language.alpha_3 for language in languages}
    for attribute in ("inverted_name", "common_name", "name", "bibliographic", "alpha_2"):
        for language in languages:
            alias = getattr(language, attribute, None)
            if alias:
                aliases[alias.lower()] = language.alpha_3
    return _WITHDRAWN | aliases
