"""Metrics of one split, and the summary over cells."""

import pytest

from espnet2.evaluation.cells import find_cells, parse_cell
from espnet2.evaluation.metrics import score_utterance, split_metrics
from espnet2.evaluation.references import read_references, reference_files
from espnet2.evaluation.summary import choose_lr, summarise
from espnet2.utils.errors import DataError
from espnet2.utils.files import read_json, write_json


def utterance(utt_id, reference, hypothesis, language, *, few=False, unseen=False):
    return score_utterance(
        reference,
        hypothesis,
        utt_id=utt_id,
        language=language,
        corpus="espeak" if unseen else "stamps",
        is_few_shot=few,
        is_unseen_voice=unseen,
    )


@pytest.fixture
def utterances():
    return [
        utterance("a", "[dan] ABCD", "[dan] ABCD", "dan"),
        utterance("b", "[dan] ABCDEFGH", "[swe] ABCD", "dan"),
        utterance("c", "[swe] AB", "AB", "swe", unseen=True),
        utterance("d", "[swe] AB", "[swe] AX", "swe", unseen=True),
        utterance("e", "[tos] ABCDE", "[tos] A", "tos", few=True),
    ]


def test_joint_metrics_of_a_small_split(utterances):
    metrics = split_metrics(utterances, "joint", seed=1)
    assert (metrics["num_utts_normal"], metrics["num_utts_few_shot"]) == (4, 1)
    assert metrics["cer_normal"] == pytest.approx(100 * 5 / 16)
    assert metrics["cer_normal_sclite"] == metrics["cer_normal"]  # no alignment in dispute here
    low, high = metrics["intervals"]["cer_normal_macro"]
    assert low < metrics["cer_normal_macro"] < high
    assert metrics["cer_normal_macro"] == pytest.approx((100 * 4 / 12 + 100 * 1 / 4) / 2, abs=1e-4)
    assert metrics["cer_few_shot"] == 80
    assert metrics["cer_by_language"]["dan"]["edits"] == 4
    assert metrics["cer_by_corpus"]["espeak"]["cer"] == 25


def test_language_identification_counts_normal_languages_only(utterances):
    metrics = split_metrics(utterances, "joint", seed=1)
    assert (metrics["lid"], metrics["lid_macro"]) == (50, 50)
    assert metrics["lid_in_domain"] == 50
    assert metrics["lid_unseen_voice"] == 50
    assert "tos" not in metrics["lid_by_language"]
    assert metrics["lid_confusion"]["lid"] == {
        "dan": {"dan": 1, "swe": 1},
        "swe": {"none": 1, "swe": 1},
    }


def test_a_task_has_only_its_own_metrics(utterances):
    assert "lid" not in split_metrics(utterances, "mono", seed=1)
    assert "lid" not in split_metrics(utterances, "multi", seed=1)
    assert "cer_normal" not in split_metrics(utterances, "lid", seed=1)


def test_a_split_without_few_shot_or_unseen_voices_has_none_there(utterances):
    metrics = split_metrics(utterances[:2], "joint", seed=1)
    assert metrics["cer_few_shot"] is None
    assert metrics["lid_unseen_voice"] is None
    assert metrics["intervals"]["cer_few_shot"] is None


def score(cer, lr, seed, dev):
    metrics = {"cer_normal": cer, "num_utts": 3, "intervals": {"cer_normal": [1.0, 2.0]}}
    identity = {"encoder": "export", "task": "multi", "track": "10min", "lr": lr, "seed": seed}
    return {**identity, "dev": {**metrics, "cer_normal": dev}, "test": metrics}


def test_the_learning_rate_is_chosen_on_dev_and_seeds_are_put_together(tmp_path):
    scores = [
        score(50.0, "1e-4", 1, dev=30.0),
        score(40.0, "1e-4", 2, dev=34.0),
        score(10.0, "4e-4", 1, dev=33.0),  # better on test, and that must not matter
    ]
    folders = []
    for one in scores:
        folders.append(tmp_path / "export" / f"multi_10min_lr{one['lr']}_seed{one['seed']}")
        write_json(folders[-1] / "score.json", one)
    failed = tmp_path / "fbank" / "multi_10min_lr1e-4_seed1"
    summarise(folders, {str(failed): "not trained: nan"}, tmp_path / "scores.json")
    summary = read_json(tmp_path / "scores.json")
    (row,) = summary["rows"]
    assert row["lr"] == "1e-4"
    assert row["test"]["cer_normal"]["mean"] == 45
    assert row["test"]["cer_normal"]["spread"] == 10
    assert row["test"]["cer_normal"]["sd"] == pytest.approx(7.0711, abs=1e-4)
    assert summary["not_scored"] == ["fbank/multi_10min_lr1e-4_seed1"]
    assert summary["failed"] == [
        {
            "cell": "fbank/multi_10min_lr1e-4_seed1", "task": "multi", "track": "10min",
            "reason": "not trained: nan",
        }
    ]  # fmt: skip
    assert [cell["cost"] for cell in summary["cells"]] == [None] * 3  # no metrics.jsonl


def test_a_learning_rate_without_a_dev_score_is_the_last_choice():
    by_lr = {"1e-4": [{"dev": {"lid": None}}], "4e-4": [{"dev": {"lid": 1.0}}]}
    assert choose_lr(by_lr, "lid") == "4e-4"


def test_accuracies_choose_the_larger_dev_score():
    by_lr = {"1e-4": [{"dev": {"lid": 70.0}}], "4e-4": [{"dev": {"lid": 60.0}}]}
    assert choose_lr(by_lr, "lid") == "1e-4"


def write_score(root, task, lr, dev_text, utterances):
    """score.json of a cell whose dev set is one utterance of a few-shot language."""
    folder = root / "x" / f"{task}_full_lr{lr}_seed1"
    dev = [utterance("a", "[tos] ABCD", f"[tos] {dev_text}" if dev_text else "", "tos", few=True)]
    score = {
        "encoder": "x", "task": task, "track": "full", "lr": lr, "seed": 1,
        "dev": split_metrics(dev, task, 1), "test": split_metrics(utterances, task, 1),
    }  # fmt: skip
    write_json(folder / "score.json", score)
    return folder


def test_where_every_language_is_a_few_shot_one_dev_still_chooses(tmp_path, utterances):
    few = [one for one in utterances if one.is_few_shot]
    folders = [
        write_score(tmp_path, task, lr, text, few)
        for task in ("joint", "lid", "multi")
        for lr, text in (("1e-4", ""), ("4e-4", "ABCX"))
    ]
    summarise(folders, {}, tmp_path / "scores.json")
    rows = {row["task"]: row for row in read_json(tmp_path / "scores.json")["rows"]}
    assert [row["lr"] for row in rows.values()] == ["4e-4"] * 3
    assert rows["multi"]["lr_chosen_on"] == rows["joint"]["lr_chosen_on"] == "dev cer"
    assert rows["joint"]["lr_dev"] == {"1e-4": 100.0, "4e-4": 25.0}
    assert rows["lid"]["lr_chosen_on"] == "dev superb2_lid"
    assert rows["lid"]["lr_dev"] == {"1e-4": 0.0, "4e-4": 100.0}


def test_a_learning_rate_of_which_a_seed_failed_is_not_preferred():
    one, both = [{"dev": {"cer_normal": 19.9}}], [{"dev": {"cer_normal": 21.0}}] * 2
    assert choose_lr({"1e-4": both, "4e-4": one}, "cer_normal") == "1e-4"


def test_cells_are_found_by_their_names(tmp_path):
    (tmp_path / "fbank" / "joint_1h_lr4e-5_seed2").mkdir(parents=True)
    (tmp_path / "fbank" / "features").mkdir()
    (cell,) = find_cells(tmp_path)
    assert (cell.encoder, cell.task, cell.track, cell.lr, cell.seed) == (
        "fbank", "joint", "1h", "4e-5", 2,
    )  # fmt: skip
    assert not cell.is_trained


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("mono-eng-mls_10min_lr0.0004_seed1", "mono-eng-mls"),
        ("mono-rus-M-AILABS_1h_lr4e-05_seed2", "mono-rus-M-AILABS"),
        ("mono-xty-mexico-el_10min_lr0.0001_seed1", "mono-xty-mexico-el"),
        ("mono-afr-googlei18n_asr_10min_lr0.0001_seed1", "mono-afr-googlei18n_asr"),
    ],
)
def test_monolingual_cells_keep_the_case_and_marks_of_their_corpus(tmp_path, name, task):
    cell = parse_cell(tmp_path / "fbank" / name)
    assert (cell.task, cell.kind) == (task, "mono")
    assert cell.name == f"fbank/{name}"


def test_a_folder_without_cells_and_an_unknown_task_are_refused(tmp_path):
    with pytest.raises(DataError, match="holds no cell"):
        find_cells(tmp_path)
    with pytest.raises(DataError, match="task 'poem' is not multi, lid, joint or mono-"):
        parse_cell(tmp_path / "x" / "poem_1h_lr1e-4_seed1")


def test_references_know_few_shot_languages_and_unseen_voices(tmp_path):
    folder = tmp_path / "10min" / "dev"
    folder.mkdir(parents=True)
    (folder / "text").write_text("a HEJ DU\nb \n", encoding="utf-8")
    (folder / "utt2lang").write_text("a dan\nb swe\n")
    (folder / "utt2corpus").write_text("a stamps\nb espeak\n")
    write_json(tmp_path / "languages.json", {"normal": ["dan"], "few_shot": ["swe"]})
    write_json(tmp_path / "corpora.json", {"espeak": {"kind": "unseen_voice"}, "stamps": {}})
    references = read_references(tmp_path, "10min", "dev")
    assert references.transcripts == {"a": "HEJ DU", "b": ""}
    assert references.few_shot_languages == {"swe"}
    assert references.unseen_voice_corpora == {"espeak"}
    (folder / "text_phones").write_text("b h e j\n")
    phones = read_references(tmp_path, "10min", "dev", "phones")
    assert phones.transcripts == {"a": "", "b": "h e j"}
    assert folder / "text_phones" in reference_files(tmp_path, "10min", "dev")
    (folder / "utt2lang").write_text("a dan\n")
    with pytest.raises(DataError, match="b stands in only one of text and utt2lang"):
        read_references(tmp_path, "10min", "dev")
