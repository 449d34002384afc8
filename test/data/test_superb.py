"""ML-SUPERB: reading the tree, what is dropped and why, Kaldi directories out."""

import os

import numpy as np
import pytest
import soundfile

from espnet2.bin import superb_data
from espnet2.data.kaldi import check_kaldi
from espnet2.data.superb import SuperbDataConfig, find_languages, language_rows, transcripts
from espnet2.data.superb_languages import NORMAL_LANGUAGES, RESERVED_LANGUAGES
from espnet2.data.superb_rows import SuperbRow, normalise
from espnet2.data.superb_sets import DROPPED, combine, corpus_kinds, read_table, write_part
from espnet2.data.superb_units import wav_listing
from espnet2.utils.errors import DataError
from espnet2.utils.files import read_json

SPLITS = ("train", "dev", "test")


def make_language(root, corpus, language, lines, seconds=None):
    """A language with the same ``lines`` in every split; ``seconds`` of audio by utterance."""
    folder = root / corpus / language
    (folder / "wav").mkdir(parents=True)
    for split in SPLITS:
        named = [line.replace("ID", f"{corpus}_{language}_{split}") for line in lines]
        (folder / f"transcript_10min_{split}.txt").write_text("".join(f"{x}\n" for x in named))
        for line in named:
            utt_id = line.split()[0] if line.split() else "none"
            length = (seconds or {}).get(utt_id[-3:], 0.1)
            if length:
                wave = np.zeros(int(length * 8000), dtype=np.int16)
                soundfile.write(folder / "wav" / f"{utt_id}.wav", wave, 8000)
    return root


def rows_of(root, language, split, **config):
    corpora = find_languages(root, [])[language]
    return language_rows(root, corpora, language, "10min", split, SuperbDataConfig(**config))


@pytest.mark.parametrize(
    ("raw", "normal"),
    [
        ("Le chat, noir!", "LE CHAT NOIR"),
        ("[noise] hej  du", "HEJ DU"),
        ("[a] b [c]", ""),  # the benchmark's rule reaches from the first [ to the last ]
        ("[a (b) c]", "A B C"),
        ("l'été d’hiver…", "LÉTÉ D’HIVER…"),  # only ASCII punctuation goes
        ("straße", "STRASSE"),
        ("...", ""),
    ],
)
def test_text_is_normalised_as_the_benchmark_does(raw, normal):
    assert normalise(raw) == normal


def test_the_benchmark_has_143_languages():
    assert len(set(RESERVED_LANGUAGES)) == 20
    assert len({*NORMAL_LANGUAGES, *RESERVED_LANGUAGES}) == 143


def test_everything_left_out_has_a_reason(tmp_path):
    lines = ["ID_001 x un", "ID_002 deux", "ID_003 x ...", "ID_004 x quatre", "ID_005 x cinq", ""]
    root = make_language(tmp_path, "fleurs", "fra", lines, {"004": 20.5, "005": 0})
    kept, dropped = rows_of(root, "fra", "train")
    assert [(row.utt_id, row.text, row.corpus) for row in kept] == [
        ("fleurs_fra_train_001", "UN", "fleurs")
    ]
    assert {(d.utt_id[-3:], d.reason) for d in dropped} == {
        ("002", "fewer than 3 fields"),
        ("003", "empty transcript"),
        ("004", "over 20 s"),
        ("005", "wav missing"),
    }


def test_only_a_line_feed_ends_a_line(tmp_path):
    lines = ["ID_001 x un\u2028deux", "ID_002 x trois\u0085quatre"]
    root = make_language(tmp_path, "fleurs", "fra", lines)
    kept, dropped = rows_of(root, "fra", "train")
    assert ([row.text for row in kept], dropped) == (["UN DEUX", "TROIS QUATRE"], [])


def test_audio_that_was_replaced_is_noticed_at_the_same_size(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"one")
    os.utime(tmp_path / "a.wav", ns=(0, 1))
    before = wav_listing(tmp_path)
    os.utime(tmp_path / "a.wav", ns=(0, 2))
    assert wav_listing(tmp_path) != before


def test_long_utterances_stay_in_test_and_go_in_dev(tmp_path):
    seconds = {"001": 20.5, "002": 20.0}
    root = make_language(tmp_path, "fleurs", "fra", ["ID_001 x un", "ID_002 x deux"], seconds)
    kept = {split: len(rows_of(root, "fra", split)[0]) for split in SPLITS}
    assert kept == {"train": 1, "dev": 1, "test": 2}


def test_unreadable_audio_is_dropped(tmp_path):
    root = make_language(tmp_path, "fleurs", "fra", ["ID_001 x un"])
    (root / "fleurs/fra/wav/fleurs_fra_train_001.wav").write_text("no audio")
    kept, dropped = rows_of(root, "fra", "train")
    assert kept == []
    assert dropped[0].reason == "wav unreadable"


def test_a_reserved_language_trains_on_five_utterances_and_is_tested_on_all(tmp_path):
    lines = [f"ID_{number:03d} x hej" for number in range(8)]
    root = make_language(tmp_path, "fleurs", "dan", lines)
    kept, dropped = rows_of(root, "dan", "train")
    assert [row.utt_id[-3:] for row in kept] == ["000", "001", "002", "003", "004"]
    assert [d.reason for d in dropped] == ["reserved language"] * 3
    assert len(rows_of(root, "dan", "test")[0]) == 8


def test_named_few_shot_utterances_are_the_ones_used(tmp_path):
    lines = [f"ID_{number:03d} x hej" for number in range(8)]
    root = make_language(tmp_path, "fleurs", "dan", lines)
    chosen = ["fleurs_dan_train_002", "fleurs_dan_train_007"]
    kept, _ = rows_of(root, "dan", "train", few_shot_utterances={"dan": chosen})
    assert [row.utt_id for row in kept] == chosen


@pytest.mark.parametrize(
    ("corpora", "message"),
    [([], "not an ML-SUPERB tree"), (["mls"], "has no corpus mls")],
)
def test_a_wrong_root_is_refused(tmp_path, corpora, message):
    with pytest.raises(DataError, match=message):
        find_languages(tmp_path, corpora)


def test_a_missing_list_is_refused(tmp_path):
    root = make_language(tmp_path, "fleurs", "fra", ["ID_001 x un"])
    with pytest.raises(DataError, match="transcript_1h_train.txt is missing"):
        transcripts(root, ["fleurs"], "fra", ["1h"])


def test_damaged_corpus_kinds_are_refused(tmp_path):
    (tmp_path / "corpora.json").write_text('["espeak"]')
    with pytest.raises(DataError, match="must hold"):
        corpus_kinds(tmp_path)


def test_an_id_in_two_languages_counts_once(tmp_path):
    for language in ("fra", "spa"):
        row = SuperbRow(
            utt_id="same", wav=f"/{language}.wav", language=language, corpus="fleurs",
            duration_s=1.0, text="UN", recording="same",
        )  # fmt: skip
        for split in SPLITS:
            write_part(tmp_path / language, f"10min.{split}", [row], [])
    tables = {f"10min/{split}": ["fra", "spa"] for split in SPLITS}
    out = tmp_path / "out"
    counts = combine(tmp_path, tables, SuperbDataConfig(), {}, {}, out)
    assert counts == {"10min/train": 1, "10min/dev": 1, "10min/test": 1}
    assert (out / "10min/train/utt2lang").read_text() == "same fra\n"
    rows = read_table(out / "10min/train/dropped.tsv", DROPPED)[1:]
    assert rows == [{"utt_id": "same", "reason": "duplicate id", "detail": "/spa.wav"}]


def test_the_command_writes_valid_kaldi_directories_and_then_has_nothing_to_do(tmp_path, capfd):
    root = make_language(tmp_path / "tree", "fleurs", "fra", ["ID_001 x un", "ID_002 x"])
    make_language(root, "espeak", "dan", ["ID_001 x hej"])
    (root / "corpora.json").write_text('{"espeak": {"kind": "unseen_voice"}}')
    conf = tmp_path / "conf.yaml"
    conf.write_text("finetune: {encoders: {fbank: {kind: fbank}}, training: {max_steps: 1}}")
    out = tmp_path / "a dump"
    command = ["--conf", str(conf), "--root", str(root), "--out", str(out)]
    command += ["--log_dir", str(tmp_path / "log")]
    assert superb_data.main(command) == 0
    for split in SPLITS:
        assert check_kaldi(out / "10min" / split, audio=True) == []
    assert (out / "10min/train/text").read_text() == (
        "espeak_dan_train_001 HEJ\nfleurs_fra_train_001 UN\n"
    )
    assert (out / "10min/dev/utt2corpus").read_text().split()[1::2] == ["espeak", "fleurs"]
    dropped = read_table(out / "10min/test/dropped.tsv", DROPPED)
    assert dropped[1]["reason"] == "fewer than 3 fields"
    assert read_json(out / "languages.json") == {"normal": ["fra"], "few_shot": ["dan"]}
    assert read_json(out / "corpora.json")["espeak"] == {"kind": "unseen_voice"}
    capfd.readouterr()
    assert superb_data.main(command) == 0
    assert capfd.readouterr().err.count("up to date") == 2
    (root / "fleurs/fra/wav/fleurs_fra_test_001.wav").unlink()
    assert superb_data.main(command) == 0
    assert "fleurs_fra_test_001\twav missing" in (out / "10min/test/dropped.tsv").read_text()
