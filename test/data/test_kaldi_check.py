"""Every rule of a Kaldi directory, each with file and line, and the command that checks them."""

import shlex
import sys

import pytest
import soundfile

from espnet2.bin.validate_data import main as validate_main
from espnet2.data.kaldi import Utterance, check_kaldi, read_kaldi, tables, write_kaldi
from espnet2.data.kaldi.check import examine
from espnet2.utils.errors import DataError


def utterance(utt_id, **values):
    values = {"recording": utt_id, "source": f"/a b/{utt_id}.wav", "speaker": "s", **values}
    return Utterance(utt_id=utt_id, **{"language": "eng", **values})


# What one file holds, beside "a /a.wav, b /b.wav" and "a s, b t"; and what is said of it.
BAD_FILES = [
    ("wav.scp", "b /b.wav\na /a.wav\n", "wav.scp:2: a is out of order; sort with LC_ALL=C sort"),
    ("wav.scp", "a /a.wav\na /b.wav\n", "wav.scp:2: a appears twice; first on line 1"),
    ("wav.scp", "b /b.wav\na /a.wav\nb /c.wav\n", "wav.scp:3: b appears twice; first on line 1"),
    ("wav.scp", "a /a.wav\r\n", "wav.scp:1: Windows line ending (CRLF); convert with dos2unix"),
    ("wav.scp", b"a /a.wav\nb \xff.wav\n", "wav.scp:2: not UTF-8; convert with iconv -t UTF-8"),
    ("wav.scp", "\ufeffa /a.wav\n", "wav.scp:1: byte order mark at the start of the file"),
    ("wav.scp", "a /a.wav\n\nb /b.wav\n", "wav.scp:2: empty line"),
    ("wav.scp", "a /a.wav\n   \nb /b.wav\n", "wav.scp:2: empty line"),
    ("wav.scp", "a\t/a.wav\n", "wav.scp:1: a tab; fields are separated by one space"),
    ("wav.scp", "a  /a.wav\n", "wav.scp:1: a: more than one space after the id"),
    ("wav.scp", "a /a.wav \n", "wav.scp:1: a: space at the end of the line"),
    ("wav.scp", " a /a.wav\n", "wav.scp:1: begins with a space"),
    ("wav.scp", "a /a.wav\nb\n", "wav.scp:2: b has no value"),
    ("wav.scp", "a /a.wav", "wav.scp:1: no newline at the end of the file"),
    ("wav.scp", "a /a\x07.wav\n", "wav.scp:1: control character U+0007"),
    ("wav.scp", "a\0b /a.wav\n", "wav.scp:1: control character U+0000"),
    ("wav.scp", "a/b /a.wav\n", "wav.scp:1: the id a/b holds a slash, so it cannot name a file"),
    ("wav.scp", ".. /a.wav\n", "wav.scp:1: the id .. is no name for a file"),
    ("wav.scp", "é" * 101 + " /a.wav\n", "is longer than 200 bytes, too long for a file name"),
    ("wav.scp", "a\u00a0b /a.wav\n", "wav.scp:1: a\u00a0b: the id holds U+00A0, which many"),
    (
        "wav.scp",
        "a sox x.wav -t wav - |\n",
        "wav.scp:1: a is a command; only files are read unless",
    ),
    ("wav.scp", "", "wav.scp: no utterances"),
    ("text", "a hello\nb\n", "text:2: b has no value"),
    ("text", "a hello\nb   \n", "text:2: b has only spaces for a value"),
    ("text", "a hello\n", "text: no line for b of wav.scp:2"),
    ("text", "a x\nb y\nc z\n", "text:3: c is not in wav.scp"),
    ("utt2spk", "a s\n", "utt2spk: no line for b of wav.scp:2"),
    ("utt2spk", "a s\nb two words\n", "utt2spk:2: b: speaker 'two words' is not one word"),
    ("utt2lang", "a eng\nb en\n", "utt2lang:2: b: language 'en' is not ISO 639-3; 'en' is eng in"),
    ("utt2lang", "a eng\nb zz\n", "utt2lang:2: b: language 'zz' is not ISO 639-3; use a code of"),
    ("utt2dur", "a 1.0\nb long\n", "utt2dur:2: b: 'long' is not a number"),
    ("utt2dur", "a 1.0\nb 0\n", "utt2dur:2: b: must be above 0, got 0"),
    ("utt2dur", "a 1.0\nb inf\n", "utt2dur:2: b: must be above 0, got inf"),
    ("utt2num_samples", "a 16000\nb 1.5\n", "utt2num_samples:2: b: '1.5' is not a number of sam"),
    ("utt2num_samples", "a 0\nb 1\n", "utt2num_samples:1: a: '0' is not a number of samples"),
    ("reco2dur", "a 1.0\n", "reco2dur: no line for b of wav.scp:2"),
    ("reco2dur", "a -1.0\nb 1\n", "reco2dur:1: a: must be above 0, got -1"),
    ("spk2utt", "s a b\n", "spk2utt:1: b of s disagrees with utt2spk:2, where it is of t"),
    ("spk2utt", "s a\n", "utt2spk:2: b is not in spk2utt"),
    ("spk2utt", "s a\nt b c\n", "utt2spk: no line for c of spk2utt:2"),
    ("spk2utt", "s a\nt b b\n", "spk2utt:2: b appears twice; first on line 2"),
    ("spk2utt", "t b\ns a\n", "spk2utt:2: s is out of order; sort with LC_ALL=C sort"),
    ("spk2utt", "s a\ns b\n", "spk2utt:2: s appears twice; first on line 1"),
    ("spk2utt", "s a\r\nt b\r\n", "spk2utt:2: Windows line ending (CRLF); convert with dos2unix"),
    ("spk2utt", "s a\nt\tb\n", "spk2utt:2: a tab; fields are separated by one space"),
    ("spk2utt", "s a\n\nt b\n", "spk2utt:2: empty line"),
    ("spk2utt", "s a\nt b", "spk2utt:2: no newline at the end of the file"),
    ("spk2utt", "s a\nt b\nu\n", "spk2utt:3: u has no value"),
    ("segments", "x a 0 1\ny c 0 1\n", "segments:2: y: recording c is not in wav.scp"),
    ("segments", "x a 2 1\n", "segments:1: x: needs 0 <= start < end in seconds, got 2 1"),
    ("segments", "x a 1 1\n", "segments:1: x: needs 0 <= start < end in seconds, got 1 1"),
    ("segments", "x a -1 1\n", "segments:1: x: needs 0 <= start < end"),
    ("segments", "x a nan 1\n", "segments:1: x: needs 0 <= start < end"),
    ("segments", "x a 0 inf\n", "segments:1: x: needs 0 <= start < end"),
    ("segments", "x a 1\n", "segments:1: x: must be 'utterance recording start end'"),
    ("segments", "x a 0 1 2\n", "segments:1: x: must be 'utterance recording start end'"),
    ("segments", "x a 0 1\ny b 0 1\nz a 0 1.0\n", "segments:3: z: the same span as x on line 1"),
    ("segments", "", "segments: no utterances"),
]


@pytest.mark.parametrize(("name", "content", "message"), BAD_FILES)
def test_each_malformed_line_is_named(tmp_path, name, content, message):
    (tmp_path / "wav.scp").write_text("a /a.wav\nb /b.wav\n")
    if name != "segments":
        (tmp_path / "utt2spk").write_text("a s\nb t\n")
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    problems = check_kaldi(tmp_path)
    assert any(f"{tmp_path}/{message}" in p or message in p for p in problems), problems
    with pytest.raises(DataError, match="is not a valid data directory:\n  "):
        read_kaldi(tmp_path)


BAD_PAIRS = [
    ({"segments": "x a 0 2.5\n", "utt2dur": "x 2\n"}, "utt2dur:1: x: 2 s, but segments says 2.5 s"),
    ({"segments": "x a 0 9.6\n", "reco2dur": "a 9\nb 1\n"},
     "segments:1: x: 0 to 9.6 s, but recording a has 9.00 s"),
    ({"segments": "x a 9 -1\n", "reco2dur": "a 9\nb 1\n"},
     "segments:1: x: 9 to inf s, but recording a has 9.00 s"),
    ({"utt2dur": "a 1\nb 1\n", "reco2dur": "a 1.05\nb 3\n"},
     "utt2dur:2: b: 1 s, but reco2dur says 3 s"),
    ({"utt2dur": "a 1\nb 1\n", "utt2num_samples": "a 16000\nb 1600\n"},
     "utt2num_samples:2: b: 1600 samples in 1 s are no rate of audio; one of utt2dur and"),
    ({"spk2utt": "s a b\n"}, "spk2utt: there is no utt2spk of which this could be the inverse"),
]  # fmt: skip


@pytest.mark.parametrize(("files", "message"), BAD_PAIRS)
def test_files_that_contradict_each_other_are_named(tmp_path, files, message):
    (tmp_path / "wav.scp").write_text("a /a.wav\nb /b.wav\n")
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    (problem,) = check_kaldi(tmp_path)
    assert problem.startswith(f"{tmp_path}/{message}")


def test_every_problem_is_listed_in_order_not_only_the_first(tmp_path):
    (tmp_path / "wav.scp").write_bytes(b"b /b.wav\na /a.wav\nc \xff\nd/e /b.wav\n")
    (tmp_path / "text").write_text("a x\nb y\nd/e  z\n")
    assert check_kaldi(tmp_path, audio=True) == [
        f"{tmp_path}/wav.scp:1: b: no such file: /b.wav",
        f"{tmp_path}/wav.scp:2: a is out of order; sort with LC_ALL=C sort",
        f"{tmp_path}/wav.scp:2: a: no such file: /a.wav",
        f"{tmp_path}/wav.scp:3: not UTF-8; convert with iconv -t UTF-8",
        f"{tmp_path}/wav.scp:4: the id d/e holds a slash, so it cannot name a file",
        f"{tmp_path}/wav.scp:4: d/e: no such file: /b.wav",
        f"{tmp_path}/text:3: d/e: more than one space after the id",
    ]


def test_very_many_problems_of_a_kind_are_counted(tmp_path):
    lines = [f"{i:06d}\t/x.wav\r\n" for i in range(tables.MAX_SHOWN + 500)]
    (tmp_path / "wav.scp").write_text("".join(lines), newline="")
    problems = check_kaldi(tmp_path)
    assert len(problems) == 2 * (tables.MAX_SHOWN + 1)
    assert sum("wav.scp: and 500 more like: " in problem for problem in problems) == 2


@pytest.mark.parametrize("size", [64, 1000, 1 << 20])
def test_blocks_of_any_size_give_the_same_lines_and_problems(tmp_path, monkeypatch, size):
    rows = [f"é{i:04d} /v/{i}{' ' * (i % 50 == 7)}\n" for i in range(300)]
    rows[100] = "\n"
    (tmp_path / "wav.scp").write_text("".join(rows))
    monkeypatch.setattr(tables, "BLOCK_BYTES", size)
    lines = list(tables.entries(tmp_path / "wav.scp"))
    assert [entry.line for entry in lines] == [i + 1 for i in range(300) if i != 100]
    assert lines[-1] == ("é0299", "/v/299", 300)
    assert [problem.split("wav.scp")[1] for problem in check_kaldi(tmp_path)] == [
        f":{i + 1}: é{i:04d}: space at the end of the line" if i != 100 else ":101: empty line"
        for i in [7, 57, 100, 107, 157, 207, 257]
    ]


def test_notes_say_what_is_not_wrong(tmp_path):
    (tmp_path / "wav.scp").write_text("r1 /r.wav\nr2 /r.wav\nr3 /q.wav\nr4 /t.wav\n")
    (tmp_path / "segments").write_text("a r3 1 5\nb r1 0 2\nc r3 0 2\nd r1 2 -1\n")
    (tmp_path / "utt2spk").write_text("a s\nb b\nc c\nd d\n")
    (tmp_path / "text").write_text("a one  two\nb x\nc x\nd x\n")
    report = examine(tmp_path)
    assert report.problems == []
    assert report.utterances == 4
    assert report.notes == [
        f"texts with two spaces between words: 1, first {tmp_path}/text:1 a",
        "ids that do not begin with the speaker, as Kaldi's own tools want: 1, first "
        f"{tmp_path}/utt2spk:1 a",
        f"recordings that no segment uses: 2, first {tmp_path}/wav.scp:2 r2",
        f"segments that overlap an earlier one: 1, first {tmp_path}/segments:1",
        "no utt2lang, so each utterance is of unknown language",
    ]
    shared = [note for note in examine(tmp_path, audio=True).notes if "another id" in note]
    assert shared == [f"ids with the audio of another id: 1, first {tmp_path}/wav.scp:2 /r.wav"]


def test_the_command_exits_with_one_and_names_missing_and_empty_audio(tmp_path, capsys):
    soundfile.write(tmp_path / "a.wav", [0.0] * 100, 16000)
    (tmp_path / "none.wav").touch()
    write_kaldi(tmp_path / "ok", [utterance("a", source=str(tmp_path / "a.wav"))])
    assert validate_main([str(tmp_path / "ok")]) == 0
    assert capsys.readouterr().out == (
        f"{tmp_path}/ok: note: ids that do not begin with the speaker, as Kaldi's own tools want: "
        f"1, first {tmp_path}/ok/utt2spk:1 a\n{tmp_path}/ok: 1 utterances, valid\n"
    )
    sources = {"a": "no.wav", "b": "none.wav", "c": "a.wav", "d": "a.ark:12"}
    bad = [utterance(key, source=f"{tmp_path}/{name}") for key, name in sources.items()]
    write_kaldi(tmp_path / "bad", bad)
    assert validate_main([str(tmp_path / "ok"), str(tmp_path / "bad")]) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"{tmp_path}/bad/wav.scp:1: a: no such file: {tmp_path}/no.wav",
        f"{tmp_path}/bad/wav.scp:2: b: empty file: {tmp_path}/none.wav",
        f"{tmp_path}/bad/wav.scp:4: d: no such file: {tmp_path}/a.ark",
        "3 problems",
    ]
    assert validate_main([str(tmp_path / "absent")]) == 1


def test_every_header_is_opened_when_asked_for(tmp_path, capsys):
    soundfile.write(tmp_path / "a.wav", [0.0] * 16000, 16000)
    soundfile.write(tmp_path / "empty.wav", [], 16000)
    (tmp_path / "text.wav").write_text("hello")
    names = {"a": "a.wav", "b": "text.wav", "c": "empty.wav"}
    rows = [
        utterance(key, source=f"{tmp_path}/{name}", duration_s=2.0, speaker=key)
        for key, name in names.items()
    ]
    write_kaldi(tmp_path / "data", rows)
    assert validate_main([str(tmp_path / "data")]) == 0
    assert validate_main([str(tmp_path / "data"), "--audio"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"{tmp_path}/data/utt2dur:1: a: 2 s, but the audio says 1 s",
        f"{tmp_path}/data/wav.scp:2: b: {tmp_path}/text.wav: Format not recognised.",
        f"{tmp_path}/data/wav.scp:3: c: {tmp_path}/empty.wav holds no samples",
        "3 problems",
    ]


def test_commands_are_refused_by_default_and_run_when_allowed(tmp_path, capsys):
    soundfile.write(tmp_path / "a b.wav", [0.0] * 16000, 16000)
    python = shlex.quote(sys.executable)
    (tmp_path / "wav.scp").write_text(
        f"a cat '{tmp_path}/a b.wav' | cat |\nb {python} -c 'import sys; sys.exit(\"no\")' |\n"
        "c cat x > y |\n"
    )
    (tmp_path / "segments").write_text("u a 0 1\nv a 1.2 1.8\nw b 0 1\nx c 0 1\n")
    command = [str(tmp_path), "--audio"]
    assert validate_main(command) == 1
    assert capsys.readouterr().err.count("is a command; only files are read unless --allow_p") == 3
    assert validate_main([*command, "--allow_pipes"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"{tmp_path}/segments:2: v: 1.2 to 1.8 s, but recording a has 1.00 s",
        f"{tmp_path}/wav.scp:2: b: {python} -c 'import sys; sys.exit(\"no\")' |: {sys.executable} "
        "exited with status 1: no",
        f"{tmp_path}/wav.scp:3: c: cat x > y |: redirections are not run: leave them out (stderr "
        "is shown only when the command fails)",
        "3 problems",
    ]
