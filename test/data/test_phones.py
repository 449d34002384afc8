"""Phones of Mandarin and Japanese as the benchmark's tools give them."""

import sys

import pytest

from espnet2.data import phones
from espnet2.data.phones import libraries, phone_languages, to_phones
from espnet2.utils.errors import ConfigError, DataError
from espnet2.utils.files import write_json


@pytest.fixture
def without_libraries(monkeypatch):
    """As where ``xeus[phones]`` was not installed."""
    phones.converter.cache_clear()
    monkeypatch.setitem(sys.modules, "pypinyin", None)
    monkeypatch.setitem(sys.modules, "pyopenjtalk", None)
    yield
    phones.converter.cache_clear()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("今天天气很好", "j in1 t ian1 t ian1 q i4 h en3 h ao3"),
        ("这 并 不 是 OK", "zh e4 b ing4 b u4 sh i4 OK"),
        ("雨 云 我 一", "ü3 ün2 uo3 i1"),
        ("绿 女 略", "l v4 n v3 l ve4"),
        ("3 年 …", "3 n ian2 …"),
    ],
)
def test_mandarin_becomes_initials_and_finals_with_tones(text, expected):
    pytest.importorskip("pypinyin")
    assert to_phones("cmn", text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("こんにちは世界", "k o N n i ch i w a s e k a i"),
        ("今日 は 天気 が いい", "ky o o pau w a pau t e N k i pau g a pau i i"),
        ("雨が降っても、行く。", "a m e g a f u cl t e m o pau i k u"),
    ],
)
def test_japanese_becomes_phones_with_pauses(text, expected):
    pytest.importorskip("pyopenjtalk")
    assert to_phones("jpn", text) == expected


def test_a_missing_library_is_said_once_a_language_with_what_it_means(without_libraries, capfd):
    assert libraries(["cmn", "eng", "jpn"]) == {}
    lines = capfd.readouterr().err.strip().splitlines()
    assert [line.split(": ", 1)[1] for line in lines] == [
        f"phones of {language} need {library} (import of {library} halted; None in sys.modules); "
        f"pip install 'xeus[phones]'; monolingual {language} is trained and scored on characters "
        "instead"
        for language, library in (("cmn", "pypinyin"), ("jpn", "pyopenjtalk"))
    ]


def test_an_installed_library_is_named_with_its_version(capfd):
    pytest.importorskip("pypinyin")
    found = libraries(["cmn", "eng"])
    assert list(found) == ["cmn"]
    assert found["cmn"].startswith("pypinyin 0.")
    assert capfd.readouterr().err == ""


def test_other_languages_have_no_phones():
    with pytest.raises(ConfigError, match="no phones of eng; there are those of cmn, jpn"):
        to_phones("eng", "hello")


def test_phones_json_says_which_languages_have_phones(tmp_path):
    assert phone_languages(tmp_path) == frozenset()
    write_json(tmp_path / "phones.json", {"cmn": "pypinyin 0.55.0"})
    assert phone_languages(tmp_path) == {"cmn"}
    (tmp_path / "phones.json").write_text("{")
    with pytest.raises(DataError, match=r"phones\.json"):
        phone_languages(tmp_path)
