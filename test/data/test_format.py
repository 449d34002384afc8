import kaldiio
import numpy as np
import pytest
import soundfile

from espnet2.data.audio import content_hash, load_pcm, to_int16
from espnet2.data.config import FormatConfig
from espnet2.data.format import format_shard
from espnet2.data.index import Index
from espnet2.data.kaldi import Utterance, read_kaldi, write_kaldi
from espnet2.data.manifest import plan_shards
from espnet2.data.merge import merge_corpus
from espnet2.data.tsv import read_dropped, read_rows
from espnet2.utils.errors import DataError


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
