"""Phones of Japanese and Mandarin transcripts, as the benchmark's monolingual track has them.

Source: arXiv 2305.10615 scores jpn and cmn on phones; ESPnet's recipe takes them from pyopenjtalk
and from pypinyin (``pypinyin_g2p_phone``). ``pip install 'xeus[phones]'`` brings both libraries.
"""

import contextlib
import functools
import importlib
import inspect
import io
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path

from espnet2.utils.errors import ConfigError, DataError
from espnet2.utils.files import read_json
from espnet2.utils.logs import log

PHONES = "phones.json"
TEXT_PHONES = "text_phones"
INSTALL = "pip install 'xeus[phones]'"
DISTRIBUTIONS = {"cmn": ("pypinyin",), "jpn": ("pyopenjtalk", "pyopenjtalk-plus")}


def to_phones(language: str, text: str) -> str:
    """Phones of a normalised transcript, separated by spaces; tones stand on Mandarin's finals.

    Raises:
        ConfigError: no phones of that language, or its library is not there.
    """
    return " ".join(converter(language)(text).split())


@functools.cache
def converter(language: str) -> Callable[[str], str]:
    """The function that turns text of a language into phones.

    Raises:
        ConfigError: no phones of that language, or its library is not there.
    """
    makers = {"cmn": mandarin, "jpn": japanese}
    if language not in makers:
        raise ConfigError(f"no phones of {language}; there are those of {', '.join(makers)}")
    library = DISTRIBUTIONS[language][0]
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # the fork advertises its extras there
            module = importlib.import_module(library)
        return makers[language](module)
    except ImportError as error:
        raise ConfigError(f"phones of {language} need {library} ({error}); {INSTALL}") from None
    except OSError as error:  # pyopenjtalk fetches its dictionary when it is used first
        raise ConfigError(
            f"{library} has no dictionary and could not fetch it ({error}); set "
            f"OPEN_JTALK_DICT_DIR to one, or {INSTALL}"
        ) from None


def japanese(library) -> Callable[[str], str]:
    """pyopenjtalk's phones: a pause for a space or a punctuation mark.

    Its fork pyopenjtalk-plus brings the dictionary and needs no compiler. It is asked for plain
    readings, and a space is made a comma for it: it ignores spaces.
    """
    is_fork = "use_vanilla" in inspect.signature(library.g2p).parameters
    plain = functools.partial(library.g2p, kana=False, **({"use_vanilla": True} if is_fork else {}))
    plain("あ")  # finds or fetches the dictionary
    return (lambda text: plain(text.replace(" ", "、"))) if is_fork else plain


def mandarin(library) -> Callable[[str], str]:
    """pypinyin's initials and finals, a tone's number on the final (``t ian1``)."""
    convert = importlib.import_module(f"{library.__name__}.contrib.tone_convert")

    def phones(text: str) -> str:
        found = []
        for (syllable,) in library.pinyin(text, style=library.Style.TONE3):
            tone = syllable[-1] if syllable[-1].isdigit() else ""
            bare = syllable.removesuffix(tone)
            initial = convert.to_initials(bare)
            final = convert.to_finals(bare, v_to_u="v" not in bare)  # v stays in lü and nü only
            if not final or not syllable[-1].isalnum():
                final = bare.removeprefix(initial)  # no syllable: what is not Chinese stays
            found += [part for part in (initial, final + tone) if not part.isdigit()]
        return " ".join(found)

    return phones


def libraries(languages: Iterable[str]) -> dict[str, str]:
    """Language -> library and version, of those of ``languages`` whose library is installed.

    What is missing is logged, with what that means.
    """
    found = {}
    for language in sorted(set(languages) & DISTRIBUTIONS.keys()):
        try:
            converter(language)
        except ConfigError as error:
            log(f"{error}; monolingual {language} is trained and scored on characters instead")
        else:
            found[language] = installed(DISTRIBUTIONS[language])
    return found


def installed(names: tuple[str, ...]) -> str:
    """Name and version of the first distribution that is installed."""
    for name in names:
        try:
            return f"{name} {metadata.version(name)}"
        except metadata.PackageNotFoundError:
            continue
    return names[0]


def phone_languages(data: Path) -> frozenset[str]:
    """Languages that have ``text_phones`` in the sets of stage 10 below ``data``.

    Raises:
        DataError: ``phones.json`` is damaged.
    """
    path = Path(data) / PHONES
    if not path.is_file():
        return frozenset()
    try:
        return frozenset(read_json(path))
    except ValueError as error:
        raise DataError(str(error)) from None
