"""The monolingual row: configurations, then languages; learning rates; units; what is missing."""

import pytest

from espnet2.evaluation.golden import METRICS
from espnet2.evaluation.summary import summarise
from espnet2.evaluation.superb_table import superb_tables
from espnet2.utils.files import read_json, write_json


def write_score(root, task, cer, *, lr="0.0001", seed=1, dev=None, units="characters", encoder="x"):
    """score.json of a monolingual cell; returns its folder."""
    folder = root / encoder / f"{task}_10min_lr{lr}_seed{seed}"
    metrics = {"cer": cer, "num_utts": 10, "intervals": {"cer": [cer - 2, cer + 2]}}
    score = {
        "encoder": encoder, "task": task, "track": "10min", "lr": lr, "seed": seed, "units": units,
        "dev": {**metrics, "cer": cer if dev is None else dev}, "test": metrics,
    }  # fmt: skip
    write_json(folder / "score.json", score)
    return folder


def summary_of(root, folders, failed=None):
    summarise(folders, failed or {}, root / "scores.json")
    return read_json(root / "scores.json")


def test_configurations_are_averaged_before_languages(tmp_path):
    rates = {"mono-eng-mls": 10.0, "mono-eng-nchlt": 20.0, "mono-eng-voxpopuli": 30.0,
             "mono-swe-NST": 50.0}  # fmt: skip
    summary = summary_of(tmp_path, [write_score(tmp_path, *pair) for pair in rates.items()])
    (row,) = summary["rows"]
    assert (row["task"], row["track"], row["seeds"], row["num_utts"]) == ("mono", "10min", [1], 20)
    mono = row["test"]["mono_cer"]
    assert mono["mean"] == 35.0  # (20 + 50) / 2, not 27.5 of the four
    assert mono["by_language"] == {"eng": 20.0, "swe": 50.0}
    assert mono["interval"] == [
        pytest.approx(35 - 2**0.5, abs=1e-3),
        pytest.approx(35 + 2**0.5, abs=1e-3),
    ]
    assert row["configurations"]["mono-eng-nchlt"]["test"]["cer"]["mean"] == 20.0
    assert row["missing"] == []


def test_each_configuration_has_the_learning_rate_its_own_dev_set_prefers(tmp_path):
    folders = [
        write_score(tmp_path, "mono-eng-mls", 10.0, lr="0.0001", dev=9.0),
        write_score(tmp_path, "mono-eng-mls", 1.0, lr="0.0004", dev=11.0),  # better on test alone
        write_score(tmp_path, "mono-swe-NST", 40.0, lr="0.0001", dev=45.0),
        write_score(tmp_path, "mono-swe-NST", 30.0, lr="0.0004", dev=35.0),
    ]
    (row,) = summary_of(tmp_path, folders)["rows"]
    assert row["lr"] == {"mono-eng-mls": "0.0001", "mono-swe-NST": "0.0004"}
    assert row["test"]["mono_cer"]["mean"] == 20.0
    assert row["lr_dev"] == {"0.0001": 27.0, "0.0004": 23.0}


def test_seeds_that_every_configuration_has_are_put_together(tmp_path):
    folders = [
        write_score(tmp_path, "mono-eng-mls", 10.0, seed=1),
        write_score(tmp_path, "mono-eng-mls", 12.0, seed=2),
        write_score(tmp_path, "mono-eng-mls", 90.0, seed=3),
        write_score(tmp_path, "mono-swe-NST", 20.0, seed=1),
        write_score(tmp_path, "mono-swe-NST", 24.0, seed=2),
    ]
    (row,) = summary_of(tmp_path, folders)["rows"]
    assert row["seeds"] == [1, 2]
    assert row["test"]["mono_cer"]["values"] == [15.0, 18.0]
    assert row["test"]["mono_cer"]["spread"] == 3.0


def test_cells_without_a_common_seed_still_make_a_row(tmp_path):
    folders = [
        write_score(tmp_path, "mono-eng-mls", 10.0, seed=1),
        write_score(tmp_path, "mono-swe-NST", 20.0, seed=2),
    ]
    (row,) = summary_of(tmp_path, folders)["rows"]
    assert (row["seeds"], row["test"]["mono_cer"]["values"]) == ([1, 2], [15.0])


def test_the_row_says_which_languages_were_scored_on_phones(tmp_path):
    folders = [
        write_score(tmp_path, "mono-jpn-commonvoice", 20.0, units="phones"),
        write_score(tmp_path, "mono-cmn-fleurs", 30.0),
        write_score(tmp_path, "mono-eng-mls", 10.0),
    ]
    (row,) = summary_of(tmp_path, folders)["rows"]
    assert row["units"] == {"characters": ["cmn", "eng"], "phones": ["jpn"]}


def test_a_missing_configuration_is_named_and_keeps_the_row_out_of_superb_s(tmp_path):
    folders = [write_score(tmp_path, "mono-eng-mls", 10.0, encoder=name) for name in ("x", "fbank")]
    folders.append(write_score(tmp_path, "mono-swe-NST", 20.0, encoder="fbank"))
    failed = {str(tmp_path / "x" / "mono-swe-NST_10min_lr0.0001_seed1"): "not trained: nan"}
    rows = summary_of(tmp_path, folders, failed)["rows"]
    assert {row["encoder"]: row["missing"] for row in rows} == {"fbank": [], "x": ["mono-swe-NST"]}
    assert superb_tables(rows, "fbank", is_benchmark=True)["run"]["10min"]["set"] == ["fbank"]


def multi_row(encoder, cer):
    """The summary row of a multilingual task."""
    summary = {"mean": cer, "sd": None, "spread": None, "values": [cer], "interval": None}
    return {"encoder": encoder, "task": "multi", "track": "10min", "test": {"cer_normal": summary}}


def test_superb_tables_have_every_score_against_its_named_set(tmp_path):
    folders = [write_score(tmp_path, "mono-eng-mls", 72.1, encoder="fbank")]
    folders.append(write_score(tmp_path, "mono-eng-mls", 30.3, encoder="ours"))
    rows = summary_of(tmp_path, folders)["rows"]
    rows += [multi_row("fbank", 62.4), multi_row("ours", 21.1)]
    tables = superb_tables(rows, "fbank", is_benchmark=True)
    xeus = tables["published"]["10min"]["XEUS"]["by_set"]
    assert {name: score["superb_s"] for name, score in xeus.items()} == {
        "XEUS paper": 956.41, "XEUS paper and mHuBERT-147": 954.8,
    }  # fmt: skip
    run = tables["run"]["10min"]
    ours = run["rows"]["ours"]
    assert ours["metrics"] == {"mono_cer": 30.3, "multi_cer": 21.1}
    assert (ours["superb_s"], ours["set"]) == (1000.0, "rows of this run")
    assert (run["rows"]["fbank"]["superb_s"], run["set"]) == (0.0, ["fbank", "ours"])
    against = ours["against_paper_set"]
    assert (against["superb_s"], against["set"]) == (1000.0, "XEUS paper")  # XEUS is best in both
    assert sorted(against["left_out"]) == sorted(set(METRICS) - {"mono_cer", "multi_cer"})


def test_an_incomplete_monolingual_row_says_why_it_is_left_out(tmp_path):
    folders = [write_score(tmp_path, "mono-eng-mls", 10.0)]
    failed = {str(tmp_path / "x" / "mono-swe-NST_10min_lr0.0001_seed1"): "not trained: nan"}
    rows = [*summary_of(tmp_path, folders, failed)["rows"], multi_row("x", 20.0)]
    run = superb_tables([*rows, multi_row("fbank", 60.0)], "fbank", is_benchmark=True)["run"][
        "10min"
    ]
    reason = "1 of 2 configurations have no score"
    assert run["rows"]["x"]["left_out"]["mono_cer"] == reason
    assert run["rows"]["x"]["against_paper_set"]["left_out"]["mono_cer"] == reason
