"""Kind lhotse: manifests of lhotse's own making, and recipes called by name."""

import gzip

import lhotse
import pytest
from lhotse import AudioSource, MonoCut, Recording, RecordingSet, SupervisionSegment, SupervisionSet
from tiny_corpora import prepared, write_tone

from espnet2.data.audio import load_pcm
from espnet2.data.corpora.lhotse import find_recipe
from espnet2.utils.errors import ConfigError, DataError


def write_manifests(folder, recordings, segments=None, part="train"):
    """What a recipe leaves behind."""
    folder.mkdir(parents=True, exist_ok=True)
    RecordingSet.from_recordings(recordings).to_file(folder / f"toy_recordings_{part}.jsonl.gz")
    if segments is not None:
        SupervisionSet.from_segments(segments).to_file(folder / f"toy_supervisions_{part}.jsonl.gz")


def recording(path, **options):
    return Recording.from_file(write_tone(path, **options))


def segment(utt_id, recording_id, start, duration, **fields):
    return SupervisionSegment(utt_id, recording_id, start, duration, **fields)


def test_supervisions_become_segments_and_whole_recordings_stay_whole(tmp_path):
    long = recording(tmp_path / "my audio/z.wav", seconds=4)
    short = recording(tmp_path / "my audio/a.wav")
    segments = [
        segment("u2", "z", 2.0, 1.5, language="English", speaker="anna", text="two"),
        segment("u1", "z", 0.25, 1.0, language="en", speaker="anna", text="one"),
        segment("a", "a", 0.0, 1.0, language="French", text="tout"),
    ]
    write_manifests(tmp_path / "m", [long, short], segments)
    entry = {"kind": "lhotse", "path": str(tmp_path / "m")}
    utterances, dropped, _ = prepared("toy", entry, tmp_path / "data")
    rows = [(u.utt_id, u.recording, u.start_s, u.end_s, u.language, u.text) for u in utterances]
    assert rows == [
        ("toy-a", "toy-a", 0.0, None, "fra", "tout"),
        ("toy-u1", "toy-z", 0.25, 1.25, "eng", "one"),
        ("toy-u2", "toy-z", 2.0, 3.5, "eng", "two"),
    ]
    assert [u.speaker for u in utterances] == ["toy-a", "toy-anna", "toy-anna"]
    assert [u.duration_s for u in utterances] == [1.0, 1.0, 1.5]
    assert dropped == []
    cut = MonoCut("c", 0.25, 1.0, 0, recording=long)
    pcm = load_pcm(utterances[1].source, 0.25, 1.25).samples
    assert abs(pcm / 32768 - cut.load_audio()[0]).max() < 1e-4


def test_recordings_without_a_manifest_of_supervisions_are_utterances(tmp_path):
    write_manifests(tmp_path / "m", [recording(tmp_path / "b.wav"), recording(tmp_path / "a.wav")])
    entry = {"kind": "lhotse", "path": str(tmp_path / "m"), "language": "eng"}
    utterances, _, _ = prepared("toy", entry, tmp_path / "data")
    assert [(u.utt_id, u.end_s, u.duration_s) for u in utterances] == [
        ("toy-a", None, 1.0), ("toy-b", None, 1.0),
    ]  # fmt: skip


def test_what_does_not_fit_together_is_dropped_with_the_reason(tmp_path):
    segments = [
        segment("ok", "a", 0.0, 1.0, language="eng"),
        segment("lost", "gone", 0.0, 1.0, language="eng"),
        segment("tongueless", "a", 0.2, 0.5),
    ]
    audio = [recording(tmp_path / f"{name}.wav") for name in ("a", "silent")]
    write_manifests(tmp_path / "m", audio, segments)
    entry = {"kind": "lhotse", "path": str(tmp_path / "m")}
    utterances, dropped, _ = prepared("toy", entry, tmp_path / "data")
    assert [u.utt_id for u in utterances] == ["toy-ok"]
    assert dropped == [
        ("toy-lost", "no recording", "gone has no manifest"),
        ("toy-silent", "no supervision", "nobody marked speech in the recording"),
        ("toy-tongueless", "no language", "neither the supervision nor corpora.yaml names one"),
    ]


def test_one_of_several_channels_is_cut_out_only_with_permission(tmp_path):
    stereo = recording(tmp_path / "two channels.wav", channels=2)
    segments = [
        segment("left", stereo.id, 0.0, 1.0, channel=0, language="eng"),
        segment("both", stereo.id, 0.0, 1.0, channel=[0, 1], language="eng"),
    ]
    write_manifests(tmp_path / "m", [stereo], segments)
    entry = {"kind": "lhotse", "path": str(tmp_path / "m")}
    utterances, dropped, _ = prepared("toy", entry, tmp_path / "data")
    assert [u.utt_id for u in utterances] == ["toy-both"]
    assert dropped[0][:2] == ("toy-left", "channel")
    assert "one of 2 channels" in dropped[0][2]
    utterances, _, _ = prepared("toy", entry, tmp_path / "data", allow_pipes=True)
    assert utterances[1].source == f"sox '{tmp_path}/two channels.wav' -t wav - remix 1 |"


def test_a_recording_of_one_file_a_channel_takes_the_speakers_own(tmp_path):
    files = [str(write_tone(tmp_path / f"head{i}.wav")) for i in range(2)]
    meeting = Recording(
        "meeting", [AudioSource("file", [i], files[i]) for i in range(2)], 16000, 16000, 1.0
    )
    segments = [
        segment("s1", "meeting", 0.0, 1.0, channel=1, language="eng"),
        segment("all", "meeting", 0.0, 1.0, channel=[0, 1], language="eng"),
    ]
    write_manifests(tmp_path / "m", [meeting], segments)
    entry = {"kind": "lhotse", "path": str(tmp_path / "m")}
    utterances, dropped, _ = prepared("ami", entry, tmp_path / "data")
    assert [(u.utt_id, u.source) for u in utterances] == [("ami-s1", files[1])]
    assert dropped == [("ami-all", "channel", "2 files hold the recording; name one channel")]


def test_commands_run_only_with_permission_and_addresses_never(tmp_path):
    def made(name, kind, source):
        return Recording(name, [AudioSource(kind, [0], source)], 16000, 16000, 1.0)

    write_manifests(
        tmp_path / "m",
        [made("c", "command", "cat x.wav"), made("u", "url", "https://x/y.wav"),
         recording(tmp_path / "f.wav")],
    )  # fmt: skip
    entry = {"kind": "lhotse", "path": str(tmp_path / "m"), "language": "eng"}
    utterances, dropped, _ = prepared("t", entry, tmp_path / "data")
    assert [u.utt_id for u in utterances] == ["t-f"]
    assert [row[2] for row in dropped] == [
        "a command; set format.allow_pipes: true to run it", "audio of type url; save it as files",
    ]  # fmt: skip
    utterances, _, _ = prepared("t", entry, tmp_path / "data", allow_pipes=True)
    assert [u.source for u in utterances][0] == "cat x.wav |"


def test_parts_are_chosen_by_pattern_and_only_training_ones_by_default(tmp_path):
    for part in ("train-a", "train-b", "dev", "L"):
        write_manifests(tmp_path / "m", [recording(tmp_path / f"{part}.wav")], part=part)
    entry = {"kind": "lhotse", "path": str(tmp_path / "m"), "language": "eng"}
    ids = [u.utt_id for u in prepared("t", entry, tmp_path / "data")[0]]
    assert ids == ["t-train-a", "t-train-b"]
    ids = [u.utt_id for u in prepared("t", {**entry, "parts": ["L"]}, tmp_path / "data")[0]]
    assert ids == ["t-L"]
    with pytest.raises(
        DataError, match=r"no part is called XL; there are L, dev, train-a, train-b"
    ):
        prepared("t", {**entry, "parts": ["XL"]}, tmp_path / "data")


def test_a_recipe_of_lhotse_is_called_by_its_name(tmp_path):
    root = tmp_path / "Libri Speech"
    for part in ("train-clean-100", "test-clean"):
        write_tone(root / part / "19/198/19-198-0000.flac", seconds=2)
        (root / part / "19/198/19-198.trans.txt").write_text("19-198-0000 NORTHANGER ABBEY\n")
    entry = {"kind": "lhotse", "path": str(root), "recipe": "librispeech", "language": "eng",
             "arguments": {"dataset_parts": ["train-clean-100", "test-clean"]}}  # fmt: skip
    utterances, _, _ = prepared("libri", entry, tmp_path / "data")
    assert [(u.utt_id, u.speaker, u.text, u.end_s) for u in utterances] == [
        ("libri-19-198-0000", "libri-19", "NORTHANGER ABBEY", None)
    ]
    assert utterances[0].source == f"{root}/train-clean-100/19/198/19-198-0000.flac"
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["libri"]


@pytest.mark.parametrize(
    ("keys", "error", "message"),
    [
        ({"recipe": "nosuch"}, ConfigError, "lhotse has no recipe prepare_nosuch"),
        ({"recipe": "yesno", "arguments": {"part": 1}}, ConfigError,
         r"prepare_yesno has no argument part; it takes corpus_dir, output_dir"),
        ({"recipe": "librispeech"}, DataError, r"prepare_librispeech failed: ValueError: Could"),
        ({"recipe": "yesno"}, DataError,
         r"failed: AssertionError: assert len\(wave_files\) == 60 \(yesno.py:\d+\); compare"),
        ({}, DataError, r"no manifest \*recordings\*.jsonl.gz"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said_in_one_line(tmp_path, keys, error, message):
    (tmp_path / "c").mkdir()
    with pytest.raises(error, match=message) as caught:
        prepared("c", {"kind": "lhotse", "path": str(tmp_path / "c"), **keys}, tmp_path / "data")
    assert "\n" not in str(caught.value)


def test_a_damaged_manifest_is_named_with_its_line(tmp_path):
    write_manifests(tmp_path / "m", [recording(tmp_path / "a.wav")])
    path = tmp_path / "m/toy_recordings_train.jsonl.gz"
    good = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(good + b'{"id": \n'))
    entry = {"kind": "lhotse", "path": str(tmp_path / "m"), "language": "eng"}
    with pytest.raises(DataError, match=r"toy_recordings_train\.jsonl\.gz:2: not a line of JSON"):
        prepared("t", entry, tmp_path / "data")
    path.write_bytes(gzip.compress(good)[:-9])
    with pytest.raises(DataError, match=r"toy_recordings_train\.jsonl\.gz:\d: not a line of JSON"):
        prepared("t", entry, tmp_path / "data")


def test_a_recipe_that_the_package_does_not_import_is_found_in_its_module():
    assert not hasattr(lhotse.recipes, "prepare_aidatatang_200zh")
    assert find_recipe("aidatatang_200zh").__name__ == "prepare_aidatatang_200zh"
