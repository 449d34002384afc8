"""The challenge's metrics: means of means, the worst languages, the spread, dialects."""

import statistics

import pytest

from espnet2.evaluation.metrics import dialect_metrics, score_utterance, split_metrics
from espnet2.evaluation.superb2 import challenge_metrics, challenge_utterance, normalise


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("I'll be going, to the CMU campus.", "eng", "ILL BE GOING TO THE CMU CAMPUS"),
        ("¿Qué? «Sí» — no…", "spa", "QUÉ SÍ  NO"),  # the dash stood alone: two spaces
        ("我想去餐厅。 我非常饿！", "cmn", "我想去餐厅我非常饿"),
        ("สวัสดี ครับ", "tha", "สวัสดีครับ"),
        ("今日 は、", "jpn", "今日は"),
        ("早\u3000晨", "yue", "早晨"),
        ("早 晨", "kor", "早 晨"),
        ("a+b=c $5", "eng", "A+B=C $5"),  # symbols are no punctuation
        ("straße", "deu", "STRASSE"),
        ("...", "eng", ""),
        (" - a - ", "eng", "A"),
    ],
)
def test_the_text_form_is_the_challenges(text, language, expected):
    assert normalise(text, language) == expected


def share(cer, language="eng", characters=100):
    """An utterance with that share of wrong characters and the right language."""
    wrong = round(cer * characters)
    reference = "A" * characters
    text = "B" * wrong + "A" * (characters - wrong)
    return challenge_utterance(f"[{language}] {reference}", f"[{language}] {text}", language)


def test_an_utterance_counts_with_its_rate_and_not_with_its_length():
    found = challenge_metrics([share(0.5, characters=2), share(0.1, characters=200)], "joint", 1)
    assert found["superb2_cer"] == 30.0  # pooled it would be 10.4
    assert found["superb2_lid"] == 100.0


def test_languages_weigh_the_same_and_the_worst_fifteen_are_averaged():
    rates = [number / 100 for number in range(20)]
    utterances = [share(rate, f"l{number:02d}") for number, rate in enumerate(rates)]
    utterances += [share(0.0, "l00")] * 5  # more of one language changes nothing
    found = challenge_metrics(utterances, "joint", 1)
    assert found["superb2_cer"] == pytest.approx(100 * statistics.mean(rates))
    assert found["worst15_cer"] == pytest.approx(100 * statistics.mean(rates[5:]))
    assert found["cer_language_sd"] == pytest.approx(100 * statistics.stdev(rates), abs=1e-4)
    assert found["superb2_by_language"]["l07"] == {"cer": 7.0, "lid": 100.0}


def test_fewer_than_fifteen_languages_are_all_the_worst():
    found = challenge_metrics([share(0.2, "dan"), share(0.4, "swe")], "multi", 1)
    assert found["worst15_cer"] == found["superb2_cer"] == 30.0
    assert "superb2_lid" not in found


def test_one_language_has_no_spread_and_no_utterance_has_nothing():
    assert challenge_metrics([share(0.2)], "multi", 1)["cer_language_sd"] is None
    nothing = challenge_metrics([challenge_utterance("[eng]", "[eng]", "eng")], "joint", 1)
    assert (nothing["superb2_cer"], nothing["superb2_lid"]) == (None, None)
    assert nothing["intervals"]["superb2_cer"] is None


def test_an_empty_reference_counts_for_neither_text_nor_language():
    empty = challenge_utterance("[eng] ?!", "[swe] HEJ", "eng")
    assert empty.cer is None
    found = challenge_metrics([empty, share(0.5)], "joint", 1)
    assert (found["superb2_cer"], found["superb2_lid"]) == (50.0, 100.0)


def test_a_cell_that_only_names_languages_is_scored_without_any_text():
    utterances = [challenge_utterance("[dan]", said, "dan") for said in ("[dan]", "[swe]", "")]
    found = challenge_metrics(utterances, "lid", 1)
    assert found["superb2_lid"] == pytest.approx(33.3333)
    assert "superb2_cer" not in found


def test_the_tag_must_come_first_and_a_text_without_one_is_whole():
    found = challenge_utterance("[dan] HEJ", "HEJ [dan]", "dan")
    assert not found.is_right
    assert found.cer == pytest.approx(4 / 3)  # " DAN" was said, too
    without = challenge_utterance("[dan] HEJ DU", "HEJ DU", "dan")
    assert (without.is_right, without.cer) == (False, 0.0)
    assert challenge_utterance("[dan] HEJ", "[dan] hej!", "dan").cer == 0
    assert challenge_utterance("[dan] HEJ", "[dan]", "dan").cer == 1
    assert challenge_utterance("[dan] HEJ", "", "dan").cer == 1


def test_intervals_hold_the_figures_and_depend_on_the_seed_alone():
    utterances = [share(0.1 * (n % 4), f"l{n % 5}") for n in range(60)]
    first, again = (challenge_metrics(utterances, "joint", 3)["intervals"] for _ in range(2))
    assert first == again
    figures = challenge_metrics(utterances, "joint", 3)
    for name in ("superb2_cer", "worst15_cer"):
        low, high = first[name]
        assert low < figures[name] < high
    assert challenge_metrics(utterances, "joint", 4)["intervals"] != first


def scored(reference, hypothesis, language):
    return score_utterance(
        reference, hypothesis, language=language, utt_id="a", corpus="x",
        is_few_shot=False, is_unseen_voice=False,
    )  # fmt: skip


def test_a_split_of_dialects_has_the_two_figures_of_dialects():
    utterances = [scored("[ara] AB", "[ara] AX", "ara"), scored("[deu] AB", "[eng] AB", "deu")]
    found = dialect_metrics(utterances, "joint", 1)
    assert (found["dialect_cer"], found["dialect_lid"], found["num_utts"]) == (25.0, 50.0, 2)
    assert found["intervals"].keys() == {"dialect_cer", "dialect_lid"}
    assert "worst15_cer" not in found


def test_a_split_has_both_normalisations_side_by_side():
    utterances = [scored("[dan] A,B", "[dan] AB", "dan"), scored("[swe] AB", "[swe] AB", "swe")]
    found = split_metrics(utterances, "joint", 1)
    assert found["cer_normal"] == 20.0  # the comma is a character there
    assert found["superb2_cer"] == 0.0
    assert "superb2_cer" not in split_metrics(utterances, "mono", 1)
    assert "superb2_cer" not in split_metrics(utterances, "lid", 1)
    assert split_metrics(utterances, "lid", 1)["superb2_lid"] == 100.0
