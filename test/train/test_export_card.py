"""The model card: every number is the run's, and what is not known is not claimed."""

import pytest
import yaml
from tiny_dump import make_dump
from tiny_run import make_run

from espnet2.train.export.card import is_hub_id, model_card
from espnet2.train.export.config import ExportConfig
from espnet2.train.export.facts import read_facts
from espnet2.train.export.hub_languages import hub_codes
from espnet2.utils.files import write_json


@pytest.fixture(scope="module")
def dump(tmp_path_factory):
    return make_dump(tmp_path_factory.mktemp("dump"))


def card(exp, dump, data=None, **settings):
    """(front matter, text) of a run's card."""
    facts = read_facts(exp, dump, data, ExportConfig(**settings), [4, 6], 12345, "the command")
    empty, matter, text = model_card(facts).split("---\n", 2)
    assert empty == ""
    return yaml.safe_load(matter), text


def test_the_card_tells_what_the_run_knows(dump, tmp_path):
    exp = make_run(tmp_path / "ssl_tiny", dump, steps=(), scheduler="warmuplr", ema_decay=0.999,
                   phases=[{"until": 3}, {"noise_prob": 0.1, "rir_prob": 0.25}])  # fmt: skip
    about = {"licence": "CC BY 4.0", "source": "owner/toy"}
    write_json(tmp_path / "data/toy/corpus.json", about)
    matter, text = card(exp, dump, tmp_path / "data", licence="cc-by-nc-sa-4.0")
    assert matter == {
        "datasets": ["owner/toy"],
        "language": ["en"],
        "library_name": "espnet",
        "license": "cc-by-nc-sa-4.0",
        "pipeline_tag": "feature-extraction",
        "tags": ["e-branchformer", "espnet", "self-supervised-learning", "speech", "xeus"],
    }
    for line in (
        "# ssl_tiny",
        "| toy | 0.0016 | 12 | CC BY 4.0 | owner/toy |",
        "| eng | English | 0.0016 | 12 |",
        "- steps: 6 of 6, 2.0 passes over the data",
        "- exported: mean of the weights after the steps 4 and 6",
        "- weights: running mean over the steps, decay 0.999",
        "- audio in a step: at most 1.9 s",
        "- pseudo-labels: 4 clusters of layer 0 of t",
        "- optimiser: adam, peak learning rate 0.003, schedule warmuplr",
        "- augmentation: noise or another voice in 10% and reverberation of 25% of the "
        "utterances at most",
        "- arithmetic: float32",
        "- hardware: 8 x NVIDIA H100; A Processor, 2 cores, 8 GiB; 2 processes",
        "- finished: 2026-01-02 03:04:05 UTC",
        "- software: commit 0123456789ab, Python 3.11.7, torch 2.11.0",
        "| accuracy on masked frames | 0.5000 |",
        "| accuracy of always the most frequent label | 0.2500 |",
        "the command",
        "  journal = {arXiv preprint arXiv:2407.00837},",
        'model = AutoModel.from_pretrained("ssl_tiny")',
    ):
        assert line in text.splitlines()
    assert (
        "A speech encoder of 12,345 parameters, the heads of its pre-training included: 1 E-Branchf"
        in text
    )
    assert "0.0016 hours, 12 utterances, 1 corpus, 1 language." in text
    assert "those of the weights themselves are cc-by-nc-sa-4.0." in text
    assert "not stated" not in text


def test_what_is_not_known_is_not_claimed(dump, tmp_path):
    exp = make_run(tmp_path / "exp", dump, steps=(), labels={}, plan="another")
    for name in ("summary.json", "provenance.json"):
        (exp / name).unlink()
    matter, text = card(exp, dump)
    assert matter["license"] == "unknown"
    assert "language" not in matter
    assert "datasets" not in matter
    for claim in ("utterances", "passes", "audio in a step", "pseudo-labels:", "accuracy on"):
        assert claim not in text
    for line in (
        "Not stated: the index that it was trained on was not there at the export.",
        "Not stated: the run has no row of validation.",
        "- hardware: not stated",
    ):
        assert line in text.splitlines()
    assert "those of the weights themselves are not stated." in text


def test_of_a_dump_that_was_made_anew_since_the_training_nothing_is_told(dump, tmp_path):
    exp = make_run(tmp_path / "exp", dump, steps=())
    facts = read_facts(exp, tmp_path, None, ExportConfig(), [6], 1, "")
    assert (facts.hours, facts.steps_a_pass, facts.seconds_a_step) == (None, None, None)
    other = make_run(tmp_path / "other", dump, steps=(), labels={"index_sha256": "x"}, plan="y")
    facts = read_facts(other, dump, None, ExportConfig(), [6], 1, "")
    assert (facts.hours, facts.steps_a_pass, facts.seconds_a_step) == (None, None, None)


def test_an_unfinished_run_says_so(dump, tmp_path):
    exp = make_run(tmp_path / "exp", dump, steps=())
    write_json(exp / "summary.json", {"step": 5, "is_complete": False})
    _, text = card(exp, dump)
    assert "- The run had not reached its last step." in text.splitlines()


def test_a_run_that_was_prolonged_since_its_summary_says_how_far_it_is(dump, tmp_path):
    exp = make_run(tmp_path / "exp", dump, steps=(), max_steps=12)
    write_json(exp / "summary.json", {"step": 4, "is_complete": True})
    rows = card(exp, dump)[1].splitlines()
    assert "- steps: 6 of 12, 2.0 passes over the data" in rows
    assert "- The run had not reached its last step." in rows


def test_a_rate_that_only_scales_the_schedule_is_not_called_its_peak(dump, tmp_path):
    exp = make_run(tmp_path / "exp", dump, steps=(), scheduler="noamlr")
    rows = card(exp, dump)[1].splitlines()
    assert "- optimiser: adam, learning rate factor 0.003, schedule noamlr" in rows


def test_languages_are_those_that_hugging_face_knows():
    codes = ["eng", "srp", "grc", "und", "mul", "mis", "zxx", "qaa", "xxx", "eng"]
    assert hub_codes(codes) == ["en", "grc", "sr"]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("espnet/yodas", True), ("https://www.openslr.org/94", False), ("openslr.org/94", False),
        ("", False), ("two words/here", False),
    ],
)  # fmt: skip
def test_only_names_of_data_sets_are_linked(source, expected):
    assert is_hub_id(source) is expected
