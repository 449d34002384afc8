"""All kinds of bad audio through stages 2 and 3: kept, or in dropped.tsv with reason and detail."""

import pytest
import soundfile
from bad_corpora import flac_bytes, write_audio, write_lines, write_parquet

from espnet2.bin import combine_data, format_data
from espnet2.data.index import Index
from espnet2.data.tsv import read_dropped

KEPT = ("kept", "")
RECORD_SIZE = b"\x04" + (2**31 - 1).to_bytes(4, "little")  # of a Kaldi ark, in four bytes
NOT_AUDIO = "Format not recognised."
# Half of a FLAC file: libsndfile 1.2.0 gives what it holds and says nothing, later ones complain.
HALF_A_FLAC = "Error : flac decoder lost sync."
if tuple(map(int, soundfile.__libsndfile_version__.split("."))) < (1, 2, 2):
    HALF_A_FLAC = "cut short: 20480 samples decode of the 48000 that it states"

# utterance -> (reason, detail); {audio} is the folder of the sources below.
WHOLE = {
    "8khz": KEPT,
    "24bit": KEPT,
    "44khz-stereo": KEPT,
    "float": KEPT,
    "40.00s": KEPT,
    "40.01s": ("too long", "40.010 s; at most 40 s are kept"),
    "spaces": KEPT,
    "é": KEPT,
    "z": KEPT,
    "日本": KEPT,
    "nan": ("unreadable", "{audio}/nan.wav: holds NaN or infinite samples"),
    "infinite": ("unreadable", "{audio}/infinite.wav: holds NaN or infinite samples"),
    "truncated": ("unreadable", "{audio}/truncated.flac: " + HALF_A_FLAC),
    "truncated-wav": (
        "unreadable",
        "{audio}/truncated.wav: cut short: 39956 bytes of audio of the 64000 "
        "that its header states",
    ),
    "zero-length": ("unreadable", "{audio}/zero.wav: empty file"),
    "no-samples": ("too short", "0.000 s; at least 0.4 s are needed"),
    "short": ("too short", "0.050 s; at least 0.4 s are needed"),
    "silent": ("silent", "-inf dBFS; at least -70 is needed"),
    "text": ("unreadable", "{audio}/text.wav: " + NOT_AUDIO),
    "folder": ("unreadable", "{audio}/folder.wav: Is a directory"),
    "missing": ("unreadable", "{audio}/missing.wav: No such file or directory"),
    "zz-again": ("duplicate", "same audio as z"),
    "ark-cut": ("unreadable", "{audio}/cut.ark:0: record cut short: 4 of 2147483647 bytes"),
    "ark-offset": ("unreadable", "{audio}/cut.ark:3: no AUDIO record at this offset"),
    "parquet": KEPT,
    "parquet-null": ("unreadable", "{audio}/rows.parquet:1: audio bytes are null"),
    "parquet-empty": ("unreadable", "{audio}/rows.parquet:2: empty file"),
    "parquet-row": ("unreadable", "{audio}/rows.parquet:3: no such row; the file has 3"),
    "pipe": KEPT,
    "pipe-fails": (
        "unreadable",
        "cat /no/x.wav |: cat exited with status 1: cat: /no/x.wav: No such file or directory",
    ),
    "pipe-unknown": ("unreadable", "no_such_tool |: no_such_tool: no such program on this machine"),
}
SEGMENTS = {
    "over1": ("rec 0.0 1.0", KEPT),
    "over2": ("rec 0.5 1.5", KEPT),
    "rounded": ("rec 2.0 3.3", KEPT),
    "tiny": ("rec 2.0 2.01", ("too short", "0.010 s; at least 0.4 s are needed")),
    "past": (
        "rec 2.0 9.0",
        ("unreadable", "{audio}/rec.wav: segment ends at 9.0 s but the audio at 3.00 s"),
    ),
    "z": ("rec 1.0 2.0", KEPT),
}


def write_sources(audio):
    """utterance -> source, for every name in WHOLE."""
    truncated = flac_bytes(3.0, 111)
    rows = [("a", "eng", flac_bytes(1.0, 120)), ("b", "eng", None), ("c", "eng", b"")]
    sources = {
        "8khz": write_audio(audio / "8.wav", seed=2, rate_hz=8000),
        "24bit": write_audio(audio / "24.wav", seed=3, subtype="PCM_24"),
        "44khz-stereo": write_audio(audio / "44.wav", seed=4, rate_hz=44100, channels=2),
        "float": write_audio(audio / "float.wav", seed=5, subtype="FLOAT"),
        "40.00s": write_audio(audio / "40.00.wav", 40.0, 6),
        "40.01s": write_audio(audio / "40.01.wav", 40.01, 7),
        "spaces": write_audio(audio / "a b/c d.wav", seed=8),
        "é": write_audio(audio / "é.wav", seed=9),
        "z": write_audio(audio / "z.wav", seed=10),
        "日本": write_audio(audio / "日本.wav", seed=11),
        "nan": write_audio(audio / "nan.wav", subtype="FLOAT", bad=float("nan")),
        "infinite": write_audio(audio / "infinite.wav", subtype="FLOAT", bad=float("inf")),
        "truncated": written(audio / "truncated.flac", truncated[: len(truncated) // 2]),
        "zero-length": written(audio / "zero.wav", b""),
        "no-samples": write_audio(audio / "none.wav", 0.0),
        "short": write_audio(audio / "short.wav", 0.05, 12),
        "silent": write_audio(audio / "silent.wav", seed=0),
        "text": written(audio / "text.wav", b"this is not audio\n" * 100),
        "folder": audio / "folder.wav",
        "missing": audio / "missing.wav",
        "zz-again": audio / "z.wav",
        "ark-cut": f"{written(audio / 'cut.ark', b'AUDIO' + RECORD_SIZE + b'fLaC')}:0",
        "ark-offset": f"{audio / 'cut.ark'}:3",
        "pipe": f"cat '{write_audio(audio / 'piped.wav', seed=13)}' |",
        "pipe-fails": "cat /no/x.wav |",
        "pipe-unknown": "no_such_tool |",
    }
    (audio / "folder.wav").mkdir()
    parquet = write_parquet(audio / "rows.parquet", rows)
    names = ("parquet", "parquet-null", "parquet-empty", "parquet-row")
    sources |= {name: f"{parquet}:{row}" for row, name in enumerate(names)}
    whole = write_audio(audio / "whole.wav", 2.0, 14).read_bytes()
    return sources | {"truncated-wav": written(audio / "truncated.wav", whole[:40000])}


def written(path, data):
    path.write_bytes(data)
    return path


@pytest.fixture(scope="module")
def formatted(tmp_path_factory):
    """The folder in which stage 2 has run over both tables."""
    place = tmp_path_factory.mktemp("bad audio")
    audio, data = place / "audio", place / "data"
    write_lines(data / "whole/wav.scp", write_sources(audio).items())
    write_lines(data / "cut/wav.scp", [("rec", write_audio(audio / "rec.wav", 3.0, 20))])
    write_lines(data / "cut/segments", [(utt, span) for utt, (span, _) in SEGMENTS.items()])
    (place / "conf.yaml").write_text("format: {max_drop_ratio: 1.0, allow_pipes: true}\n")
    assert run(format_data, place) == 0
    return place


def run(command, place):
    """The exit status of a stage over the whole of ``place``."""
    folders = {"conf": "conf.yaml", "data": "data", "dump": "dump", "log_dir": "log"}
    options = [word for key, name in folders.items() for word in (f"--{key}", str(place / name))]
    return command.main([*options, "--nj", "2"])


def outcomes(place, corpus):
    """utterance -> (reason, detail), of the index and of dropped.tsv."""
    kept = dict.fromkeys(Index.open(place / "dump" / corpus).utt_ids, KEPT)
    dropped = {
        row.utt_id: (row.reason, row.detail.replace(str(place / "audio"), "{audio}"))
        for row in read_dropped(place / "dump" / corpus / "dropped.tsv")
    }
    assert not set(kept) & set(dropped)
    return kept | dropped


@pytest.mark.parametrize("utt_id", WHOLE)
def test_an_utterance_is_kept_or_dropped_with_a_reason(formatted, utt_id):
    assert outcomes(formatted, "whole")[utt_id] == WHOLE[utt_id]


@pytest.mark.parametrize("utt_id", SEGMENTS)
def test_a_segment_is_kept_or_dropped_with_a_reason(formatted, utt_id):
    assert outcomes(formatted, "cut")[utt_id] == SEGMENTS[utt_id][1]


def test_every_utterance_is_somewhere_and_in_the_order_of_its_bytes(formatted):
    assert set(outcomes(formatted, "whole")) == set(WHOLE)
    assert set(outcomes(formatted, "cut")) == set(SEGMENTS)
    utt_ids = list(Index.open(formatted / "dump/whole").utt_ids)
    assert utt_ids == sorted(utt_ids, key=str.encode)
    assert utt_ids[-2:] == ["é", "日本"]


def test_40_seconds_and_all_rates_become_16_khz(formatted):
    index = Index.open(formatted / "dump/whole")
    samples = dict(zip(index.utt_ids, index.num_samples[:].tolist(), strict=True))
    assert samples["40.00s"] == 640_000
    assert {samples[name] for name in ("8khz", "24bit", "44khz-stereo", "float")} == {16000}


def test_two_corpora_with_one_id_are_refused(formatted, capfd):
    assert run(combine_data, formatted) == 1
    assert (
        "combine failed: work: error: utterance id z appears in two corpora, cut and "
        "whole; put the corpus's name before the ids of one: prefix_ids: true in corpora.yaml"
    ) in capfd.readouterr().err
