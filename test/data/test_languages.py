"""Languages as ISO 639-3: what is known, what is understood, what is guessed."""

import pytest

from espnet2.data.languages import is_language, iso639_3, language_name, language_problem
from espnet2.utils.errors import DataError


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("en", "eng"), ("eng", "eng"), ("English", "eng"), ("ENG", "eng"), (" english ", "eng"),
        ("en-US", "eng"), ("pt_BR", "por"), ("zh-Hant-TW", "zho"), ("cmn-script_simplified", "cmn"),
        ("ger", "deu"), ("fre", "fra"), ("iw", "heb"), ("jw", "jav"), ("Frisian, Northern", "frr"),
        ("Toki Pona", "tok"), ("und", "und"), ("mul", "mul"), ("qaa", "qaa"), ("Bangla", "ben"),
        ("Swahili", "swa"),
    ],
)  # fmt: skip
def test_codes_names_and_locales_become_iso_639_3(text, code):
    assert iso639_3(text) == code


@pytest.mark.parametrize("code", ["eng", "und", "mul", "zxx", "mis", "qaa", "qtz", "tok", "epo"])
def test_codes_of_the_standard_are_languages(code):
    assert is_language(code)
    assert language_problem(code) is None


@pytest.mark.parametrize("code", ["en", "ENG", "ger", "qua1", "qua ", "quaa", "qxx", "xxx", ""])
def test_everything_else_is_none(code):
    assert not is_language(code)


def test_a_wrong_code_comes_with_the_right_one():
    assert language_problem("en") == "language 'en' is not ISO 639-3; 'en' is eng in ISO 639-3"
    assert language_problem("Germna") == (
        "language 'Germna' is not ISO 639-3; did you mean deu (German)?"
    )
    assert language_problem("xx") == (
        "language 'xx' is not ISO 639-3; use a code of https://iso639-3.sil.org or und if it is "
        "not known"
    )


def test_what_no_table_knows_is_refused_with_a_guess():
    with pytest.raises(DataError, match=r"'Swahilli' is no language of ISO 639-3; did you mean"):
        iso639_3("Swahilli")
    with pytest.raises(DataError, match=r"'xx-YY' is no language of ISO 639-3; use a code of"):
        iso639_3("xx-YY")


def test_names_are_english():
    assert (language_name("deu"), language_name("qaa")) == ("German", "qaa")
