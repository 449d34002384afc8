"""Kind hf_parquet: columns are found, languages become ISO 639-3, nothing is lost in silence."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny_corpora import prepared, write_parquet

from espnet2.data.kaldi import check_kaldi
from espnet2.data.parquet import record_bytes
from espnet2.utils.errors import ConfigError, DataError


def corpus(tmp_path, **keys):
    return {"kind": "hf_parquet", "path": str(tmp_path / "my downloads"), **keys}


def test_a_hugging_face_folder_becomes_a_kaldi_directory(tmp_path):
    folder = tmp_path / "my downloads/data"
    write_parquet(folder / "train-00001-of-00002.parquet", [b"2"], id=["b"], iso3=["abk"])
    write_parquet(
        folder / "train-00000-of-00002.parquet", [b"0", b"1"], id=["é z", "a"], iso3=["eng", "fr"]
    )
    facts = {"hours": 6700, "licence": "CC BY-NC-SA 4.0", "source": "espnet/mms_ulab_v2"}
    utterances, dropped, about = prepared("mms", corpus(tmp_path, **facts), tmp_path / "data")
    assert [(u.utt_id, u.language) for u in utterances] == [
        ("mms-a", "fra"), ("mms-b", "abk"), ("mms-é_z", "eng"),
    ]  # fmt: skip
    assert [record_bytes(u.source) for u in utterances] == [b"1", b"2", b"0"]
    assert [u.speaker for u in utterances] == [u.utt_id for u in utterances]
    assert dropped == []
    assert about == {
        "kind": "hf_parquet", "paper_hours": 6700, "licence": "CC BY-NC-SA 4.0",
        "source": "espnet/mms_ulab_v2", "unknown_languages": {},
    }  # fmt: skip


def test_other_splits_stay_out_unless_they_are_named(tmp_path):
    for name in ("data/train-0.parquet", "data/validation-0.parquet", "test/0.parquet"):
        write_parquet(tmp_path / "my downloads" / name, [b"x"], id=[name])
    entry = corpus(tmp_path, language="eng")
    ids = [u.utt_id for u in prepared("c", entry, tmp_path / "data")[0]]
    assert ids == ["c-data_train-0.parquet"]
    named = {**entry, "files": ["test/*.parquet"]}
    assert [u.utt_id for u in prepared("c", named, tmp_path / "data")[0]] == ["c-test_0.parquet"]
    with pytest.raises(
        DataError, match=r"3 \*\.parquet files, none of them to be read; name those"
    ):
        prepared("c", {**entry, "files": ["dev*"]}, tmp_path / "data")


def test_repeated_and_missing_ids_are_made_different(tmp_path):
    write_parquet(tmp_path / "my downloads/x.parquet", [b"0", b"1", b"2"], id=["a", None, "a"])
    utterances, _, _ = prepared("c", corpus(tmp_path, language="eng"), tmp_path / "data")
    ids = [u.utt_id for u in utterances]
    assert [ids[0], ids[1][:5], len(ids[1]), ids[2]] == ["c-a", "c-a--", 13, "c-x-000001"]
    assert [record_bytes(u.source) for u in utterances] == [b"0", b"2", b"1"]
    assert check_kaldi(tmp_path / "data/c") == []


def test_an_empty_id_or_speaker_is_none(tmp_path):
    columns = {"id": ["a", " ", ""], "speaker": ["", " ", "s"]}
    write_parquet(tmp_path / "my downloads/x.parquet", [b"0", b"1", b"2"], **columns)
    utterances, _, _ = prepared("c", corpus(tmp_path, language="eng"), tmp_path / "data")
    assert [(u.utt_id, u.speaker) for u in utterances] == [
        ("c-a", "c-a"), ("c-x-000001", "c-x-000001"), ("c-x-000002", "c-s"),
    ]  # fmt: skip


def test_a_set_without_ids_and_languages_takes_rows_and_the_language_that_is_given(tmp_path):
    write_parquet(tmp_path / "my downloads/x.parquet", [b"0", b"1"])
    utterances, _, _ = prepared("c", corpus(tmp_path, language="und"), tmp_path / "data")
    assert [(u.utt_id, u.language) for u in utterances] == [
        ("c-x-000000", "und"), ("c-x-000001", "und"),
    ]  # fmt: skip


def test_speakers_and_texts_are_kept(tmp_path):
    columns = {"id": ["a", "b"], "client_id": [7, None], "sentence": ["un  deux", "trois"]}
    write_parquet(tmp_path / "my downloads/x.parquet", [b"0", b"1"], **columns)
    utterances, _, _ = prepared("c", corpus(tmp_path, language="fra"), tmp_path / "data")
    assert [(u.speaker, u.text) for u in utterances] == [("c-7", "un deux"), ("c-b", "trois")]
    columns["sentence"] = ["un", "\x00"]  # a data directory has text for all or for none
    write_parquet(tmp_path / "my downloads/x.parquet", [b"0", b"1"], **columns)
    utterances, _, _ = prepared("c", corpus(tmp_path, language="fra"), tmp_path / "data")
    assert [u.text for u in utterances] == [None, None]


def test_rows_without_a_language_and_empty_files_are_dropped_by_name(tmp_path):
    folder = tmp_path / "my downloads"
    languages = pa.array(["eng", None, " "])
    write_parquet(folder / "x.parquet", [b"0", b"1", b"2"], id=["a", "b", "c"], language=languages)
    write_parquet(folder / "y.parquet", [], id=languages[:0], language=languages[:0])
    utterances, dropped, _ = prepared("n", corpus(tmp_path), tmp_path / "data")
    assert [u.utt_id for u in utterances] == ["n-a"]
    assert dropped == [
        ("n-b", "no language", f"{folder}/x.parquet:1: language is null"),
        ("n-c", "no language", f"{folder}/x.parquet:2: language is null"),
        ("n-y", "empty file", f"{folder}/y.parquet: no rows"),
    ]


def test_unknown_languages_are_refused_with_count_and_remedy(tmp_path):
    names = ["English", "Elvish", "Elvish", "Achi, Cubulco"]
    write_parquet(tmp_path / "my downloads/x.parquet", [b"0"] * 4, language=names)
    with pytest.raises(DataError) as caught:
        prepared("jesus", corpus(tmp_path), tmp_path / "data")
    assert str(caught.value) == (
        "jesus: not ISO 639-3: 'Elvish' (2 utterances), 'Achi, Cubulco' (1 utterances); say in "
        "corpora.yaml what they are, languages: {'Elvish': ..., 'Achi, Cubulco': ...}, or "
        "unknown_language: und for all of them, or language: of the whole corpus"
    )
    assert not (tmp_path / "data/jesus").exists()
    entry = corpus(tmp_path, languages={"Elvish": "qel"}, unknown_language="und")
    utterances, _, about = prepared("jesus", entry, tmp_path / "data")
    assert [u.language for u in utterances] == ["eng", "qel", "qel", "und"]
    assert about["unknown_languages"] == {"Achi, Cubulco": 1}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"language_column": "langage"},
         r"no column langage \(language_column\); did you mean 'language'\?"),
        ({"language_column": "xx"},
         r"no column xx \(language_column\); its columns are id, language, audio"),
        ({"language": "eng", "text_column": "words"}, r"no column words \(text_column\)"),
    ],
)  # fmt: skip
def test_a_column_that_is_missing_is_named(tmp_path, keys, message):
    write_parquet(tmp_path / "my downloads/x.parquet", [b"0"], id=["a"], language=["eng"])
    with pytest.raises(DataError, match=message):
        prepared("c", corpus(tmp_path, **keys), tmp_path / "data")


def test_a_set_that_names_no_language_is_refused_with_the_remedy(tmp_path):
    write_parquet(tmp_path / "my downloads/x.parquet", [b"0"], id=["a"])
    with pytest.raises(
        DataError, match="no column of languages among id, audio; give language_col"
    ):
        prepared("c", corpus(tmp_path), tmp_path / "data")


def test_files_that_are_no_audio_sets_are_refused(tmp_path):
    path = tmp_path / "my downloads/x.parquet"
    path.parent.mkdir()
    path.write_text("PAR1")
    with pytest.raises(DataError, match=r"x\.parquet: not a Parquet file"):
        prepared("c", corpus(tmp_path, language="eng"), tmp_path / "data")
    pq.write_table(pa.table({"id": ["a"]}), path)
    with pytest.raises(DataError, match=r"x\.parquet: no audio column"):
        prepared("c", corpus(tmp_path, language="eng"), tmp_path / "data")
    write_parquet(path, [])
    with pytest.raises(DataError, match=r"c: no utterance in .*; dropped: empty file 1$"):
        prepared("c", corpus(tmp_path, language="eng"), tmp_path / "data")


def test_a_wrong_language_code_in_the_yaml_is_refused_before_anything_is_read(tmp_path):
    with pytest.raises(ConfigError, match=r"corpora.c: .*'en' is not ISO 639-3; 'en' is eng"):
        prepared("c", corpus(tmp_path, language="en"), tmp_path / "data")
