"""What cells learn: characters, pieces, phones, languages on the way; and what they leave out."""

import dataclasses
import json
import shutil

import pytest
from test_finetune import tiny_asr, tiny_cell

from espnet2.asr.config import ProbeConfig
from espnet2.asr.vocabulary import Vocabulary
from espnet2.data.tsv import read_dropped
from espnet2.train import finetune
from espnet2.train.metrics import read_metrics
from espnet2.utils.config import load_yaml
from espnet2.utils.errors import DataError

PROBE = ProbeConfig(
    conv_channels=4, output_size=16, attention_heads=2, linear_units=16, num_blocks=2,
    dropout_rate=0.0,
)  # fmt: skip


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Tones of three languages; Danish ones have phones."""
    data = tiny_asr.make_cell_data(tmp_path_factory.mktemp("units"))
    for split in ("train", "dev", "test"):
        folder = data.data_dir(split)
        texts = [line.split(" ", 1) for line in (folder / "text").read_text().splitlines()]
        phones = [f"{u} {' '.join(t.lower().split())}" for u, t in texts if "_dan_" in u]
        (folder / "text_phones").write_text("\n".join([*phones, ""]))
    (data.data / "phones.json").write_text(json.dumps({"dan": "a library 1.0"}))
    return data


def train(source, out, task, **changes):
    cell = dataclasses.replace(tiny_cell(task=task), **{"probe": PROBE, **changes})
    finetune.run_cell(out, source.data, source.features, None, cell)
    return load_yaml(out / "config.yaml"), Vocabulary.load(out / "vocabulary.txt")


def test_a_cell_of_a_language_with_phones_learns_them(source, tmp_path):
    settings, vocabulary = train(source, tmp_path, "mono-dan-real")
    assert settings["units"] == "phones"
    assert (vocabulary.kind, vocabulary.tokens[2:]) == ("phone", ["en", "kat", "sort"])
    assert settings["inputs"].keys() >= {"train/text_phones", "dev/text_phones"}


def test_a_cell_of_a_language_without_phones_learns_its_characters(source, tmp_path):
    settings, vocabulary = train(source, tmp_path, "mono-fra-real")
    assert settings["units"] == "characters"
    assert (vocabulary.kind, len(vocabulary)) == ("char", 3 + len(set("LECHATNOIR")))


def test_a_cell_of_all_languages_learns_characters_though_some_have_phones(source, tmp_path):
    settings, vocabulary = train(source, tmp_path, "multi", units="bpe", bpe_size=30)
    assert settings["units"] == "characters"
    assert vocabulary.kind == "bpe"
    assert any(len(token) > 2 and token[0].isalpha() for token in vocabulary.tokens)


def test_phones_that_were_promised_and_are_not_there_are_missed(source, tmp_path):
    data = tmp_path / "dump"
    shutil.copytree(source.data, data)
    (data / "10min/dev/text_phones").unlink()
    cell = tiny_cell(task="mono-dan-real")
    with pytest.raises(DataError, match="dev/text_phones is missing; run stage 10 again"):
        finetune.run_cell(tmp_path / "cell", data, source.features, None, cell)


def test_losses_of_an_earlier_block_are_learned_in_a_cell(source, tmp_path):
    probe = dataclasses.replace(
        PROBE, interctc_layers=[1], interctc_weight=0.3, lid_weight=0.2, self_conditioned=True
    )
    training = {**tiny_cell().training, "max_steps": 24, "valid_interval_steps": 12}
    _, vocabulary = train(
        source, tmp_path, "multi", probe=probe, training=training, learning_rate=0.01
    )
    assert vocabulary.tokens[-3:] == ["[dan]", "[fra]", "[spa]"]
    losses = [row["loss"] for row in read_metrics(tmp_path / "metrics.jsonl")
              if row["split"] == "valid"]  # fmt: skip
    assert losses[-1] < losses[0]


def test_what_cannot_be_learned_is_listed_with_its_split_and_reason(source, tmp_path):
    data = tmp_path / "dump"
    shutil.copytree(source.data, data)
    table = data / "10min/dev/text"
    lines = table.read_text().splitlines()
    lines[0] = f"{lines[0].split()[0]} {'AB' * 60}"
    lines[1] = f"{lines[1].split()[0]} \u0416 KAT"
    table.write_text("\n".join([*lines, ""]))
    train(dataclasses.replace(source, data=data), tmp_path / "cell", "joint")
    first, second = read_dropped(tmp_path / "cell/dropped.tsv")
    assert (first.utt_id, first.reason) == (lines[0].split()[0], "more tokens than frames")
    assert first.detail.startswith("dev: needs 121 frames of 40 ms, has ")
    assert second.reason == "unseen tokens"
    assert second.detail == "dev: kept; \u0416 not in training: <unk>"


def test_where_nothing_is_left_to_learn_the_list_that_says_why_is_there(source, tmp_path):
    data = tmp_path / "dump"
    shutil.copytree(source.data, data)
    table = data / "10min/dev/text"
    ids = [line.split()[0] for line in table.read_text().splitlines()]
    table.write_text("".join(f"{utt_id} {'AB' * 60}\n" for utt_id in ids))
    out = tmp_path / "cell"
    with pytest.raises(DataError, match=r"10min/dev: no utterance is left, see .*cell/dropped.tsv"):
        finetune.run_cell(out, data, source.features, None, tiny_cell())
    rows = read_dropped(out / "dropped.tsv")
    assert [row.utt_id for row in rows] == ids
    assert {row.reason for row in rows} == {"more tokens than frames"}
