"""The report: the three files of stage 13, made from a run that never happened."""

import json
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import pytest

from espnet2.bin.report import main
from espnet2.evaluation.report.blocks import Table, Value, table_html, table_markdown
from espnet2.evaluation.report.config import ReportConfig
from espnet2.evaluation.report.figures import (
    bars,
    confusion,
    equal_share,
    row_shifts,
)
from espnet2.evaluation.report.inputs import read_inputs, read_stage_times
from espnet2.evaluation.report.rows import gain, kind_of, ordered
from espnet2.evaluation.report.stage import write_report
from espnet2.evaluation.report.svg import SERIES
from espnet2.evaluation.superb_table import superb_tables
from espnet2.utils.errors import DataError

VOID = {"meta", "link", "br", "img"}


class Page(HTMLParser):
    """Open tags, ids, and whatever could ask a server for something."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.links, self.requests = [], [], [], []
        self.alts = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        facts = dict(attributes)
        if tag not in VOID:
            self.open.append(tag)
        self.ids += [facts["id"]] if "id" in facts else []
        if tag == "a":
            self.links.append(facts["href"])
        elif tag != "use":
            self.requests += [facts[k] for k in ("src", "href", "data") if k in facts]
        if tag == "svg":
            self.alts.append(facts["aria-label"])
        assert tag != "script"

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_html_that_asks_for_nothing(report):
    text = (report / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    assert page.requests == ["data:,"]
    assert len(page.ids) == len(set(page.ids))
    assert all(link.startswith("#") and link[1:] in page.ids for link in page.links)
    assert not re.search(r"url\((?!#)", text)
    assert "@import" not in text


def test_every_figure_says_in_words_what_it_shows(report):
    alts = Page((report / "report.html").read_text(encoding="utf-8")).alts
    assert len(alts) >= 15
    assert all(len(alt) > 30 for alt in alts)


def test_every_row_of_the_scores_is_in_both_reports(report, fake_run):
    scores = json.loads((fake_run.exp / "superb" / "scores.json").read_text())
    markdown = (report / "RESULTS.md").read_text(encoding="utf-8")
    page = (report / "report.html").read_text(encoding="utf-8")
    for row in scores["rows"]:
        for metric in ("cer_normal", "lid_unseen_voice"):
            if metric in row["test"]:
                figure = f"{row['test'][metric]['mean']:.1f}"
                assert figure in markdown
                assert figure in page
    assert "xeus_mini/joint_1h_lr0.001_seed1" in markdown


def test_confounded_and_honest_identification_are_told_apart(report):
    markdown = (report / "RESULTS.md").read_text(encoding="utf-8")
    assert "lid_in_domain (speaker-confounded)" in markdown
    assert "lid_unseen_voice" in markdown
    assert "In-domain LID is confounded" in markdown


def test_masked_accuracy_is_given_in_multiples_of_the_majority_class(report):
    markdown = (report / "RESULTS.md").read_text(encoding="utf-8")
    assert re.search(r"masked accuracy / majority class \| 6\.0 x", markdown)
    assert "loss on unmasked frames" in markdown


def test_pre_training_is_given_in_gpu_hours(report):
    markdown = (report / "RESULTS.md").read_text(encoding="utf-8")
    said = "Pre-training: 2,400 steps in 0.60 h on 4 x NVIDIA H100, 2.40 GPU-hours."
    assert said in markdown  # 0.9 s a step


def test_this_runs_score_is_marked_not_comparable_with_the_paper(report):
    superb = json.loads((report / "superb.json").read_text())
    run = superb["run"]["10min"]
    assert run["comparable_with_the_paper"] is False
    assert run["rows"]["fbank"]["superb_s"] == 0
    assert run["rows"]["xeus_mini"]["superb_s"] == 1000
    assert run["rows"]["random"]["superb_s"] < 0
    assert run["rows"]["xeus_mini"]["left_out"] == {"mono_cer": "not run"}
    assert superb["published"]["10min"]["XEUS"]["printed"] == 956
    markdown = (report / "RESULTS.md").read_text(encoding="utf-8")
    assert "not comparable with the paper's" in markdown


def rows_of(run):
    return json.loads((run.exp / "superb" / "scores.json").read_text())["rows"]


def test_on_the_benchmark_itself_scores_stand_beside_the_papers(fake_run):
    superb = superb_tables(rows_of(fake_run), "fbank", is_benchmark=True)
    row = superb["run"]["10min"]["rows"]["xeus_mini"]
    assert row["against_paper_set"]["scored_metrics"][0] == "multi_cer"


def test_without_its_base_row_a_run_has_no_score_and_says_why(fake_run):
    run = superb_tables(rows_of(fake_run), "mfcc", is_benchmark=False)["run"]["10min"]
    assert "no row of the base encoder 'mfcc'" in run["missing"]
    assert "superb_s" not in run["rows"]["fbank"]


def test_only_the_scores_are_required(fake_run, tmp_path):
    nowhere = tmp_path / "nothing"
    write_report("seed: 1\n", fake_run.exp, nowhere, nowhere, tmp_path / "out", "x", ReportConfig())
    markdown = (tmp_path / "out" / "RESULTS.md").read_text(encoding="utf-8")
    assert re.findall(r"(?m)^## (.*)", markdown) == [
        "Results", "Cells without a score", "What pre-training bought", "ML-SUPERB 2.0's metrics",
        "Error rate by language", "Which languages are confused", "Inside the probe",
        "SUPERB_s and the paper's rows", "Cost", "Do it again",
    ]  # fmt: skip
    with pytest.raises(DataError, match=r"scores.json is missing; run the stage"):
        read_inputs(nowhere, nowhere, nowhere)


def test_the_command_writes_the_report_once(fake_run, tmp_path, capfd):
    words = ["--conf", fake_run.conf, "--exp", fake_run.exp, "--dump", fake_run.dump]
    words += ["--ssl", fake_run.ssl, "--out", tmp_path / "out", "--log_dir", tmp_path / "log"]
    assert main([str(word) for word in words]) == 0
    first = (tmp_path / "out" / "report.html").read_bytes()
    assert main([str(word) for word in words]) == 0
    assert "up to date" in capfd.readouterr().err
    assert (tmp_path / "out" / "report.html").read_bytes() == first


def test_the_configuration_shown_holds_the_overrides(fake_run, tmp_path):
    words = ["--conf", fake_run.conf, "--exp", fake_run.exp, "--dump", fake_run.dump]
    words += ["--ssl", fake_run.ssl, "--out", tmp_path / "out", "--log_dir", tmp_path / "log"]
    for setting in ("seed=70", "seed=71"):  # the second is no reason to be "up to date"
        assert main([str(word) for word in [*words, "--set", setting]]) == 0
    assert "seed: 71\nfinetune:" in (tmp_path / "out" / "RESULTS.md").read_text(encoding="utf-8")


def summary(values, interval=None):
    several = len(values) > 1
    spread = max(values) - min(values) if several else None
    mean = sum(values) / len(values)
    return {"mean": mean, "sd": spread, "spread": spread, "values": values, "interval": interval}


def test_a_gain_is_clear_only_beyond_the_noise():
    ours, theirs = summary([50.0, 52.0]), summary([54.0, 55.0])
    assert gain("cer_normal", ours, theirs).points == 3.5
    assert gain("cer_normal", ours, theirs).is_clear
    assert not gain("cer_normal", ours, summary([51.0, 54.0])).is_clear
    one, other = summary([90.0], [88.0, 92.0]), summary([80.0], [77.0, 89.0])
    assert gain("lid", one, other).points == 10
    assert not gain("lid", one, other).is_clear
    assert gain("lid", one, summary([80.0], [77.0, 87.0])).is_clear
    assert gain("lid", other, one).points == -10


def test_encoders_have_a_kind_and_an_order():
    assert [kind_of(name) for name in ("fbank", "random_2", "randomised", "xeus")] == [
        "fbank", "random", "pretrained", "pretrained",
    ]  # fmt: skip
    assert ordered(["random", "fbank", "xeus"]) == ["xeus", "fbank", "random"]


def test_stage_times_keep_the_longest_run_of_a_stage(tmp_path):
    path = tmp_path / "stage_times.tsv"
    path.write_text("stage\tname\tseconds\n2\tformat\t30\n1\tdata\t60.5\n2\tformat\t0.4\n3\tcom")
    assert [(t.stage, t.name, t.seconds) for t in read_stage_times(path)] == [
        (1, "data", 60.5),
        (2, "format", 30.0),
    ]
    assert read_stage_times(tmp_path / "none.tsv") == []


def test_a_table_escapes_what_it_shows():
    cell = Value("1 | 2", "<b>", True)
    table = Table(caption="A & B", columns=["x", "y"], rows=[["r", cell]])
    assert "<strong>1 | 2</strong><small>&lt;b&gt;</small>" in table_html(table)
    assert "A &amp; B" in table_html(table)
    assert r"| r | **1 \| 2** <b> |" in table_markdown(table)


def test_a_figure_is_valid_xml_with_page_colours_and_the_same_bytes_each_time():
    svg = bars("hours", 'alt "quoted" & <odd>', {"dan": 1.5, "swe": 0.25}, "hours", SERIES[0])
    assert svg == bars(
        "hours", 'alt "quoted" & <odd>', {"dan": 1.5, "swe": 0.25}, "hours", SERIES[0]
    )
    root = ElementTree.fromstring(svg)
    assert root.attrib["aria-label"] == 'alt "quoted" & <odd>'
    assert "var(--c1)" in svg
    assert "#a000" not in svg
    assert all(one.attrib.get("id", "hours-").startswith("hours-") for one in root.iter())


def test_a_probe_starts_at_equal_shares_of_the_layers_that_it_mixes():
    assert equal_share([0.1, 0.2, 0.3, 0.4]) == 0.25
    assert equal_share([0.0, 0.2, 0.3, 0.5]) == 1 / 3  # blocks alone: layer 0 is the input


def test_however_many_encoders_there_are_their_dots_stay_in_their_row():
    assert row_shifts(3) == [-0.22, 0.0, 0.22]
    for count in range(1, 30):
        shifts = row_shifts(count)
        assert len(set(shifts)) == count
        assert max(map(abs, shifts)) < 0.5


def test_a_confusion_matrix_keeps_guesses_outside_its_languages():
    svg = confusion("c", "alt", {"dan": {"dan": 3, "none": 1}, "swe": {"deu": 2}}, extra="none")
    labels = re.findall(r">([a-z]{3,4})</text>", svg)
    assert labels[:4] == ["dan", "swe", "deu", "none"]
