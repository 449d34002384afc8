"""The command on small sets with labels and alignments written by hand, and what it refuses."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_labels import write_ctm, write_set
from tiny_tokens import make_set

from espnet2.bin.label_quality import main
from espnet2.data.index import write_index
from espnet2.data.labels import labels_file
from espnet2.train.batches import planned_labels
from espnet2.utils.errors import ConfigError, DataError

ROOT = Path(__file__).resolve().parents[2]
LETTERS = np.array(["a", "b", "c", "d", "sil"])


@pytest.fixture
def made(tmp_path):
    """A set of tones, a CTM of five letters drawn for its frames, and labels that are the letters,
    the same renamed, and noise."""
    index = make_set(tmp_path, lengths=[16000] * 12)
    drawn = np.random.default_rng(0).integers(0, 5, (12, 49))
    noise = np.random.default_rng(1).integers(0, 8, (12, 49))
    ctm = write_ctm(tmp_path / "a.ctm", index, lambda row, n: LETTERS[drawn[row]])
    labels = tmp_path / "train/labels"
    write_set(index, labels / "letters", lambda row, n: drawn[row])
    write_set(index, labels / "renamed", lambda row, n: 7 - drawn[row])
    write_set(index, labels / "noise", lambda row, n: noise[row])
    return tmp_path, index, ctm, labels


def command(made, *names, reference=None):
    tmp_path, index, ctm, labels = made
    sets = [word for name in names for word in ("--labels", str(labels / name))]
    return [
        *("--index", str(index.path.parent), *sets),
        *(reference or ("--ctm", str(ctm))),
        *("--out", str(tmp_path / "out")),
    ]


def test_good_labels_are_told_from_noise_and_renamed_ones_are_the_same(made, capsys):
    assert main(command(made, "letters", "renamed", "noise")) == 0
    out = made[0] / "out"
    assert sorted(path.name for path in out.iterdir()) == [
        "label_quality.json", "label_quality.md", "label_quality.png",
    ]  # fmt: skip
    found = json.loads((out / "label_quality.json").read_text())
    assert found["coverage"]["frames"] == 12 * 49
    assert found["coverage"]["compared_frames"] + found["coverage"]["silent_frames"] == 12 * 49
    good, noise = (found["labels"][name]["reference"] for name in ("letters", "noise"))
    for row in [good["pooled"], good["mean_of_languages"], *good["languages"].values()]:
        assert (row["phone_purity"], row["cluster_purity"]) == (1.0, 1.0)
        assert row["pnmi"] == pytest.approx(1.0)
        assert row["pnmi_shuffled"] < 0.1
    assert noise["pooled"]["pnmi"] == pytest.approx(noise["pooled"]["pnmi_shuffled"], abs=0.03)
    assert sorted(good["languages"]) == ["deu", "eng", "fra"]
    assert found["labels"]["noise"]["counted"]["used_clusters"] == 8
    pairs = {tuple(pair["labels"]): pair for pair in found["agreement"]}
    assert pairs["letters", "renamed"]["matched"] == 1.0
    assert pairs["letters", "noise"]["nmi"] < 0.1
    page = (out / "label_quality.md").read_text()
    assert capsys.readouterr().out == page
    silent = found["coverage"]["silent_frames"]
    assert f"Compared: {588 - silent:,} of 588 frames" in page
    assert f"Left out: {silent:,} frames of silence, 0 that no segment covers, 0 of" in page
    assert "| letters | renamed | 588 | 1.000 | 100.0% |" in page
    assert "| letters | all frames together |" in page
    assert page.count("| deu | ") == 3


def test_the_same_command_gives_the_same_figures(made):
    def run():
        assert main(command(made, "noise")) == 0
        found = json.loads((made[0] / "out/label_quality.json").read_text())
        return {**found, "provenance": None}

    assert run() == run()


def test_what_is_in_one_of_both_only_is_counted_and_named(made):
    tmp_path, index, ctm, _ = made
    first, *rest = sorted(index.utt_ids)
    lines = [line for line in ctm.read_text().splitlines() if not line.startswith(first)]
    ctm.write_text("\n".join([*lines, "zz 1 0 1 a", "zzz 1 0 1 a"]) + "\n")
    assert main(command(made, "noise")) == 0
    page = (tmp_path / "out/label_quality.md").read_text()
    assert "in 11 of 12 utterances" in page
    assert "49 of utterances without an alignment" in page
    assert f"The first utterance that is not aligned is {first}." in page
    assert "2 aligned utterances are not in the index, first zz." in page


def test_transcripts_are_aligned_first(made):
    tmp_path, index, _, _ = made
    text = tmp_path / "text"
    text.write_text("".join(f"{name} ab ca\n" for name in sorted(index.utt_ids)))
    assert main(command(made, "noise", reference=("--text", str(text)))) == 0
    found = json.loads((tmp_path / "out/label_quality.json").read_text())
    assert found["ctm"] == [str(tmp_path / "out/letters.ctm")]
    assert found["coverage"]["aligned_utterances"] == 12
    assert found["labels"]["noise"]["reference"]["pooled"]["tokens"] == 3


def test_silence_is_what_the_user_says_it_is(made):
    assert main([*command(made, "letters"), "--silence", "A", "b"]) == 0
    found = json.loads((made[0] / "out/label_quality.json").read_text())
    assert sorted(found["silence"]) == ["a", "b"]
    assert found["labels"]["letters"]["reference"]["pooled"]["tokens"] == 3


def test_sets_of_one_name_are_told_apart_by_their_paths(made):
    tmp_path, index, _, labels = made
    other = tmp_path / "other/noise"
    write_set(index, other, lambda row, n: [0] * n)
    assert main([*command(made, "noise"), "--labels", str(other)]) == 0
    found = json.loads((tmp_path / "out/label_quality.json").read_text())
    assert sorted(found["labels"]) == sorted([str(labels / "noise"), str(other)])
    with pytest.raises(ConfigError, match="--labels: one folder is given twice"):
        main(command(made, "noise", "noise"))


def change_index(index):
    """The same rows, one of them in another language."""
    rows = index.table.to_pylist()
    rows[0]["language"] = "fra" if rows[0]["language"] != "fra" else "eng"
    write_index(index.path, index.table.from_pylist(rows, index.table.schema))


def cut(index, labels):
    path = labels_file(labels / "noise", index.shards[0])
    path.write_bytes(path.read_bytes()[:-3])


REFUSED = [
    (cut, r"\.u16: cut short: .* run the label stage again"),
    (lambda index, labels: labels_file(labels / "noise", index.shards[0]).unlink(),
     r"\.u16: missing; run the label stage again"),
    (lambda index, labels: change_index(index),
     r"noise: labels of another index than .*index\.arrow; run the label stage again"),
    (lambda index, labels: (labels / "noise/labels.json").unlink(),
     r"noise: no labels\.json, so no complete labels; run the label stage"),
]  # fmt: skip


@pytest.mark.parametrize(("damage", "message"), REFUSED)
def test_labels_that_do_not_fit_are_refused_here_and_by_training(made, damage, message):
    tmp_path, index, _, labels = made
    damage(index, labels)
    with pytest.raises(DataError, match=message) as here:
        main(command(made, "noise"))
    with pytest.raises(DataError, match=message) as training:
        planned_labels(tmp_path / "train", "noise")
    assert "\n" not in str(here.value) + str(training.value)
    assert not (tmp_path / "out").exists()


def test_a_person_reads_one_line(made):
    _, index, _, labels = made
    cut(index, labels)
    line = [sys.executable, "-m", "espnet2.bin.label_quality", *command(made, "noise")]
    result = subprocess.run(line, capture_output=True, text=True, cwd=ROOT, check=False)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("label_quality: error: ")
    assert "a.shards.000.ark.u16: cut short" in result.stderr
