"""Corpora that stage 1 cannot prepare: each is named in one line, and the others are prepared."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bad_corpora import flac_bytes, write_parquet

from espnet2.bin import prepare_data
from espnet2.data.tsv import read_dropped
from espnet2.utils.errors import XeusError

PARQUET = "kind: hf_parquet"
# corpus: (its entry in corpora.yaml, the line about it; None: it is prepared); {p} is the folder
CORPORA = {
    "good": (PARQUET, None),
    "empty": (PARQUET, "empty: no utterance in {p}/empty; dropped: empty file 1"),
    "unknown_language": (
        PARQUET,
        "unknown_language: not ISO 639-3: 'zzz9' (1 utterances); say in corpora.yaml what they "
        "are, languages: {'zzz9': ...}, or unknown_language: und for all of them, or "
        "language: of the whole corpus",
    ),
    "text": (
        PARQUET,
        "{p}/text/train.parquet: not a Parquet file: Parquet magic bytes not found in footer. "
        "Either the file is corrupted or this is not a parquet file.",
    ),
    "no_audio": (
        PARQUET,
        "{p}/no_audio/train.parquet: no audio column (a struct of bytes and path); its columns "
        "are id, wav",
    ),
    "wrong_column": (
        f"{PARQUET}, speaker_column: langage",
        "{p}/wrong_column/train.parquet: no column langage (speaker_column); did you mean "
        "'language'?; its columns are id, language, audio",
    ),
}
# what is wrong: (corpora.yaml, the line about it)
REFUSED = {
    "nothing is there": (
        "corpora: {tedx: {kind: folder, path: {p}/no, source: openslr.org/100}}",
        "  tedx: nothing at {p}/no: get it from openslr.org/100",
    ),
    "a licensed corpus that nobody placed": (
        "corpora: {babel: {kind: manual, path: {p}/no, place: the conversations of LDC}}",
        "  babel: nothing at {p}/no: the conversations of LDC",
    ),
    "no word of what to place": (
        "corpora: {babel: {kind: manual}}",
        "{p}/corpora.yaml: corpora.babel: place is required: say what must be put where",
    ),
    "an unknown kind": (
        "corpora: {a: {kind: parquet}}",
        "{p}/corpora.yaml: corpora.a: kind must be one of hf_parquet, lhotse, kaldi, folder, "
        "ml_superb, manual, tuxpaint, fillets, asterisk, espeak, noise, got 'parquet'; did you "
        "mean 'hf_parquet'?",
    ),
    "an unknown key": (
        "corpora: {a: {kind: folder, lang: eng}}",
        "{p}/corpora.yaml: corpora.a: lang is not a known key; did you mean 'language'?",
    ),
    "a language's name": (
        "corpora: {a: {kind: folder, language: english}}",
        "{p}/corpora.yaml: corpora.a: language 'english' is not ISO 639-3; 'english' is eng in "
        "ISO 639-3",
    ),
}


def options(place):
    names = {"corpora": "corpora.yaml", "conf": "conf.yaml", "superb_root": "superb",
             "downloads": "downloads", "data": "data", "log_dir": "log"}  # fmt: skip
    words = [word for key, name in names.items() for word in (f"--{key}", str(place / name))]
    return [*words, "--nj", "2"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a source for every corpus of the first table."""
    place = tmp_path_factory.mktemp("corpora")
    (place / "conf.yaml").touch()
    rows = [("a", "eng", flac_bytes(1.0, 1)), ("b", "fra", None), ("c", None, b"x")]
    for name in ("good", "wrong_column"):
        write_parquet(place / name / "train.parquet", rows)
    write_parquet(place / "empty/train.parquet", [])
    write_parquet(place / "unknown_language/train.parquet", [("a", "zzz9", b"x")])
    for name in ("text", "no_audio"):
        (place / name).mkdir()
    (place / "text/train.parquet").write_text("id,language\n" * 10)
    pq.write_table(pa.table({"id": ["a"], "wav": [b"x"]}), place / "no_audio/train.parquet")
    return place


def test_corpora_that_cannot_be_read_are_named_and_the_others_prepared(place, capfd):
    rows = [f"  {name}: {{path: {place / name}, {row[0]}}}\n" for name, row in CORPORA.items()]
    (place / "corpora.yaml").write_text("corpora:\n" + "".join(rows))
    assert prepare_data.main(options(place)) == 1
    said = capfd.readouterr().err.replace(str(place), "{p}")
    for name, (_, message) in CORPORA.items():
        line = f"data_{name} failed: work: error: {message}\n"
        assert (line in said) == (message is not None), name
    wav = (place / "data/good/wav.scp").read_text().replace(str(place), "{p}")
    assert wav == "good-a {p}/good/train.parquet:0\ngood-b {p}/good/train.parquet:1\n"
    dropped = read_dropped(place / "data/good/dropped.tsv")
    assert [(row.utt_id, row.reason) for row in dropped] == [("good-c", "no language")]
    assert dropped[0].detail == f"{place}/good/train.parquet:2: language is null"
    left = {path.name for path in (place / "data").iterdir() if path.suffix != ".lock"}
    assert left == {".good.done", "good"}


@pytest.mark.parametrize("case", REFUSED)
def test_a_list_of_corpora_that_cannot_be_used_is_refused_before_any_work(place, case):
    text, line = REFUSED[case]
    (place / "corpora.yaml").write_text(text.replace("{p}", str(place)))
    with pytest.raises(XeusError) as caught:
        prepare_data.main(options(place))
    assert line.replace("{p}", str(place)) in str(caught.value).splitlines()
