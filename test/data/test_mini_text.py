"""Transcripts of the mini corpus: one spelling, and what is refused."""

import pytest

from espnet2.data.corpora.text import clean_text, text_key, text_problem

RATES = (3.0, 26.0)


def test_typographic_signs_become_ascii_that_the_benchmark_removes():
    assert clean_text(" L’arbre –  «vert»… ") == 'L\'arbre - "vert"...'
    assert clean_text("¡Hola!\u00a0¿Qué\u00ad?") == "Hola! Qué?"


def test_composed_and_decomposed_letters_are_one_spelling():
    assert clean_text("cafe\u0301") == clean_text("café") == "café"


def test_case_and_punctuation_do_not_make_another_text():
    assert text_key("Un poulet!") == text_key("  un «poulet».") == "un poulet"
    assert text_key("Γλάρος.") == text_key("γλάρος")


@pytest.mark.parametrize(
    ("text", "duration_s", "problem"),
    [
        ("Un hibou blanc.", 1.5, None),
        (None, 1.0, "empty_transcript"),
        ("...", 1.0, "empty_transcript"),
        ("Le chiffre 6.", 1.0, "digits"),
        ("Як.", 1.1, "character_rate"),
        ("Un hibou", 8 / 3, None),  # exactly 3 a second
        ("a" * 26, 1.0, None),
        ("a" * 27, 1.0, "character_rate"),
    ],
)
def test_an_unusable_transcript_has_a_reason(text, duration_s, problem):
    assert text_problem(text, duration_s, RATES) == problem
