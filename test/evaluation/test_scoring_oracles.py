"""Edits against other scorers on 10,000 pairs: jiwer, and sclite's rule."""

import hashlib
import random
import re
import shutil
import subprocess

import jiwer
import pytest

from espnet2.evaluation.error_rate import count_errors
from espnet2.evaluation.superb2 import challenge_utterance
from espnet2.evaluation.text import scored_characters

ALPHABETS = ("AB", "ABCDEFGHIJ", "ABCЖ漢é字あ𐍈", "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
# What NIST's sclite 2.10 (SCTK 1.3 of Debian) counted on the 10,000 pairs of ``random_pairs``.
SCLITE_EDITS = 127205
SCLITE_DIGEST = "7c27693fd4275ee2b09f629cea35c3e18f049ca181ec8419f249da0738d8c24f"


def random_pairs(count=10_000):
    """Texts of 0 to 40 letters of several scripts: unlike each other, or with a few edits."""
    draw = random.Random(7)
    pairs = []
    for _ in range(count):
        letters = draw.choice(ALPHABETS)
        reference = "".join(draw.choice(letters) for _ in range(draw.randint(0, 40)))
        if draw.random() < 0.5:
            hypothesis = "".join(draw.choice(letters) for _ in range(draw.randint(0, 40)))
        else:
            kept = [one for one in reference if draw.random() > 0.1]
            hypothesis = "".join(
                draw.choice(letters) if draw.random() < 0.2 else one for one in kept
            )
        pairs.append((reference, hypothesis))
    return pairs


@pytest.fixture(scope="module")
def counted():
    """(reference, hypothesis, errors) of each pair."""
    return [(r, h, count_errors(r, h)) for r, h in random_pairs()]


def test_the_pairs_hold_empty_texts_and_several_scripts(counted):
    references, hypotheses = {r for r, _, _ in counted}, {h for _, h, _ in counted}
    assert "" in references
    assert "" in hypotheses
    assert any("漢" in text and "𐍈" in text for text in references)


def test_character_error_rates_are_those_of_jiwer(counted):
    checked = 0
    for reference, hypothesis, errors in counted:
        if reference:
            assert errors.rate == pytest.approx(100 * jiwer.cer(reference, hypothesis), abs=1e-9)
            checked += 1
        else:
            assert (errors.edits, errors.rate) == (len(hypothesis), None)
    assert checked > 9500


def test_the_pooled_rate_is_the_one_of_jiwer(counted):
    full = [one for one in counted if one[0]]
    edits, characters = (sum(getattr(e, k) for *_, e in full) for k in ("edits", "characters"))
    expected = jiwer.cer([r for r, _, _ in full], [h for _, h, _ in full])
    assert edits / characters == pytest.approx(expected, abs=1e-12)


def test_spaces_and_tags_are_scored_as_jiwer_scores_the_text_that_is_left():
    draw = random.Random(3)
    for _ in range(300):
        text = "".join(draw.choice("AB Ж漢 ") for _ in range(20)) + "A"
        other = "".join(draw.choice("AB Ж漢 ") for _ in range(20))
        expected = jiwer.cer(scored_characters(text), scored_characters(other))
        assert count_errors(f"[dan] {text}", f"[swe] {other}").rate == pytest.approx(100 * expected)


def test_edits_of_sclite_are_those_of_the_program(counted):
    edits = [errors.sclite_edits for _, _, errors in counted]
    assert sum(edits) == SCLITE_EDITS
    assert hashlib.sha256(repr(edits).encode()).hexdigest() == SCLITE_DIGEST


def test_sclite_never_counts_less_and_hardly_ever_more(counted):
    more = [e.sclite_edits - e.edits for _, _, e in counted]
    assert min(more) == 0
    assert 0 < sum(more) < 0.005 * SCLITE_EDITS


def sclite_by_table(reference, hypothesis):
    """sclite's rule by the textbook: (weight, edits) of each cell, its preferences among equals."""
    row = [(3 * j, j) for j in range(len(hypothesis) + 1)]
    for i, wanted in enumerate(reference, start=1):
        above, row = row, [(3 * i, i)]
        for j, found in enumerate(hypothesis, start=1):
            wrong = wanted != found
            ways = [
                (above[j - 1][0] + 4 * wrong, above[j - 1][1] + wrong),
                (row[j - 1][0] + 3, row[j - 1][1] + 1),
                (above[j][0] + 3, above[j][1] + 1),
            ]
            row.append(min(ways, key=lambda way: way[0]))  # the first of the lightest
    return row[-1][1]


def test_edits_of_sclite_follow_its_rule_on_a_table_of_plain_python(counted):
    for reference, hypothesis, errors in counted[:1500]:
        assert errors.sclite_edits == sclite_by_table(reference, hypothesis)


def test_five_substitutions_lose_to_six_gaps():
    errors = count_errors("AAADC", "DECBD")  # 5 x 4 against 3 deletions and 3 insertions, 6 x 3
    assert (errors.edits, errors.sclite_edits) == (5, 6)


@pytest.mark.skipif(shutil.which("sclite") is None, reason="sclite is not installed (sctk)")
def test_edits_of_sclite_are_those_of_the_sclite_in_the_path(counted, tmp_path):
    for name, place in (("ref", 0), ("hyp", 1)):
        rows = (f"{' '.join(one[place])} (s-{number:05d})\n" for number, one in enumerate(counted))
        (tmp_path / f"{name}.trn").write_text("".join(rows), encoding="utf-8")
    command = ["sclite", "-r", "ref.trn", "trn", "-h", "hyp.trn", "trn", "-i", "rm", "-o", "pra",
               "stdout"]  # fmt: skip
    report = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout
    report = report.decode("utf-8", "replace")
    ids = re.findall(r"^id: \(s-(\d+)\)", report, re.M)
    scores = re.findall(r"^Scores: \(#C #S #D #I\) \d+ (\d+) (\d+) (\d+)", report, re.M)
    found = {int(i): sum(map(int, score)) for i, score in zip(ids, scores, strict=True)}
    assert [found[i] for i in range(len(counted))] == [e.sclite_edits for *_, e in counted]


def test_rates_of_the_challenge_are_those_of_jiwer():
    draw = random.Random(5)
    for _ in range(500):
        texts = ["".join(draw.choice("aB é-—漢¿?,。") for _ in range(14)) + "x" for _ in range(2)]
        reference, hypothesis = (
            "".join(c for c in text if c not in "-—¿?,。").upper() for text in texts
        )
        found = challenge_utterance(f"[eng] {texts[0]}", f"[eng] {texts[1]}", "eng")
        assert found.cer == pytest.approx(jiwer.cer(reference, hypothesis))
