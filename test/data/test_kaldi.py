import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet2.bin.validate_data import main as validate_main
from espnet2.data.kaldi import Utterance, read_kaldi, validate_kaldi, write_kaldi
from espnet2.utils.errors import DataError


def utterance(utt_id, **values):
    values = {"recording": utt_id, "source": f"/a b/{utt_id}.wav", "speaker": "s", **values}
    return Utterance(utt_id=utt_id, language="eng", **values)


def test_what_is_written_is_read_back_in_c_order(tmp_path):
    utterances = [
        utterance("b", text="two  words", duration_s=0.1 + 0.2),
        utterance("é", text="last", speaker="t", duration_s=2.0),
        utterance("B", text="first", duration_s=1.5),
    ]
    write_kaldi(tmp_path, utterances)
    assert [u.utt_id for u in read_kaldi(tmp_path)] == ["B", "b", "é"]
    assert sorted(read_kaldi(tmp_path), key=lambda u: u.utt_id) == sorted(
        utterances, key=lambda u: u.utt_id
    )
    assert (tmp_path / "spk2utt").read_text() == "s B b\nt é\n"
    assert not (tmp_path / "segments").exists()


def test_segments_come_back_to_the_last_digit(tmp_path):
    utterances = [
        utterance("r-1", recording="r", source="/r.wav", start_s=0.1, end_s=1 / 3),
        utterance("r-2", recording="r", source="/r.wav", start_s=1 / 3),
    ]
    write_kaldi(tmp_path, utterances)
    assert read_kaldi(tmp_path) == utterances
    assert (tmp_path / "wav.scp").read_text() == "r /r.wav\n"


names = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=4)


@settings(max_examples=25, deadline=None)
@given(st.lists(names, min_size=1, max_size=6, unique=True))
def test_any_ids_survive_the_round_trip(tmp_path_factory, ids):
    folder = tmp_path_factory.mktemp("kaldi")
    write_kaldi(folder, [utterance(name) for name in ids])
    assert [u.utt_id for u in read_kaldi(folder)] == sorted(ids, key=str.encode)


BAD_LINES = [
    ("wav.scp", "b /b.wav\na /a.wav\n", "wav.scp:2: a is out of order; sort with LC_ALL=C"),
    ("wav.scp", "a /a.wav\na /b.wav\n", "wav.scp:2: a appears twice; first on line 1"),
    ("wav.scp", "a /a.wav\r\n", "wav.scp:1: Windows line ending"),
    ("wav.scp", "a /a.wav\n\nb /b.wav\n", "wav.scp:2: empty line"),
    ("wav.scp", "a /a.wav\nb\n", "wav.scp:2: b has no value"),
    ("wav.scp", "a /a.wav", "wav.scp:1: no newline at the end"),
    ("wav.scp", "a sox x.wav -t wav - |\n", "wav.scp:1: a is a command; only files are read"),
    ("wav.scp", "", "wav.scp: no utterances"),
    ("text", "a hello\nb\n", "text:2: b has no value"),
    ("text", "a hello\n", "text: no line for b of wav.scp"),
    ("text", "a x\nb y\nc z\n", "text:3: c is not in wav.scp"),
    ("utt2lang", "a eng\nb en\n", "utt2lang:2: b: language 'en' is not ISO 639-3"),
    ("utt2dur", "a 1.0\nb long\n", "utt2dur:2: b: 'long' is not a number"),
    ("spk2utt", "s a b\n", "spk2utt:1: b of s disagrees with utt2spk"),
    ("spk2utt", "s a\n", "utt2spk:2: b is missing from spk2utt"),
    ("segments", "x a 0 1\ny c 0 1\n", "segments:2: y: recording c is not in wav.scp"),
    ("segments", "x a 2 1\n", "segments:1: x: needs 0 <= start < end, got 2 1"),
    ("segments", "x a -1 1\n", "segments:1: x: needs 0 <= start < end"),
    ("segments", "x a nan 1\n", "segments:1: x: needs 0 <= start < end"),
    ("segments", "x a 1\n", "segments:1: x: must be 'utterance recording start end'"),
]


@pytest.mark.parametrize(("name", "content", "message"), BAD_LINES)
def test_each_malformed_line_is_named(tmp_path, name, content, message):
    (tmp_path / "wav.scp").write_text("a /a.wav\nb /b.wav\n")
    if name != "segments":
        (tmp_path / "utt2spk").write_text("a s\nb t\n")
    (tmp_path / name).write_bytes(content.encode())
    with pytest.raises(DataError) as error:
        read_kaldi(tmp_path)
    assert message in str(error.value)


def test_every_problem_is_listed_not_only_the_first(tmp_path):
    (tmp_path / "wav.scp").write_bytes(b"b /b.wav\na /a.wav\nc \xff\n")
    problems = validate_kaldi(tmp_path)
    assert [p.split("wav.scp:")[1] for p in problems] == [
        "2: a is out of order; sort with LC_ALL=C sort",
        "3: not UTF-8",
        " b: no such file: /b.wav",
        " a: no such file: /a.wav",
    ]


def test_the_validator_exits_with_one_and_names_missing_audio(tmp_path, capsys):
    soundfile.write(tmp_path / "a.wav", [0.0] * 100, 16000)
    write_kaldi(tmp_path / "ok", [utterance("a", source=str(tmp_path / "a.wav"))])
    write_kaldi(tmp_path / "bad", [utterance("a", source=str(tmp_path / "no.wav"))])
    assert validate_main([str(tmp_path / "ok")]) == 0
    assert validate_main([str(tmp_path / "ok"), str(tmp_path / "bad")]) == 1
    assert "no such file: " + str(tmp_path / "no.wav") in capsys.readouterr().err
    assert validate_main([str(tmp_path / "absent")]) == 1
