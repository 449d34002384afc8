"""Stage 10 on ML-SUPERB 2.0's Parquet files, and what the settings of the data may be."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from stage_10 import reasons, stage_10

from espnet2.data.audio import load_pcm
from espnet2.data.corpora.superb_tiny_others import write_tiny_parquet
from espnet2.data.kaldi import check_kaldi, read_kaldi
from espnet2.data.superb import SuperbDataConfig
from espnet2.data.superb2 import file_rows, parquet_files
from espnet2.data.superb_sets import DROPPED, read_table
from espnet2.utils.errors import ConfigError, DataError
from espnet2.utils.files import read_json

AUDIO = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """English, Mandarin and a reserved language of ML-SUPERB 2.0."""
    root = tmp_path_factory.mktemp("parquet") / "ml superb 2"
    write_tiny_parquet(root, ["eng", "cmn", "dan"], seed=1)
    return root


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


def test_files_with_a_hash_in_their_names_are_found_too(tmp_path):
    for split in ("train", "dev", "dev_dialect"):
        (tmp_path / f"{split}-00000-of-00002-0a1b2c3d4e5f6789.parquet").touch()
    assert list(parquet_files(tmp_path).values()) == ["dev", "dev_dialect", "train"]


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


@pytest.mark.parametrize(
    ("data", "more", "message"),
    [
        ("kind: kaldi", "tracks: [10min]", r"kind kaldi has one training list: tracks: \[full\]"),
        ("kind: ml_superb", "tracks: [full]", "ML-SUPERB has the tracks 10min and 1h, not full"),
    ],
)
def test_tracks_that_the_data_does_not_have_are_refused(release, tmp_path, data, more, message):
    with pytest.raises(ConfigError, match=message):
        stage_10(release, tmp_path / "dump", data, more)
