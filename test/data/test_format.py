import itertools
import shutil

import kaldiio
import numpy as np
import pytest
import soundfile
from toy_voice import recording

from espnet2.bin import format_data
from espnet2.data.audio import content_hash, load_pcm, to_int16
from espnet2.data.config import FormatConfig, VadConfig
from espnet2.data.format.manifest import plan_shards
from espnet2.data.format.merge import merge_corpus
from espnet2.data.format.shard_writer import format_shard
from espnet2.data.index import Index
from espnet2.data.kaldi import Utterance, read_kaldi, write_kaldi
from espnet2.data.tsv import read_dropped
from espnet2.utils.errors import DataError
from espnet2.utils.files import read_json


def noise(seconds, seed=0, rate_hz=16000):
    rng = np.random.default_rng(seed)
    return to_int16(rng.uniform(-0.3, 0.3, round(seconds * rate_hz)))


def make_corpus(folder, clips, rate_hz=16000, suffix="wav"):
    """A Kaldi directory of {utt_id: samples}; a clip of None is missing on disk."""
    folder.mkdir(parents=True, exist_ok=True)
    utterances = []
    for utt_id, samples in clips.items():
        path = folder / f"{utt_id}.{suffix}"
        if samples is not None:
            soundfile.write(path, samples, rate_hz)
        utterances.append(
            Utterance(
                utt_id=utt_id, recording=utt_id, source=str(path), speaker="s", language="eng"
            )
        )
    write_kaldi(folder, utterances)
    return folder


def run_format(data, dump, **options):
    config = FormatConfig(**options)
    manifests = list(plan_shards(data, dump / data.name, config))
    for manifest in manifests:
        format_shard(manifest, data.name, config)
    merge_corpus(dump / data.name, manifests, config)
    return Index.open(dump / data.name)


def reasons(dump):
    return {d.utt_id: d.reason for d in read_dropped(dump / "c d/dropped.tsv")}


def test_good_audio_is_stored_and_each_bad_one_has_its_reason(tmp_path):
    clips = {
        "a": noise(1.0),
        "b-missing": None,
        "c-short": noise(0.399),
        "d-exact": noise(0.4),
        "e-long": noise(2.001),
        "f-limit": noise(2.0),
        "g-silent": np.zeros(16000, np.int16),
        "h-twin": noise(1.0),
    }
    data = make_corpus(tmp_path / "c d", clips)
    (data / "i.wav").write_text("no audio")
    index = run_format(data, tmp_path / "dump", max_s=2.0, max_drop_ratio=0.9)
    assert list(index.utt_ids) == ["a", "d-exact", "f-limit"]
    assert reasons(tmp_path / "dump") == {
        "b-missing": "unreadable",
        "c-short": "too short",
        "e-long": "too long",
        "g-silent": "silent",
        "h-twin": "duplicate",
    }
    np.testing.assert_array_equal(to_int16(index.audio(1)), clips["d-exact"])
    assert index.utterance(0).content_hash == content_hash(clips["a"])


def test_exactly_40_seconds_stay_and_one_sample_more_goes(tmp_path):
    data = make_corpus(tmp_path / "c d", {"a": noise(40.0), "b": noise(40.0 + 1 / 16000)})
    index = run_format(data, tmp_path / "dump", max_drop_ratio=0.5)
    assert list(index.utt_ids) == ["a"]
    assert reasons(tmp_path / "dump") == {"b": "too long"}


def test_a_file_removed_after_a_first_run_is_dropped_in_the_next(tmp_path):
    data = make_corpus(tmp_path / "c d", {"a": noise(1), "b": noise(0.1), "c": noise(1, 2)})
    assert len(run_format(data, tmp_path / "dump", max_drop_ratio=0.9)) == 2
    (data / "a.wav").unlink()
    index = run_format(data, tmp_path / "dump", max_drop_ratio=0.9)
    assert list(index.utt_ids) == ["c"]
    assert reasons(tmp_path / "dump") == {"a": "unreadable", "b": "too short"}


def test_losing_too_much_fails_and_says_what_was_lost(tmp_path):
    data = make_corpus(tmp_path / "c d", {"a": noise(1), "b": None, "c": noise(0.1)})
    with pytest.raises(DataError, match=r"2 of 3 utterances dropped \(unreadable 1, too short 1\)"):
        run_format(data, tmp_path / "dump", max_drop_ratio=0.6)
    assert reasons(tmp_path / "dump") == {"b": "unreadable", "c": "too short"}
    assert not (tmp_path / "dump/c d/index.arrow").exists()


def test_shards_are_split_by_seconds_and_hold_everything_once(tmp_path):
    clips = {f"u{i}": noise(1 + i % 3, seed=i) for i in range(9)}
    data = make_corpus(tmp_path / "c d", clips)
    index = run_format(data, tmp_path / "dump", shard_hours=5 / 3600)
    assert list(index.utt_ids) == sorted(clips)
    per_shard = [index.num_samples[s.rows.start : s.rows.stop].sum() for s in index.each_shard()]
    assert len(per_shard) == 5
    assert max(per_shard) <= 5 * 16000
    # A larger shard size leaves no shard of the earlier run behind.
    index = run_format(data, tmp_path / "dump", shard_hours=1)
    assert sorted(p.name for p in (tmp_path / "dump/c d/shards").iterdir()) == [
        "000.ark", "000.arrow", "000.dropped.tsv", "000.json", "000.summary.json", "000.tsv",
    ]  # fmt: skip
    assert len(index) == 9


def test_a_duplicate_in_another_shard_is_dropped(tmp_path):
    data = make_corpus(tmp_path / "c d", {"a": noise(1), "b": noise(1, 1), "c": noise(1)})
    index = run_format(data, tmp_path / "dump", shard_hours=1 / 3600, max_drop_ratio=0.4)
    assert list(index.utt_ids) == ["a", "b"]
    (row,) = read_dropped(tmp_path / "dump/c d/dropped.tsv")
    assert (row.utt_id, row.detail) == ("c", "same audio as a")


def test_kaldiio_reads_the_exported_scp_and_a_second_format_passes_it_through(tmp_path):
    clips = {"a": noise(1), "b": noise(0.5, 1)}
    index = run_format(make_corpus(tmp_path / "c d", clips), tmp_path / "dump")
    for utt_id, (rate_hz, audio) in kaldiio.load_scp(str(tmp_path / "dump/c d/wav.scp")).items():
        assert rate_hz == 16000
        np.testing.assert_array_equal(to_int16(audio), clips[utt_id])
    (tmp_path / "again/c d").mkdir(parents=True)
    (tmp_path / "again/c d/wav.scp").write_text((tmp_path / "dump/c d/wav.scp").read_text())
    again = run_format(tmp_path / "again/c d", tmp_path / "dump2")
    shard = "c d/shards/000.ark"
    assert (tmp_path / "dump2" / shard).read_bytes() == (tmp_path / "dump" / shard).read_bytes()
    assert list(again.utt_ids) == list(index.utt_ids)


def test_segments_and_trimming_keep_the_right_stretch(tmp_path):
    speech, gap = noise(1.0), np.zeros(16000, np.int16)
    data = make_corpus(tmp_path / "c d", {"rec": np.concatenate([gap, speech, gap, speech[::-1]])})
    source = read_kaldi(data)[0].source
    parts = [
        Utterance(utt_id=f"p{i}", recording="rec", source=source, start_s=start, end_s=end,
                  speaker="s", language="eng")
        for i, (start, end) in enumerate([(0.0, 3.0), (3.0, 4.0)])
    ]  # fmt: skip
    write_kaldi(data, parts)
    index = run_format(data, tmp_path / "dump", trim_edges=True, trim_keep_s=0.1)
    assert index.num_samples[:].tolist() == [16000 + 2 * 1600, 16000]
    np.testing.assert_array_equal(to_int16(index.audio(0))[1600:-1600], speech)
    np.testing.assert_array_equal(to_int16(index.audio(1)), speech[::-1])
    assert index.recordings[1] == "rec"


def test_odd_paths_and_44_khz_stereo_ogg_are_stored_at_16_khz(tmp_path):
    stereo = np.stack([noise(1.0, rate_hz=44100)] * 2, axis=1)
    data = make_corpus(tmp_path / "c d", {"été#1": stereo}, rate_hz=44100, suffix="ogg")
    index = run_format(data, tmp_path / "dump")
    assert index.num_samples[:].tolist() == [16000]
    expected = load_pcm(str(data / "été#1.ogg")).samples
    np.testing.assert_array_equal(to_int16(index.audio(0)), expected)


def test_recordings_of_a_vad_corpus_become_segments_that_name_their_times(tmp_path):
    clips = {
        "film-1": recording(-2, 3, -2, 2, -1),
        "film-2": np.zeros(48000, np.int16),
        "film-3": recording(-1, 0.4, -1),
    }
    data = make_corpus(tmp_path / "c d", clips)
    index = run_format(data, tmp_path / "dump", vad_corpora=["c d"], max_drop_ratio=0.5)
    assert len(index) == 2
    assert list(index.recordings) == ["film-1", "film-1"]
    previous = 0
    for i, utt_id in enumerate(index.utt_ids):
        name, first_ms, last_ms = utt_id.rsplit("-", 2)
        assert (name, len(first_ms), len(last_ms)) == ("film-1", 8, 8)
        start, stop = 16 * int(first_ms), 16 * int(last_ms)
        assert previous <= start < stop <= len(clips["film-1"])
        np.testing.assert_array_equal(to_int16(index.audio(i)), clips["film-1"][start:stop])
        previous = stop
    assert reasons(tmp_path / "dump") == {"film-2": "no speech", "film-3": "no speech"}
    summary = read_json(tmp_path / "dump/c d/shards/000.summary.json")
    assert summary["utterances_in"] == 3
    assert summary["hours_in"] * 3600 == pytest.approx(10 + 3 + 2.4)
    assert summary["hours"] + summary["hours_no_speech"] == pytest.approx(summary["hours_in"])


def test_long_speech_is_cut_and_checked_like_any_utterance(tmp_path):
    data = make_corpus(tmp_path / "c d", {"talk": recording(-1, 25, -1)})
    vad = VadConfig(max_s=8.0)
    index = run_format(data, tmp_path / "dump", vad_corpora=["c d"], max_s=10.0, vad=vad)
    assert len(index) >= 4
    assert max(index.num_samples[:]) <= 8 * 16000
    edges = [utt_id.split("-")[1:] for utt_id in index.utt_ids]
    assert all(a[1] == b[0] for a, b in itertools.pairwise(edges))  # nothing between the parts
    assert sum(index.num_samples[:]) / 16000 == pytest.approx(25.5, abs=0.5)
    with pytest.raises(DataError, match=r"6 of 6 utterances dropped \(too short 6\)|too short"):
        run_format(data, tmp_path / "dump", vad_corpora=["c d"], vad=vad, min_s=9.0)


def test_what_is_a_segment_already_is_not_cut_and_other_corpora_are_left_whole(tmp_path):
    clip = recording(-2, 3, -2, 2, -1)
    data = make_corpus(tmp_path / "c d", {"rec": clip})
    source = read_kaldi(data)[0].source
    whole = run_format(data, tmp_path / "dump", vad_corpora=["other"])
    assert whole.num_samples[:].tolist() == [len(clip)]
    write_kaldi(data, [Utterance(utt_id="p", recording="rec", source=source, speaker="s",
                                 start_s=1.0, end_s=9.0, language="eng")])  # fmt: skip
    index = run_format(data, tmp_path / "dump", vad_corpora=["c d"])
    assert list(index.utt_ids) == ["p"]
    assert index.num_samples[:].tolist() == [8 * 16000]


def test_audio_that_trimming_may_shorten_is_decoded_before_it_is_called_too_long(tmp_path):
    clip = np.concatenate([np.zeros(32000, np.int16), noise(1.5)])
    data = make_corpus(tmp_path / "c d", {"a": clip})
    index = run_format(data, tmp_path / "dump", max_s=2.0, trim_edges=True)
    assert index.num_samples[:].tolist() == [24000 + 1600]


def format_all(place, *options):
    """Run the stage over ``place/data``; the units it did."""
    log = place / "log"
    shutil.rmtree(log, ignore_errors=True)
    (place / "conf.yaml").write_text("format: {shard_hours: 0.001}\n")
    status = format_data.main(["--conf", f"{place}/conf.yaml", "--data", f"{place}/data", "--dump",
                               f"{place}/dump", "--log_dir", str(log), *options])  # fmt: skip
    assert status == 0
    return sorted(path.stem for path in log.glob("format_*.log"))


def contents(dump):
    files = [path for path in dump.rglob("*") if path.is_file() and path.suffix != ".lock"]
    return {str(path.relative_to(dump)): path.read_bytes() for path in files}


def test_a_moved_dump_names_its_new_place_and_a_renamed_corpus_its_new_name(tmp_path):
    make_corpus(tmp_path / "sounds/words", {"w1": noise(1)})
    shutil.copytree(tmp_path / "sounds", tmp_path / "data")  # its wav.scp names the originals
    format_all(tmp_path)
    index = (tmp_path / "dump/words/index.json").read_bytes()
    place = tmp_path / "moved"
    place.mkdir()
    (tmp_path / "dump").rename(place / "dump")
    (place / "data").symlink_to(tmp_path / "data")
    assert format_all(place) == ["format_words"]
    assert str(place / "dump/words/shards/000.ark") in (place / "dump/words/wav.scp").read_text()
    assert (place / "dump/words/index.json").read_bytes() == index  # nothing later is done again
    for folder in (tmp_path / "data", place / "dump"):
        (folder / "words").rename(folder / "phrases")
    assert format_all(place) == ["format_phrases", "format_phrases_000"]
    opened = Index.open(place / "dump/phrases")
    assert (opened.corpora[0], opened.shards[0]) == ("phrases", "phrases/shards/000.ark")


def test_a_changed_vad_setting_redoes_the_corpora_that_are_cut_and_no_other(tmp_path, capfd):
    make_corpus(tmp_path / "data/talks", {"t1": recording(-2, 3, -2, 2), "t2": recording(-1, 4)})
    make_corpus(tmp_path / "data/words", {"w1": noise(1), "w2": noise(2, 1)})
    cut = ("--set", "format.vad_corpora=[talks]")
    assert format_all(tmp_path, *cut) == [
        "format_talks", "format_talks_000", "format_talks_001", "format_words", "format_words_000"
    ]  # fmt: skip
    assert (
        "all corpora: in: 4 utts / 0.00 h -> out: 5 utts / 0.00 h; dropped: none; "
        "0.00 h without speech left out"
    ) in capfd.readouterr().err
    assert format_all(tmp_path, *cut) == []
    cut += ("--set", "format.vad.padding_ms=150")
    assert format_all(tmp_path, *cut) == ["format_talks", "format_talks_000", "format_talks_001"]
    cut += ("--set", "format.max_drop_ratio=0.5")
    assert format_all(tmp_path, *cut) == ["format_talks", "format_words"]
    format_all(tmp_path, "--set", "format.vad_corpora=[talk]")
    assert (
        "vad_corpora also names talk: not among the corpora of this run" in capfd.readouterr().err
    )


def test_the_number_of_jobs_changes_no_byte(tmp_path):
    make_corpus(tmp_path / "data/talks", {f"t{i}": recording(-1, 2 + i) for i in range(2)})
    format_all(tmp_path, "--set", "format.vad_corpora=[talks]")
    one = contents(tmp_path / "dump")
    shutil.rmtree(tmp_path / "dump")
    format_all(tmp_path, "--set", "format.vad_corpora=[talks]", "--nj", "2")
    assert contents(tmp_path / "dump") == one
    assert sum(name.endswith(".ark") for name in one) == 2
