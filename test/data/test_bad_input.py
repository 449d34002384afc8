"""A table of bad input to validate_data and to stages 1 to 3: each says in one line what is wrong.

The other tables: bad audio (test_bad_audio.py), bad corpora (test_bad_corpora.py), a disk that is
full or read-only (test_bad_disk.py).
"""

import shutil

import pytest
from bad_corpora import write_valid

from espnet2.bin import combine_data, format_data, validate_data
from espnet2.utils.errors import XeusError

COMMAND = (
    "is a command; only files are read unless --allow_pipes (in a recipe: format.allow_pipes) "
    "says otherwise"
)

# what is wrong: (file, text there, text instead, the line about it, does stage 2 refuse it too);
# {d} is the directory. It holds recordings r1 and r2 and segments a, b (of r1) and c (of r2).
DIRECTORY = {
    "CRLF": ("text", "of a\n", "of a\r\n",
             "{d}/text:1: Windows line ending (CRLF); convert with dos2unix", True),
    "no newline at the end": ("text", "of c\n", "of c",
             "{d}/text:3: no newline at the end of the file", True),
    "byte order mark": ("utt2lang", "a eng", "\ufeffa eng",
             "{d}/utt2lang:1: byte order mark at the start of the file; save it as UTF-8 without "
             "one", True),
    "Latin-1": ("text", "words of b", b"w\xf6rds",
             "{d}/text:2: not UTF-8; convert with iconv -t UTF-8", True),
    "tab": ("utt2spk", "b s1", "b\ts1",
             "{d}/utt2spk:2: a tab; fields are separated by one space", True),
    "empty line": ("text", "of a\n", "of a\n\n", "{d}/text:2: empty line", True),
    "no value": ("text", "a words of a", "a", "{d}/text:1: a has no value", True),
    "duplicate id": ("utt2lang", "b eng", "a deu",
             "{d}/utt2lang:2: a appears twice; first on line 1", True),
    "unsorted ids": ("utt2spk", "a s1\nb s1", "b s1\na s1",
             "{d}/utt2spk:2: a is out of order; sort with LC_ALL=C sort", True),
    "an id of another locale's order": ("utt2spk", "a s1\nb s1\nc s1\n", "a s1\né s1\nc s1\n",
             "{d}/utt2spk:3: c is out of order; sort with LC_ALL=C sort", True),
    "an id with a slash": ("wav.scp", "r1 ", "r/1 ",
             "{d}/wav.scp:1: the id r/1 holds a slash, so it cannot name a file", False),
    "wav.scp missing": ("wav.scp", None, None, "{d}/wav.scp: no such file", True),
    "wav.scp empty": ("wav.scp", ..., "",
             "{d}/segments:1: a: recording r1 is not in wav.scp", True),
    "segments empty": ("segments", ..., "", "{d}/segments: no utterances", True),
    "a command": ("wav.scp", "r1.wav", "r1.wav |", "{d}/wav.scp:1: r1 " + COMMAND, True),
    "a negative segment": ("segments", "r1 0.0", "r1 -0.5",
             "{d}/segments:1: a: needs 0 <= start < end in seconds, got -0.5 1", True),
    "a segment that ends first": ("segments", "0.0 1.0", "1.0 0.5",
             "{d}/segments:1: a: needs 0 <= start < end in seconds, got 1 0.5", True),
    "a segment from nowhere": ("segments", "0.0 1.0", "nan 0.5",
             "{d}/segments:1: a: needs 0 <= start < end in seconds, got nan 0.5", True),
    "a segment without an end": ("segments", "r1 0.0 1.0", "r1 0.0",
             "{d}/segments:1: a: must be 'utterance recording start end'", True),
    "identical segments": ("segments", "1.0 2.5", "0.0 1.0",
             "{d}/segments:2: b: the same span as a on line 1", False),
    "a segment past the end": ("segments", "r2 0.0 2.0", "r2 0.0 4.0",
             "{d}/segments:3: c: 0 to 4 s, but recording r2 has 3.00 s", False),
    "a segment of no recording": ("segments", "c r2", "c r3",
             "{d}/segments:3: c: recording r3 is not in wav.scp", True),
    "an id that is missing": ("utt2lang", "b eng\n", "",
             "{d}/utt2lang: no line for b of segments:2", True),
    "an id too many": ("utt2lang", "c eng\n", "c eng\nd eng\n",
             "{d}/utt2lang:4: d is not in segments", True),
    "an unknown language": ("utt2lang", "b eng", "b xyz0",
             "{d}/utt2lang:2: b: language 'xyz0' is not ISO 639-3; use a code of "
             "https://iso639-3.sil.org or und if it is not known", True),
    "a language's name": ("utt2lang", "b eng", "b English",
             "{d}/utt2lang:2: b: language 'English' is not ISO 639-3; 'English' is eng in ISO "
             "639-3", True),
    "no number in utt2dur": ("utt2dur", "b 1.5", "b long",
             "{d}/utt2dur:2: b: 'long' is not a number", True),
    "a negative length": ("utt2dur", "b 1.5", "b -1.5",
             "{d}/utt2dur:2: b: must be above 0, got -1.5", True),
    "another length": ("utt2dur", "b 1.5", "b 9",
             "{d}/utt2dur:2: b: 9 s, but segments says 1.5 s", False),
    "a speaker's utterances": ("spk2utt", "a b c", "a c",
             "{d}/utt2spk:2: b is not in spk2utt", False),
    "missing audio": ("wav.scp", "r1.wav", "r3.wav",
             "{d}/wav.scp:1: r1: no such file: {d}/audio/r3.wav", False),
    "zero-length audio": ("audio/r1.wav", ..., "",
             "{d}/wav.scp:1: r1: empty file: {d}/audio/r1.wav", False),
    "a text named .wav": ("audio/r1.wav", ..., "text",
             "{d}/wav.scp:1: r1: {d}/audio/r1.wav: Format not recognised.", False),
}  # fmt: skip


def spoil(folder, name, old, new):
    """Put ``new`` in the place of ``old`` (...: of all) in one file; None: delete it."""
    path = folder / name
    if old is None:
        path.unlink()
        return
    new = new.encode() if isinstance(new, str) else new
    content = path.read_bytes()
    assert old is ... or old.encode() in content
    path.write_bytes(new if old is ... else content.replace(old.encode(), new, 1))


def spoilt(valid, place, name, old, new):
    """A copy of the valid directory with one change."""
    folder = place / "my data"
    shutil.copytree(valid, folder)
    wav = folder / "wav.scp"
    wav.write_text(wav.read_text().replace(str(valid), str(folder)))
    spoil(folder, name, old, new)
    return folder


@pytest.fixture(scope="module")
def valid(tmp_path_factory):
    return write_valid(tmp_path_factory.mktemp("valid") / "my data")


@pytest.fixture
def conf(tmp_path):
    path = tmp_path / "conf.yaml"
    path.write_text("format: {max_drop_ratio: 1.0}\n")
    return path


def main(command, conf, *options):
    """A stage in this process, with its log beside the YAML."""
    words = ["--conf", conf, "--log_dir", conf.parent / "log", *options]
    return command.main([str(word) for word in words])


def test_the_directory_that_the_table_spoils_is_valid(valid, capsys):
    assert validate_data.main([str(valid), "--audio"]) == 0
    assert f"{valid}: 3 utterances, valid" in capsys.readouterr().out


@pytest.mark.parametrize("case", DIRECTORY)
def test_validate_data_names_file_and_line(valid, tmp_path, capsys, case):
    name, old, new, line, _ = DIRECTORY[case]
    folder = spoilt(valid, tmp_path, name, old, new)
    assert validate_data.main([str(folder), "--audio"]) == 1
    assert line.replace("{d}", str(folder)) in capsys.readouterr().err.splitlines()


@pytest.mark.parametrize("case", [case for case, row in DIRECTORY.items() if row[-1]])
def test_stage_2_refuses_it_before_any_work(valid, tmp_path, conf, case):
    name, old, new, line, _ = DIRECTORY[case]
    folder = spoilt(valid, tmp_path, name, old, new)
    with pytest.raises(XeusError) as caught:
        main(format_data, conf, "--data", folder, "--dump", tmp_path / "dump")
    problems = [problem.strip() for problem in str(caught.value).splitlines()]
    if (folder / "wav.scp").is_file():
        assert line.replace("{d}", str(folder)) in problems
    else:
        assert problems == [f"{folder}: no wav.scp here or one folder below; run stage 1 first"]
    assert not (tmp_path / "log").exists()


# what is wrong: (command, recipe YAML, options, the message)
RECIPE = {
    "an unknown key": (
        format_data, "format: {max_sec: 3}",
        "format: max_sec is not a known key; did you mean 'max_s'?",
    ),
    "an unknown section": (
        format_data, "fromat: {max_s: 3}",
        "{conf}: fromat is not a known section; did you mean 'format'?",
    ),
    "text for a number": (
        combine_data, "combine: {valid_ratio: some}",
        "combine: valid_ratio must be float, got 'some' (str); "
        "YAML reads 3e-4 as text, write 3.0e-4 or 0.0003",
    ),
    "a key twice": (
        format_data, "format:\n  max_s: 3\n  max_s: 4", "{conf}:3: max_s is given twice",
    ),
    "no YAML": (
        format_data, "format: [",
        "{conf}:1: not valid YAML: expected the node content, but found '<stream end>'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", RECIPE)
def test_a_recipe_that_cannot_be_used_is_refused(valid, conf, case):
    command, text, message = RECIPE[case]
    conf.write_text(text)
    with pytest.raises(XeusError) as caught:
        main(command, conf, "--data", valid, "--dump", conf.parent / "dump")
    assert str(caught.value) == message.replace("{conf}", str(conf))
