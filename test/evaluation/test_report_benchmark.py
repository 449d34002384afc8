"""The report of ML-SUPERB itself: the paper's table, failed cells, phones, hours, cost."""

import json
import re
import shutil
import xml.etree.ElementTree as ElementTree

import pytest
import yaml

from espnet2.bin.report import main, trained_here
from espnet2.data.superb_languages import NORMAL_LANGUAGES, RESERVED_LANGUAGES
from espnet2.evaluation.report.config import ReportConfig
from espnet2.evaluation.report.inputs import read_commands, read_hours, read_inputs
from espnet2.evaluation.report.languages import most_confused
from espnet2.evaluation.report.mono import mono_marks
from espnet2.evaluation.report.scatter import Spot, scatter
from espnet2.evaluation.report.stage import write_report
from espnet2.evaluation.report.superb import difference
from espnet2.evaluation.report.svg import SERIES
from espnet2.utils.errors import ConfigError, DataError
from espnet2.utils.files import write_json


@pytest.fixture(scope="module")
def markdown(benchmark_report):
    return (benchmark_report / "RESULTS.md").read_text(encoding="utf-8")


def table_of(markdown, caption):
    """Rows of the table under a caption, by their first cell."""
    lines = markdown.split(f"*{caption}*\n\n")[1].split("\n\n")[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return {row[0]: row[1:] for row in [rows[0], *rows[2:]]}


def test_the_papers_table_holds_this_runs_row_and_the_difference(markdown, benchmark_run):
    rows = table_of(markdown, "ML-SUPERB, 1h")
    scores = json.loads((benchmark_run.exp / "superb" / "scores.json").read_text())
    accuracy = next(
        row["test"]["lid"]["mean"]
        for row in scores["rows"]
        if (row["encoder"], row["task"], row["track"]) == ("xeus", "lid", "1h")
    )
    assert rows["XEUS"][:5] == ["956", "25.1", "20.1", "34.1", "87.3"]
    assert rows["xeus (this run)"][4] == f"**{accuracy:.1f}** ({accuracy - 87.3:.1f} better)"
    assert len(rows["model"]) == 9  # two scores and the seven columns
    assert re.fullmatch(r"\d+ † \(\d+ worse\)", rows["fbank (this run)"][0])


def test_a_part_of_the_benchmark_says_that_it_is_one(benchmark_run, tmp_path):
    shutil.copytree(benchmark_run.exp, tmp_path / "exp")
    languages = [*(name for name in NORMAL_LANGUAGES if name != "org_jpn"), "qoj"]
    said = {}
    for few in (list(RESERVED_LANGUAGES), ["dan"]):
        about = {"normal": languages, "few_shot": few}
        write_json(tmp_path / "dump/superb/languages.json", about)
        places = (tmp_path / "exp", tmp_path / "dump", tmp_path / "exp/ssl", tmp_path / "out")
        write_report("seed: 1\n", *places, "x", ReportConfig(is_benchmark=True))
        said[len(few)] = (tmp_path / "out/RESULTS.md").read_text(encoding="utf-8")
    assert "Not the whole benchmark" not in said[20]
    assert "Not the whole benchmark: 124 of its 143 languages were tested." in said[1]


def test_a_score_without_all_seven_columns_is_marked_and_stands_last(markdown):
    rows = table_of(markdown, "ML-SUPERB, 1h")
    assert list(rows)[1] == "XEUS"
    assert list(rows)[-1] == "xeus (this run)"
    assert re.fullmatch(r"\d+ \* \(4 of 7 metrics\)", rows["xeus (this run)"][0])
    assert rows["xeus (this run)"][5:8] == ["– (1 of 1 cells have no score)"] * 3
    assert "no match for a whole one" in markdown


def test_the_set_that_a_score_is_relative_to_is_named(markdown):
    rows = table_of(markdown, "ML-SUPERB, 10min")
    assert rows["model"][0] == "SUPERB_s set: XEUS paper"
    assert rows["model"][-1] == "SUPERB_s set: XEUS paper and mHuBERT-147"
    assert (rows["XEUS"][0], rows["XEUS"][-1]) == ("956", "954")


def test_failed_cells_are_named_with_their_reason_and_marked_in_the_tables(markdown):
    assert table_of(markdown, "Cells without a score: 2") == {
        "cell": ["reason"],
        "xeus/joint_1h_lr0.0001_seed1": ["loss is not finite at step 40"],
        "xeus/mono-swe-NST_10min_lr0.0001_seed1": ["loss is not finite at step 40"],
    }
    assert "| xeus pretrained (1 of 1 cells have no score) | – | – | – | – | 0 | – |" in markdown
    assert "| xeus pretrained (1 of 13 cells have no score) |" in markdown


def test_monolingual_rows_say_what_they_are_scored_on(markdown):
    rows = table_of(markdown, "Monolingual ASR, 10min, test error rate")
    assert len(rows) == 15  # a head, 13 configurations, the mean
    assert "cmn fleurs (phones)" in rows
    assert "jpn commonvoice (characters, not phones)" in rows
    assert rows["swe NST"][0] == "–"
    assert rows["mean of corpora, then of languages"][0].endswith("* (12 of 13 corpora)")
    gains = table_of(markdown, "Monolingual ASR, 10min: xeus against the baselines, in points")
    assert gains["CER mean of corpora, then of languages"][1] == "– (not the same corpora)"
    assert "jpn is scored on characters: the benchmark takes phones there" in markdown
    assert "(jpn on characters)" in table_of(markdown, "ML-SUPERB, 10min")["fbank (this run)"][1]
    assert "† Its monolingual figure is not quite the benchmark's" in markdown


def test_other_monolingual_corpora_than_the_benchmarks_are_marked():
    row = {"task": "mono", "track": "1h", "encoder": "xeus", "units": {"characters": ["eng"]}}
    rows = [{**row, "configurations": {"mono-eng-mls": {}}, "missing": []}]
    assert mono_marks(rows) == {("1h", "xeus"): "(other corpora than the benchmark)"}


def test_the_challenges_metrics_have_a_table_and_name_their_text_form(markdown):
    rows = table_of(markdown, "Multilingual ASR, 1h")
    assert rows["encoder"] == ["CER", "CER, worst 15", "CER, sd of languages"]
    assert "no Unicode punctuation, upper case, no spaces for cmn, jpn, tha, yue" in markdown


def test_error_rates_stand_beside_the_hours_of_pre_training(markdown, benchmark_report):
    rows = table_of(markdown, "Multilingual ASR, 10min, CER and hours")
    assert rows["language"] == ["xeus hours", "xeus CER"]  # FBANK has learned from nothing
    hours = [float(row[0].replace(",", "")) for name, row in rows.items() if name != "language"]
    assert hours == sorted(hours, reverse=True)
    assert hours[-1] == 0
    page = (benchmark_report / "report.html").read_text(encoding="utf-8")
    said = r"CER by language against hours of pre-training, Multilingual ASR, 10min; "
    assert re.search(said + r"xeus: Spearman [+-]0\.\d\d over 46 normal languages", page)


def test_cost_is_given_in_seconds_a_cell_and_gpu_hours(markdown):
    rows = table_of(markdown, "Training of the cells")
    assert rows["xeus joint 10min"] == ["1", "50.0", "0.01", "0.03", "2 x NVIDIA H100"]
    assert rows["xeus mono 1h"][0] == "3"  # of the others nothing was recorded
    assert rows["all"][:2] == ["23", "50.0"]  # 11 of all languages, 12 of English


def test_layer_weights_are_a_table_too(markdown, benchmark_run):
    rows = table_of(markdown, "Layer weights, in percent")
    column = rows["layer"].index("xeus multi 1h")
    path = benchmark_run.exp / "superb" / "xeus" / "multi_1h_lr0.0001_seed1" / "score.json"
    weights = json.loads(path.read_text())["layer_weights"]
    assert [rows[str(i)][column] for i in range(4)] == [f"{100 * w:.1f}" for w in weights]
    assert not any(name.startswith("fbank") for name in rows["layer"])  # it has one layer


def test_what_was_typed_is_shown_once_in_the_order_of_its_last_use(markdown, benchmark_run):
    assert "run.sh --stage 10 --ngpu 1\nrun.sh --stage 10\n" in markdown
    assert read_commands(benchmark_run.exp / "none.tsv") == []


def test_a_run_of_stages_10_to_13_leaves_out_what_it_does_not_have(markdown):
    headings = re.findall(r"(?m)^## (.*)", markdown)
    assert headings[0] == "SUPERB_s and the paper's rows"
    assert "Error rate and hours of pre-training" in headings
    assert not {"Pre-training", "Pre-training audio", "Pseudo-labels"} & set(headings)


def test_other_tracks_than_the_benchmarks_cannot_be_called_the_benchmark(tmp_path):
    row = {"encoder": "fbank", "task": "multi", "track": "full", "test": {}}
    scores = {"cells": [], "rows": [row], "failed": [], "not_scored": []}
    (tmp_path / "superb").mkdir()
    (tmp_path / "superb" / "scores.json").write_text(json.dumps(scores))
    with pytest.raises(ConfigError, match=r"track full is none of ML-SUPERB \(10min, 1h\)"):
        write_report(
            "", tmp_path, tmp_path, tmp_path, tmp_path, "x", ReportConfig(is_benchmark=True)
        )


def test_the_command_needs_no_pre_training_run(benchmark_run, tmp_path):
    run = benchmark_run
    words = ["--conf", run.conf, "--exp", run.exp, "--dump", run.dump]
    words += ["--set", f"report.hours={{xeus: {run.conf.with_name('xeus_hours.txt')}}}"]
    words += ["--out", tmp_path / "out", "--log_dir", tmp_path / "log"]
    assert main([str(word) for word in words]) == 0
    text = (tmp_path / "out" / "RESULTS.md").read_text(encoding="utf-8")
    assert "Error rate and hours of pre-training" in text


def test_hours_are_those_of_stage_3_for_the_encoder_trained_here_alone(fake_run):
    encoders = {
        "ours": {"kind": "export"}, "theirs": {"kind": "export", "path": "/x"},
        "fbank": {"kind": "fbank"},
    }  # fmt: skip
    assert trained_here({"encoders": encoders}, "x.yaml") == ["ours"]
    assert trained_here({}, "x.yaml") == []  # a recipe that ends before stage 10
    with pytest.raises(ConfigError, match="x.yaml: encoders.ours: kind is required"):
        trained_here({"encoders": {"ours": {}}}, "x.yaml")
    inputs = read_inputs(fake_run.exp, fake_run.dump, fake_run.ssl, ("ours",))
    assert list(inputs.encoder_hours) == ["ours"]
    assert inputs.encoder_hours["ours"]["bel"] == 0.9  # 1.6 / 2 + 0.1, as conftest has it


def test_an_encoder_that_was_given_another_export_has_not_the_hours_of_stage_3(fake_run, tmp_path):
    exp, ssl = tmp_path / "exp", tmp_path / "exp/ssl_mini"
    shutil.copytree(fake_run.exp, exp)
    config = exp / "superb/xeus_mini/multi_10min_lr0.001_seed1/config.yaml"
    found = {}
    for export in (ssl / "export", tmp_path / "other/export"):
        config.write_text(yaml.safe_dump({"data": {"export": str(export)}}))
        inputs = read_inputs(exp, fake_run.dump, ssl, ("xeus_mini",))
        found[export.parent.name] = list(inputs.encoder_hours)
    assert found == {"ssl_mini": ["xeus_mini"], "other": []}


def test_a_wrong_line_of_hours_is_named(tmp_path):
    path = tmp_path / "hours.txt"
    path.write_text("# of XEUS\neng 120.5\n\ndan many\n")
    with pytest.raises(DataError, match=r"hours.txt:4: must be an ISO 639-3 code and hours"):
        read_hours(path)
    with pytest.raises(DataError, match=r"none.txt: cannot be read; report.hours names it"):
        read_hours(tmp_path / "none.txt")


def test_a_difference_says_which_way_it_goes():
    assert difference(-20.0, -21.25) == "(1.2 better)"
    assert difference(80.0, 81.5) == "(1.5 worse)"
    assert difference(81.5, 81.52) == "(equal)"
    assert difference(812, 956, "{:.0f}") == "(144 worse)"


def test_of_many_languages_the_confused_ones_are_shown():
    table = {f"l{i:02d}": {f"l{i:02d}": 9} for i in range(60)}
    table["l07"] = {"l07": 1, "l08": 5, "zzz": 2, "none": 1}
    assert most_confused(table, [("l07", "l08"), ("l07", "zzz")]) == {
        "l07": {"l07": 1, "l08": 5, "other": 2, "none": 1},
        "l08": {"l08": 9},
    }
    few = {"dan": {"dan": 3, "swe": 1}}
    assert most_confused(few, [("dan", "swe")]) is few


def test_a_scatter_shows_zero_hours_apart_and_names_the_dots():
    spots = [
        Spot(name="dan", series="xeus", x=0.0, y=40.0, is_hollow=True),
        Spot(name="eng", series="xeus", x=1000.0, y=9.0),
        Spot(name="swe", series="xeus", x=10.0, y=20.0),
    ]
    svg = scatter("s", "alt text", spots, ("hours", "CER"), {"xeus": SERIES[0]})
    ElementTree.fromstring(svg)
    texts = re.findall(r">([^<>\n]+)</text>", svg)
    assert {"dan", "eng", "swe", "none", "hours", "CER", "1,000"} <= set(texts)
    assert svg == scatter("s", "alt text", spots, ("hours", "CER"), {"xeus": SERIES[0]})
