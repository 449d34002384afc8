"""Error rates, hypothesis files and intervals."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet2.evaluation.bootstrap import language_interval, language_ratios, ratio_interval
from espnet2.evaluation.error_rate import ErrorCount, count_errors
from espnet2.evaluation.hypotheses import HEADER, Hypothesis, pair_up, write_hypotheses
from espnet2.evaluation.superb2 import mean_of_languages
from espnet2.evaluation.text import first_language, leading_language, scored_characters
from espnet2.utils.errors import DataError
from espnet2.utils.seeding import rng_for


def edit_distance(a: str, b: str) -> int:
    """Levenshtein by the textbook table."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        diagonal, row[0] = row[0], i
        for j, y in enumerate(b, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (x != y))
    return row[-1]


@pytest.mark.parametrize(
    ("reference", "hypothesis", "edits", "characters"),
    [
        ("HEJ VERDEN", "HEJ VERDEN", 0, 10),
        ("HEJ VERDEN", "HEJVERDEN", 1, 10),  # a space is a character
        ("[dan] HEJ", "[swe] HEJ", 0, 3),  # the tag is not
        ("[dan] HEJ", "HEJ", 0, 3),
        ("ABC", "", 3, 3),
        ("", "ABC", 3, 0),
        ("", "", 0, 0),
        ("ЖУК", "ЖУЌ", 1, 3),
        ("ABC", "A<unk>C", 1, 3),  # one wrong character, not five
        ("A  B", " A B ", 0, 3),
    ],
)
def test_edits_are_counted_in_characters_without_tags(reference, hypothesis, edits, characters):
    expected = ErrorCount(edits=edits, sclite_edits=edits, characters=characters)
    assert count_errors(reference, hypothesis) == expected


@settings(max_examples=150, deadline=None)
@given(st.text("AB Ж漢é", max_size=12), st.text("AB Ж漢é", max_size=12))
def test_the_edit_distance_is_the_textbook_one(reference, hypothesis):
    a, b = scored_characters(reference), scored_characters(hypothesis)
    assert count_errors(reference, hypothesis).edits == edit_distance(a, b)


def test_a_reference_without_characters_has_no_rate():
    assert count_errors("", "AB").rate is None
    assert count_errors("ABCD", "ABC").rate == 25


def test_phones_are_counted_whole():
    found = count_errors("k o N n i", "k o n i i", "phones")
    assert (found.edits, found.characters) == (2, 5)
    assert count_errors("ts u", "t u", "phones") == ErrorCount(
        edits=1, sclite_edits=1, characters=2
    )
    assert count_errors("ts u", "<unk> u", "phones").edits == 1


BROKEN = [  # hypothesis, the language it names, the text that is scored
    ("[dan] HEJ", "dan", "HEJ"),
    ("HEJ [swe] [dan]", "swe", "HEJ"),
    ("[swe][dan] HEJ", "swe", "HEJ"),
    ("HE[dan]J", "dan", "HE J"),
    ("[org_jpn] X", "org_jpn", "X"),
    ("[pt-br] X", "pt-br", "X"),
    ("[[dan]]", "dan", "[ ]"),
    ("]dan[", None, "]dan["),
    ("HEJ", None, "HEJ"),
    ("[", None, "["),
    ("]", None, "]"),
    ("[]", None, "[]"),
    ("[ ]", None, "[ ]"),
    ("[xx", None, "[xx"),
    ("xx]", None, "xx]"),
    ("[dan HEJ", None, "[dan HEJ"),
    ("[DAN] HEJ", None, "[DAN] HEJ"),
    ("[Dan] HEJ", None, "[Dan] HEJ"),
    ("[ dan ] HEJ", None, "[ dan ] HEJ"),
    ("[d an] HEJ", None, "[d an] HEJ"),
    ("[dan\u0301] HEJ", None, "[dan\u0301] HEJ"),
    ("[-] HEJ", None, "[-] HEJ"),
    ("<unk>", None, "\N{REPLACEMENT CHARACTER}"),
    ("   ", None, ""),
    ("", None, ""),
]


@pytest.mark.parametrize(("text", "language", "scored"), BROKEN)
def test_the_first_whole_tag_is_the_language_and_no_text(text, language, scored):
    assert first_language(text) == language
    assert scored_characters(text) == scored


def test_a_leading_tag_is_cut_off_and_a_later_one_is_text():
    assert leading_language(" [dan] HEJ [swe]") == ("dan", "HEJ [swe]")
    assert leading_language("HEJ [swe]") == (None, "HEJ [swe]")
    assert leading_language("[xx") == (None, "[xx")
    assert leading_language("[12] HEJ") == (None, "[12] HEJ")  # as ML-SUPERB 2.0 writes


def test_hypotheses_are_written_by_id_under_a_header(tmp_path):
    rows = pair_up({"b": "[dan] HEJ", "a": ""}, {"a": "X", "b": ""}, "cell test")
    write_hypotheses(tmp_path / "test.tsv", rows)
    assert (tmp_path / "test.tsv").read_text() == f"{HEADER}\na\t\tX\nb\t[dan] HEJ\t\n"


def test_missing_and_unknown_hypotheses_are_refused_by_name():
    with pytest.raises(DataError, match="cell: 1 utterances have no hypothesis, first b"):
        pair_up({"a": "", "b": ""}, {"a": ""}, "cell")
    with pytest.raises(DataError, match="1 hypotheses are of unknown utterances, first c"):
        pair_up({"a": ""}, {"a": "", "c": ""}, "cell")


def test_a_line_break_inside_a_text_is_refused(tmp_path):
    row = Hypothesis(utt_id="a", reference="x", hypothesis="y\nz")
    with pytest.raises(DataError, match="a: a text holds a tab or a line break"):
        write_hypotheses(tmp_path / "dev.tsv", [row])


def test_the_interval_holds_the_ratio_and_shrinks_with_more_utterances():
    draw = random.Random(1)
    right = np.array([draw.random() < 0.8 for _ in range(400)], float)
    low, high = ratio_interval(right, np.ones(400), rng_for(1, "few"))
    assert low < 100 * right.mean() < high
    many = np.tile(right, 16)
    narrow = ratio_interval(many, np.ones(many.size), rng_for(1, "many"))
    assert (high - low) / (narrow[1] - narrow[0]) == pytest.approx(4, rel=0.2)


def test_the_interval_is_a_function_of_the_seed():
    edits, characters = np.array([1, 0, 3, 2]), np.array([9, 8, 7, 6])
    first = ratio_interval(edits, characters, rng_for(3, "x"))
    assert first == ratio_interval(edits, characters, rng_for(3, "x"))
    assert first != ratio_interval(edits, characters, rng_for(4, "x"))


def test_one_utterance_and_no_characters_have_no_interval():
    assert ratio_interval(np.array([1]), np.array([2]), rng_for(1)) is None
    assert ratio_interval(np.array([1, 1]), np.array([0, 0]), rng_for(1)) is None


def test_the_interval_over_languages_draws_inside_each_language():
    ones = np.ones(50)
    parts = [(np.zeros(50), ones), (ones, ones)]  # certain inside, far apart between
    drawn = language_ratios(parts, rng_for(1))
    assert language_interval(drawn, mean_of_languages) == (50.0, 50.0)
    mixed = np.tile([0.0, 1.0], 25)
    low, high = language_interval(
        language_ratios([(mixed, ones)] * 2, rng_for(1)), mean_of_languages
    )
    assert 38 < low < 44
    assert 56 < high < 62


def test_languages_of_one_utterance_each_have_no_interval():
    alone, pair = (np.array([1.0]), np.array([2.0])), (np.array([0.0, 2.0]), np.array([2.0, 2.0]))
    assert language_interval(language_ratios([alone] * 3, rng_for(1)), mean_of_languages) is None
    drawn = language_ratios([alone, pair], rng_for(1))
    assert language_interval(drawn, mean_of_languages) == (25.0, 75.0)


def test_a_language_without_characters_is_left_out_of_the_interval():
    empty = (np.array([1.0]), np.array([0.0]))
    assert language_ratios([empty], rng_for(1)).shape == (1000, 0)
    assert language_interval(language_ratios([empty], rng_for(1)), mean_of_languages) is None
