"""Seeds of pre-training put together, and the tables of corrupted tests."""

import pytest

from espnet2.bin.compare_arms import main
from espnet2.evaluation.arms import arms_of, comparison, difference, values_of
from espnet2.evaluation.report.blocks import table_markdown
from espnet2.evaluation.report.corrupted import corrupted_tables
from espnet2.evaluation.report.inputs import input_files, read_inputs
from espnet2.evaluation.report.results import results_section
from espnet2.utils.errors import DataError
from espnet2.utils.files import write_json

FACTS = {
    "utterances": 9,
    "snr_db": {"utterances": 9, "min": 0.04, "max": 14.96, "mean": 7.25},
    "t60_s": {"utterances": 9, "min": 0.2, "max": 0.61, "mean": 0.4},
}


def one(mean):
    """A metric of one probe seed."""
    return {"mean": mean, "sd": None, "spread": None, "values": [mean], "interval": None}


def row(encoder, clean, noisy, metric="cer_normal", task="joint"):
    return {
        "encoder": encoder, "task": task, "track": "10min", "lr": "0.001", "lr_dev": {"0.001": 1.0},
        "lr_chosen_on": "dev cer_normal", "seeds": [1], "num_utts": 9,
        "test": {metric: one(clean)}, "corrupted": {"test_noisy": {metric: one(noisy)}},
    }  # fmt: skip


ROWS = [
    row("clean_s1", 60.0, 80.0), row("clean_s2", 62.0, 86.0), row("clean_s3", 61.0, 83.0),
    row("paper_s1", 59.0, 70.0), row("paper_s2", 63.0, 72.0), row("paper_s3", 61.5, 74.0),
    row("fbank", 55.0, 90.0),
]  # fmt: skip


def test_encoders_of_one_arm_belong_together_whatever_their_name_holds():
    rows = [row("a_s1", 1, 1), row("a_s12", 1, 1), row("a_s1_s2", 1, 1), row("xeus", 1, 1)]
    assert {arm: list(seeds) for arm, seeds in arms_of(rows).items()} == {
        "a": [1, 12], "a_s1": [2], "xeus": [None],
    }  # fmt: skip


def test_differences_are_taken_seed_by_seed():
    arms = arms_of(ROWS)
    noisy = {arm: values_of(arms[arm], "test_noisy", "cer_normal") for arm in arms}
    found = difference(noisy["paper"], noisy["clean"])
    assert (found.mean, found.lowest, found.highest, found.seeds) == (-11.0, -14.0, -9.0, 3)
    assert found.has_one_sign
    clean = {arm: values_of(arms[arm], "test", "cer_normal") for arm in arms}
    assert not difference(clean["paper"], clean["clean"]).has_one_sign
    assert difference(clean["fbank"], clean["clean"]) is None  # has no seed of pre-training
    del noisy["paper"][2]
    assert difference(noisy["paper"], noisy["clean"]).seeds == 2


def test_the_command_prints_means_spreads_and_paired_gains(tmp_path, capsys):
    write_json(tmp_path / "scores.json", {"rows": ROWS})
    words = ["--scores", str(tmp_path / "scores.json"), "--against", "clean"]
    assert main([*words, "--out", str(tmp_path / "arms.md")]) == 0
    text = capsys.readouterr().out
    assert "*CER normal, Joint ASR + LID, 10min: mean" in text
    assert "| arm | seeds | clean | test_noisy |" in text
    assert "| clean | 3 | 61.0 (2.0) | 83.0 (6.0) |" in text
    assert "| paper | 3 | 61.2 (4.0) | 72.0 (4.0) |" in text
    assert "| fbank | 1 | 55.0 | 90.0 |" in text
    assert (
        "| paper, better than clean by | 3 | -0.2 (-1.0 to +1.0) | **+11.0** (+9.0 to +14.0) |"
        in text
    )
    assert (tmp_path / "arms.md").read_text() == text


def test_of_accuracies_more_is_better():
    rows = [row("a_s1", 50.0, 20.0, "lid", "lid"), row("b_s1", 60.0, 15.0, "lid", "lid")]
    assert (
        "| b, better than a by | 1 | **+10.0** (+10.0 to +10.0) | -5.0 (-5.0 to -5.0) |"
        in comparison(rows, "a")
    )


def test_an_arm_that_is_not_there_is_refused():
    with pytest.raises(DataError, match="no encoder is named noisy_s<seed>; there are clean, pap"):
        comparison(ROWS, "noisy")


def test_the_report_sets_the_corrupted_figure_beside_the_clean_one():
    conditions = {"10min/test_noisy": FACTS}
    [table] = corrupted_tables([ROWS[0], ROWS[6]], "joint", "10min", conditions)
    text = table_markdown(table)
    assert "test_noisy: SNR 0 to 15 dB, mean 7.2; T60 0.20 to 0.61 s, mean 0.40" in text
    assert "| CER normal, clean | CER normal, noisy and reverberant |" in text
    assert "| clean_s1 | 60.0 | **80.0** |" in text
    assert "| fbank | 55.0 | 90.0 |" in text
    blocks = results_section(ROWS, {}, conditions).blocks
    assert sum(getattr(block, "caption", "").count("test_noisy") for block in blocks) == 1


@pytest.mark.parametrize(
    ("facts", "heading"),
    [({"snr_db": FACTS["snr_db"], "t60_s": None}, "noisy"),
     ({"snr_db": None, "t60_s": FACTS["t60_s"]}, "reverberant"),
     ({"snr_db": None, "t60_s": None}, "corrupted"), ({}, "test_noisy")],
)  # fmt: skip
def test_the_heading_says_what_was_done(facts, heading):
    [table] = corrupted_tables(ROWS[:1], "joint", "10min", {"10min/test_noisy": facts})
    assert table.columns[2] == f"CER normal, {heading}"


def test_a_file_without_rows_is_none_of_stage_12(tmp_path):
    path = tmp_path / "score.json"
    write_json(path, {"test": {}})
    with pytest.raises(DataError, match=r"score.json has no rows: give the scores.json of stage"):
        main(["--scores", str(path), "--against", "clean"])


def test_scores_without_corrupted_tests_have_no_such_table():
    plain = [{key: value for key, value in one.items() if key != "corrupted"} for one in ROWS]
    assert corrupted_tables(plain, "joint", "10min", {}) == []


def test_the_report_reads_what_the_tests_are_heard_in(tmp_path):
    write_json(tmp_path / "exp/superb/scores.json", {"cells": [], "rows": [], "not_scored": []})
    path = tmp_path / "dump/superb/10min/test_noisy/conditions.json"
    write_json(path, FACTS)
    folders = (tmp_path / "exp", tmp_path / "dump", tmp_path / "ssl")
    assert read_inputs(*folders).conditions == {"10min/test_noisy": FACTS}
    assert path in input_files(*folders)
