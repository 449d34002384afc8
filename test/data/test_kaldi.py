"""Kaldi directories written and read back; iter_kaldi's first error; memory."""

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet2.data.kaldi import Utterance, iter_kaldi, read_kaldi, write_kaldi
from espnet2.data.kaldi.tables import SortedTable
from espnet2.data.pipes import is_pipe
from espnet2.utils.errors import DataError


def utterance(utt_id, **values):
    values = {"recording": utt_id, "source": f"/a b/{utt_id}.wav", "speaker": "s", **values}
    return Utterance(utt_id=utt_id, **{"language": "eng", **values})


def test_what_is_written_is_read_back_in_c_order(tmp_path):
    utterances = [
        utterance("b", text="two  words", duration_s=0.1 + 0.2),
        utterance("é", text="last", speaker="t", duration_s=2.0),
        utterance("B", text="first", duration_s=1.5),
    ]
    write_kaldi(tmp_path, iter(utterances))
    assert [u.utt_id for u in read_kaldi(tmp_path)] == ["B", "b", "é"]
    assert read_kaldi(tmp_path) == sorted(utterances, key=lambda u: u.utt_id.encode())
    assert (tmp_path / "spk2utt").read_text() == "s B b\nt é\n"
    assert not (tmp_path / "segments").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "spk2utt", "text", "utt2dur", "utt2lang", "utt2spk", "wav.scp",
    ]  # fmt: skip


def test_segments_come_back_to_the_last_digit(tmp_path):
    utterances = [
        utterance("r-1", recording="r", source="/r.wav", start_s=0.1, end_s=1 / 3),
        utterance("r-2", recording="r", source="/r.wav", start_s=1 / 3),
    ]
    write_kaldi(tmp_path, utterances)
    assert read_kaldi(tmp_path) == utterances
    assert (tmp_path / "wav.scp").read_text() == "r /r.wav\n"
    write_kaldi(tmp_path, [utterance("r")])
    assert not (tmp_path / "segments").exists()
    assert [u.utt_id for u in read_kaldi(tmp_path)] == ["r"]


def is_one_word(text):
    return len(text.split()) == 1 and text.split() == [text] and text not in (".", "..")


printed = st.characters(
    exclude_categories=["Cc", "Cs", "Zl", "Zp", "Zs"], exclude_characters="/\ufeff"
)
ids = st.text(printed, min_size=1, max_size=5).filter(is_one_word)
values = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=12)
values = values.filter(lambda text: text == text.strip(" "))
sources = values.filter(lambda text: not is_pipe(text))
seconds = st.floats(0.001, 1e5)


@st.composite
def directories(draw):
    """Utterances as a directory can hold them: one source a recording, spans all different."""
    names = draw(st.lists(ids, min_size=1, max_size=6, unique=True))
    recordings = draw(st.lists(ids, min_size=1, max_size=3, unique=True))
    has_text, has_lengths, is_cut = draw(st.tuples(*[st.booleans()] * 3))
    source_of = {name: draw(sources) for name in [*recordings, *names]}
    found = []
    for number, name in enumerate(names):
        recording = draw(st.sampled_from(recordings)) if is_cut else name
        start = number + draw(st.floats(0, 0.9)) if is_cut else 0.0
        end = draw(st.one_of(st.none(), st.just(start + draw(seconds)))) if is_cut else None
        length = draw(seconds) if end is None else end - start
        found.append(
            Utterance(
                utt_id=name, recording=recording, source=source_of[recording], start_s=start,
                end_s=end, language=draw(st.sampled_from(["eng", "und", "qaa", "cmn"])),
                speaker=draw(ids), text=draw(values) if has_text else None,
                duration_s=length if has_lengths else None,
            )
        )  # fmt: skip
    return found


@settings(max_examples=60, deadline=None)
@given(directories())
def test_any_directory_survives_the_round_trip(tmp_path_factory, utterances):
    folder = tmp_path_factory.mktemp("kaldi")
    write_kaldi(folder, utterances)
    in_c_order = sorted(utterances, key=lambda u: u.utt_id.encode())
    assert read_kaldi(folder) == in_c_order
    again = tmp_path_factory.mktemp("again")
    write_kaldi(again, iter_kaldi(folder))
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == {
        p.name: p.read_bytes() for p in again.iterdir()
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"utt_id": "a b"}, r"the id 'a b' holds U\+0020; change it"),
        ({"utt_id": "a/b"}, "the id 'a/b' holds a slash, so it cannot name a file; change it"),
        ({"utt_id": ""}, "the id '' is empty; change it"),
        ({"utt_id": "a\u3000b"}, r"holds U\+3000"),
        ({"text": "two\nlines"}, r"text: a: 'two\\nlines' cannot be written: it is empty, has"),
        ({"text": ""}, r"text: a: '' cannot be written"),
        ({"source": "/x.wav "}, r"wav.scp: a: '/x.wav ' cannot be written"),
        ({"language": "en"}, "a: language 'en' is not ISO 639-3; 'en' is eng in ISO 639-3"),
        ({"speaker": "s t"}, "a: speaker 's t' is no single word"),
        ({"duration_s": 0.0}, "a: duration must be above 0 s, got 0"),
    ],
)
def test_what_would_not_come_back_is_not_written(tmp_path, changes, message):
    write_kaldi(tmp_path, [utterance("old")])
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    values = {"utt_id": "a", "recording": changes.get("utt_id", "a"), **changes}
    with pytest.raises(DataError, match=message):
        write_kaldi(tmp_path, [utterance(**values)])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_repeats_and_half_a_column_are_refused(tmp_path):
    with pytest.raises(DataError, match="b is given twice; ids must differ"):
        write_kaldi(tmp_path, [utterance("b"), utterance("c"), utterance("b")])
    two_sources = [
        utterance("r-1", recording="r", source="/1.wav"),
        utterance("r-2", recording="r", source="/2.wav"),
    ]
    with pytest.raises(DataError, match="wav.scp: r is given twice"):
        write_kaldi(tmp_path, two_sources)
    with pytest.raises(DataError, match="1 of 2 utterances have text; give all of them text"):
        write_kaldi(tmp_path, [utterance("a", text="hello"), utterance("b")])
    write_kaldi(tmp_path, [utterance("a", duration_s=1.0), utterance("b")])
    assert not (tmp_path / "utt2dur").exists()  # it can be measured


def test_the_first_wrong_line_stops_the_stream(tmp_path):
    (tmp_path / "wav.scp").write_text("a /a.wav\nb /b.wav\nd /d.wav\nc /c.wav\n")
    stream = iter_kaldi(tmp_path)
    assert [next(stream).utt_id, next(stream).utt_id, next(stream).utt_id] == ["a", "b", "d"]
    with pytest.raises(DataError, match=r"wav.scp:4: c is out of order; sort with LC_ALL=C sort$"):
        next(stream)
    (tmp_path / "wav.scp").write_text("")
    with pytest.raises(DataError, match="wav.scp: no utterances$"):
        list(iter_kaldi(tmp_path))
    with pytest.raises(DataError, match="absent/wav.scp: no such file$"):
        next(iter_kaldi(tmp_path / "absent"))


def test_commands_are_given_out_only_where_they_are_allowed(tmp_path):
    (tmp_path / "wav.scp").write_text("a sox '/x y.wav' -t wav - |\n")
    with pytest.raises(DataError, match=r"wav.scp:1: a is a command; .* --allow_pipes"):
        next(iter_kaldi(tmp_path))
    assert next(iter_kaldi(tmp_path, allow_pipes=True)).source == "sox '/x y.wav' -t wav - |"
    (tmp_path / "wav.scp").write_text("a cat x > y |\n")
    with pytest.raises(DataError, match=r"wav.scp:1: a: .*redirections are not run"):
        next(iter_kaldi(tmp_path, allow_pipes=True))


def test_a_sorted_file_is_searched_without_being_held(tmp_path):
    path = tmp_path / "wav.scp"
    keys = sorted({f"{i * 7919 % 10007:x}é" for i in range(3000)})
    path.write_text("".join(f"{key} /v/{key} x\n" for key in keys))
    table = SortedTable(path)
    for key in [*keys[::37], *reversed(keys[::41]), *keys[:50]]:
        assert table.value(key) == f"/v/{key} x"
    for key in ("", "0", "zzz", keys[5] + "x", keys[0][:-1]):
        assert table.value(key) is None
    table.close()


READ = """
import sys
from espnet2.data.kaldi import check_kaldi, iter_kaldi, write_kaldi, Utterance
from espnet2.data.languages import is_language
is_language("eng")
def many(count):
    for i in range(count):
        yield Utterance(utt_id=f"r{i // 9:07d}-{i:08d}", recording=f"r{i // 9:07d}",
                        source=f"/x/{i // 9}.wav", start_s=float(i % 9), end_s=i % 9 + 0.5,
                        speaker=f"s{i % 100:03d}", text="some words", duration_s=0.5)
out, count = sys.argv[1], int(sys.argv[2])
write_kaldi(out, many(count))
assert check_kaldi(out) == []
assert sum(1 for _ in iter_kaldi(out)) == count
print(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
"""


def test_memory_does_not_grow_with_the_directory(tmp_path):
    peaks = []
    for count in (8_000, 48_000):
        command = [sys.executable, "-c", READ, str(tmp_path / str(count)), str(count)]
        peaks.append(int(subprocess.check_output(command)))
    assert peaks[1] - peaks[0] < 15_000  # kB; as Utterance objects the rows would be 30 MB
