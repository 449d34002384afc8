"""Stage 10 on ML-SUPERB 2.0's Parquet files and on Kaldi directories of one's own."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from espnet2.bin import superb_data
from espnet2.data.audio import load_pcm
from espnet2.data.corpora.superb_tiny_others import write_tiny_kaldi, write_tiny_parquet
from espnet2.data.kaldi import check_kaldi, read_kaldi
from espnet2.data.superb import SuperbDataConfig
from espnet2.data.superb2 import file_rows, parquet_files
from espnet2.data.superb_kaldi import split_folders, split_rows
from espnet2.data.superb_sets import DROPPED, read_table
from espnet2.train.cells import cells, finetune_config
from espnet2.utils.config import load_section
from espnet2.utils.errors import ConfigError, DataError
from espnet2.utils.files import read_json

CONF = "finetune: {{encoders: {{fbank: {{kind: fbank}}}}, training: {{max_steps: 1}}, {more}}}"
ROOT = Path(__file__).parents[2]
AUDIO = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """English, Mandarin and a reserved language of ML-SUPERB 2.0."""
    root = tmp_path_factory.mktemp("parquet") / "ml superb 2"
    write_tiny_parquet(root, ["eng", "cmn", "dan"], seed=1)
    return root


@pytest.fixture(scope="module")
def directories(tmp_path_factory):
    """Two languages and a further test."""
    root = tmp_path_factory.mktemp("kaldi") / "own"
    write_tiny_kaldi(root, ["eng", "dan"], 1, {"train": 4, "dev": 2, "test": 2, "test_phone": 2})
    return root


def stage_10(root, out, data, more="tracks: [full]"):
    conf = out.parent / "conf.yaml"
    conf.write_text(CONF.format(more=f"{more}, data: {{{data}}}"))
    return superb_data.main(
        ["--conf", str(conf), "--root", str(root), "--out", str(out),
         "--log_dir", str(out.parent / "log")]
    )  # fmt: skip


def reasons(rows):
    return {row.utt_id: row.reason for row in rows}


def test_the_release_becomes_train_dev_test_and_dialects(release, tmp_path, capfd):
    out = tmp_path / "dump"
    assert stage_10(release, out, "kind: ml_superb2, dev_share: 0.3") == 0
    sets = {name: read_kaldi(out / "full" / name)
            for name in ("train", "dev", "test", "test_dialect")}  # fmt: skip
    for name in sets:
        assert check_kaldi(out / "full" / name, audio=True) == []
    counts = {name: len(utterances) for name, utterances in sets.items()}
    assert counts["train"] + counts["dev"] == 24 + 24 + 5
    assert 5 <= counts["dev"] <= 25
    assert (counts["test"], counts["test_dialect"]) == (18, 12)
    assert {u.language for u in sets["dev"]} == {"cmn", "eng"}  # all five of dan are trained on
    first = next(u for u in sets["test"] if u.utt_id == "fleurs_eng_dev_000000")
    assert first.source.endswith("data/dev-00000-of-00001.parquet:0")
    assert first.duration_s == pytest.approx(len(load_pcm(first.source).samples) / 16000, abs=1e-4)
    assert first.text == first.text.upper()
    assert "[" not in first.text
    assert "," in first.text  # the challenge normalises when it scores
    assert read_json(out / "languages.json") == {"normal": ["cmn", "eng"], "few_shot": ["dan"]}
    assert (out / "full/test/utt2corpus").read_text().split()[1] == "fleurs"
    capfd.readouterr()
    assert stage_10(release, out, "kind: ml_superb2, dev_share: 0.3") == 0
    assert capfd.readouterr().err.count("up to date") == 2


def test_mandarin_gets_its_phones_beside_its_text(release, tmp_path):
    pytest.importorskip("pypinyin")
    out = tmp_path / "dump"
    assert stage_10(release, out, "kind: ml_superb2, languages: [cmn, eng]") == 0
    phones = dict(
        line.split(" ", 1) for line in (out / "full/test/text_phones").read_text().splitlines()
    )
    assert sorted({utt_id.split("_")[1] for utt_id in phones}) == ["cmn"]
    assert len(phones) == 6
    assert all(
        phone.isascii() or "ü" in phone for said in phones.values() for phone in said.split()
    )
    assert read_json(out / "phones.json")["cmn"].startswith("pypinyin ")
    more = "tracks: [full], tasks: [joint]"  # no monolingual cell, no phones
    assert stage_10(release, out, "kind: ml_superb2, languages: [cmn, eng]", more) == 0
    assert not (out / "full/test/text_phones").exists()
    assert read_json(out / "phones.json") == {}
    dropped = read_table(out / "full/test/dropped.tsv", DROPPED)[1:]
    assert {(row["reason"], row["detail"]) for row in dropped} == {("language not chosen", "dan")}


def table_file(path, **columns):
    """A Parquet file of audio-less rows; ``columns`` replace or remove (None) the usual ones."""
    rows = {"id": ["a_eng_1", "b_eng_2"], "text": ["[eng] one", "[eng] two"],
            "language": ["eng", "eng"], "audio": [{"bytes": b"no audio", "path": "a"}, None],
            **columns}  # fmt: skip
    kept = {name: values for name, values in rows.items() if values is not None}
    if "audio" in kept:
        kept["audio"] = pa.array(kept["audio"], AUDIO)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(kept), path)
    return path


def test_rows_of_the_release_that_cannot_be_used_have_a_reason(tmp_path):
    ids = ["a_eng_1", None, "c_nno_1", "d_xxx_1", "e_eng_1", "f g", "h_eng_1"]
    path = table_file(
        tmp_path / "train.parquet", id=ids,
        text=["[eng] one", "two", "tre", "four", "[eng]", "six", "seven"],
        language=["eng", "eng", "nno", "xxx", "eng", "eng", None], audio=[None] * 7,
    )  # fmt: skip
    rows, dropped = file_rows(path, "train", SuperbDataConfig(kind="ml_superb2"))
    assert rows == {}
    assert reasons(row for _, row in dropped) == {
        "a_eng_1": "wav unreadable", f"{path}:1": "no id", "c_nno_1": "not in the challenge",
        "d_xxx_1": "unknown language", "e_eng_1": "empty transcript", "f g": "bad id",
        "h_eng_1": "no language",
    }  # fmt: skip


def test_languages_are_spelled_as_the_challenge_expects_them(tmp_path, release):
    audio = pq.read_table(release / "data/dev-00000-of-00001.parquet")["audio"].to_pylist()[:4]
    path = table_file(
        tmp_path / "dev_dialect.parquet", audio=audio, text=["a", "b", "c", "d"],
        id=["ms_speech_guj_1", "cv_org_jpn_1", "x_lga_1", "y_nob_1"],
        language=["hin", "org_jpn", "lga", "nob"],
    )  # fmt: skip
    rows, dropped = file_rows(path, "dev_dialect", SuperbDataConfig(kind="ml_superb2"))
    assert dropped == []
    assert [row.language for row in rows["test_dialect"]] == ["guj", "jpn", "lug", "nob"]


def test_a_row_that_stands_in_two_files_counts_once(release, tmp_path):
    for split in ("train", "dev", "dev_dialect"):
        path = release / f"data/{split}-00000-of-00001.parquet"
        for copy in range(2):
            target = tmp_path / "root" / f"{split}-0000{copy}-of-00002.parquet"
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(path.read_bytes())
    assert stage_10(tmp_path / "root", tmp_path / "dump", "kind: ml_superb2") == 0
    assert len(read_kaldi(tmp_path / "dump/full/test")) == 18
    rows = read_table(tmp_path / "dump/full/test/dropped.tsv", DROPPED)[1:]
    assert {row["reason"] for row in rows} == {"duplicate id"}
    assert len(rows) == 18


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"language": None}, r"no column language; its columns are id, text, audio, and ML-SUPERB"),
        ({"text": None, "txt": ["a", "b"]}, r"no column text; did you mean 'txt'\?"),
        ({"audio": None}, r"no audio column"),
    ],
)
def test_wrong_columns_are_named(tmp_path, columns, message):
    path = table_file(tmp_path / "dev.parquet", **columns)
    with pytest.raises(DataError, match=message):
        file_rows(path, "dev", SuperbDataConfig(kind="ml_superb2"))


def test_a_wrong_root_of_the_release_is_refused(tmp_path, release):
    with pytest.raises(DataError, match=r"nowhere is not a folder"):
        parquet_files(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"holds no train-\*\.parquet; ML-SUPERB 2\.0 has train"):
        parquet_files(tmp_path)
    (tmp_path / "train.parquet").write_text("no parquet")
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/0000.parquet").write_text("no parquet")
    with pytest.raises(DataError, match=r"holds no dev_dialect-\*\.parquet"):
        parquet_files(tmp_path)
    with pytest.raises(DataError, match="not a Parquet file"):
        file_rows(tmp_path / "train.parquet", "train", SuperbDataConfig(kind="ml_superb2"))
    found = {path.name: split for path, split in parquet_files(release).items()}
    assert sorted(found.values()) == ["dev", "dev_dialect", "train"]


def test_kaldi_directories_become_sets_of_the_benchmark(directories, tmp_path):
    out = tmp_path / "dump"
    assert stage_10(directories, out, "kind: kaldi, tests: [test_phone]") == 0
    for name in ("train", "dev", "test", "test_phone"):
        assert check_kaldi(out / "full" / name, audio=True) == []
    utterances = read_kaldi(out / "full/test_phone")
    assert [u.utt_id for u in utterances] == [
        f"own_{language}_test_phone_00000{n}" for language in ("dan", "eng") for n in range(2)
    ]
    assert all(set(u.text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ ") for u in utterances)
    assert read_json(out / "languages.json") == {"normal": ["dan", "eng"], "few_shot": []}
    assert read_json(out / "phones.json") == {}
    assert read_json(out / "corpora.json") == {"own": {"kind": "real"}}


def test_segments_corpora_and_reserved_languages_of_directories_are_kept(directories, tmp_path):
    root = tmp_path / "cut"
    for split in ("train", "dev", "test"):
        (root / split).mkdir(parents=True)
        wav = directories / "wav" / f"own_eng_{split}_000000.wav"
        (root / split / "wav.scp").write_text(f"rec_{split} {wav}\n")
        (root / split / "segments").write_text(f"{split}_a rec_{split} 0.1 0.55\n")
        (root / split / "text").write_text(f"{split}_a Half a word.\n")
        (root / split / "utt2lang").write_text(f"{split}_a eng\n")
        (root / split / "utt2corpus").write_text(f"{split}_a radio\n")
    out = tmp_path / "dump"
    assert stage_10(root, out, "kind: kaldi, few_shot_languages: [eng]") == 0
    (utterance,) = read_kaldi(out / "full/dev")
    assert (utterance.recording, utterance.start_s, utterance.end_s) == ("rec_dev", 0.1, 0.55)
    assert (utterance.text, utterance.duration_s) == ("HALF A WORD", 0.45)
    assert check_kaldi(out / "full/dev", audio=True) == []
    assert read_json(out / "languages.json") == {"normal": [], "few_shot": ["eng"]}
    assert (out / "full/dev/utt2corpus").read_text() == "dev_a radio\n"


def test_directories_that_cannot_be_a_benchmark_are_refused(directories, tmp_path):
    config = SuperbDataConfig(kind="kaldi")
    with pytest.raises(
        DataError, match=r"train is missing; kind kaldi needs the directories train"
    ):
        split_folders(tmp_path, config)
    write_tiny_kaldi(tmp_path, ["eng"], 1, {"train": 1, "dev": 1, "test": 1})
    (tmp_path / "dev/utt2lang").unlink()
    with pytest.raises(DataError, match=r"dev/utt2lang is missing; a benchmark needs it"):
        split_folders(tmp_path, config)
    (tmp_path / "test/text").write_text("")
    with pytest.raises(DataError, match=r"test/text: no line for own_eng_test_000000"):
        split_rows(tmp_path / "test", "test", config)
    (tmp_path / "train/utt2corpus").write_text("other radio\n")
    with pytest.raises(DataError, match=r"utt2corpus: no line for own_eng_train_000000"):
        split_rows(tmp_path / "train", "train", config)


def test_an_utterance_that_is_trained_on_and_tested_on_is_refused(directories, tmp_path, capfd):
    root = tmp_path / "leaky"
    write_tiny_kaldi(root, ["eng"], 1, {"train": 2, "dev": 1, "test": 1})
    for name in ("wav.scp", "text", "utt2lang"):
        leaked = (root / "train" / name).read_text().splitlines(keepends=True)[0]
        own = (root / "test" / name).read_text()
        (root / "test" / name).write_text("".join(sorted([own, leaked])))
    assert stage_10(root, tmp_path / "dump", "kind: kaldi") == 1
    assert (
        "1 utterances of test are in train too, first own_eng_train_000000: take them out of one"
        in capfd.readouterr().err
    )
    assert not (tmp_path / "dump/full").exists()


def test_what_directories_hold_but_cannot_be_used_has_a_reason(tmp_path):
    write_tiny_kaldi(tmp_path, ["eng"], 1, {"train": 4})
    text = (tmp_path / "train/text").read_text().splitlines()
    (tmp_path / "train/text").write_text("\n".join([text[0].split()[0] + " ...", *text[1:]]) + "\n")
    (tmp_path / "wav/own_eng_train_000001.wav").unlink()
    (tmp_path / "wav/own_eng_train_000002.wav").write_bytes(b"RIFF")
    config = SuperbDataConfig(kind="kaldi", max_train_s=0.01)
    rows, dropped = split_rows(tmp_path / "train", "train", config)
    assert rows == []
    assert list(reasons(dropped).values()) == [
        "empty transcript", "wav missing", "wav unreadable", "over 0.01 s"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "more", "message"),
    [
        ("kind: kaldi", "tracks: [10min]", r"kind kaldi has one training list: tracks: \[full\]"),
        ("kind: ml_superb", "tracks: [full]", "ML-SUPERB has the tracks 10min and 1h, not full"),
    ],
)
def test_tracks_that_the_data_does_not_have_are_refused(directories, tmp_path, data, more, message):
    with pytest.raises(ConfigError, match=message):
        stage_10(directories, tmp_path / "dump", data, more)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "kaldi", "tests": ["phone"]}, "tests: 'phone' must begin with test_"),
        ({"tests": ["test_phone"]}, "tests means nothing with kind: ml_superb"),
        ({"kind": "kaldi", "corpora": ["mls"]}, "corpora means nothing with kind: kaldi"),
        ({"kind": "kaldi", "dev_share": 0.1}, "dev_share means nothing with kind: kaldi"),
        ({"kind": "ml_superb2", "dev_share": 1.0}, "dev_share must be between 0 and 1, got 1.0"),
    ],
)
def test_settings_of_the_data_that_cannot_be_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        SuperbDataConfig(**values)


@pytest.mark.parametrize(
    ("name", "kind", "further", "steps"),
    [
        ("ml_superb", "ml_superb", (), 150_000),
        ("ml_superb2", "ml_superb2", ("test_dialect",), 100_000),
        ("own_languages", "kaldi", (), 75_000),
    ],
)
def test_the_recipe_of_each_kind_is_whole(name, kind, further, steps):
    path = ROOT / "conf" / f"{name}.yaml"
    config = finetune_config(load_section(path, "finetune"), str(path))
    assert (config.data.kind, config.further_tests) == (kind, further)
    assert max(cell.training["max_steps"] for cell in cells(config)) == steps
