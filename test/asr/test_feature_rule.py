"""Stored or made again every time: what is measured, what decides, and that a restart keeps it."""

import time

import numpy as np
import pytest
import torch
from tiny_asr import make_split

from espnet2.asr import feature_rule as rule
from espnet2.asr import features as module
from espnet2.asr.cell_data import is_stored
from espnet2.asr.config import EncoderSpec, FeatureConfig
from espnet2.asr.waves import Waves
from espnet2.utils.errors import DataError
from espnet2.utils.files import read_json


def storage_of(tmp_path, make_s, monkeypatch=None, read_s=0.05):
    """The decision where features take ``make_s`` seconds to make and ``read_s`` to read."""

    def make(rows):
        time.sleep(make_s)
        return [np.zeros(1000, np.uint16) for _ in rows]

    if monkeypatch:
        monkeypatch.setattr(rule, "time_reading", lambda *_, **__: read_s)
    return rule.measured_storage(1.0, np.full(50, 2.0), make, tmp_path)


@pytest.mark.parametrize(
    ("config", "size_gb", "is_kept", "reason"),
    [
        (FeatureConfig(keep="never"), 0.001, False, "nothing reads them from disk"),
        (FeatureConfig(disk_budget_gb=5), 5.1, False, "over the budget of 5 GB (disk_budget_gb)"),
        (FeatureConfig(keep="always", disk_budget_gb=5), 5.1, False, "over the budget of 5 GB"),
        (FeatureConfig(keep="always"), 40.0, True, "keep: always"),
        (FeatureConfig(), 0.05, True, "small"),
    ],
)
def test_settings_and_size_decide_before_any_measurement(config, size_gb, is_kept, reason):
    storage = rule.without_measuring(size_gb, config)
    assert (storage.is_kept, storage.size_gb) == (is_kept, size_gb)
    assert storage.reason.startswith(reason)


def test_in_between_the_faster_way_is_taken(tmp_path, monkeypatch):
    assert rule.without_measuring(1.0, FeatureConfig()) is None
    slow = storage_of(tmp_path, 0.1, monkeypatch)
    fast = storage_of(tmp_path, 0.01, monkeypatch)
    assert (slow.is_kept, slow.reason) == (True, "reading is faster")
    assert (fast.is_kept, fast.reason) == (False, "computing is faster")
    assert slow.read_s_per_hour == fast.read_s_per_hour == pytest.approx(0.05 * 36)
    assert slow.compute_s_per_hour == pytest.approx(0.1 * 36, rel=0.5)


def test_reading_is_timed_on_the_disk_of_the_features_and_leaves_nothing(tmp_path):
    storage = storage_of(tmp_path, 0.2)
    assert storage.is_kept
    assert 0 < storage.read_s_per_hour < storage.compute_s_per_hour
    assert list(tmp_path.iterdir()) == []


def test_the_sample_is_spread_over_what_has_audio():
    lengths_s = np.where(np.arange(1000) % 2, 4.0, 0.0)
    rows = rule.sample_rows(lengths_s, 120.0)
    assert len(rows) == 30
    assert (rows[0], rows[-1]) == (1, 999)
    assert all(row % 2 for row in rows)
    assert rule.sample_rows(np.array([0.0, 3.0]), 120.0) == [1]


def test_the_decision_is_saved_and_a_killed_run_goes_on_with_it(tmp_path, monkeypatch):
    make_split(tmp_path / "data", per_language=2)
    out, spec = tmp_path / "features", EncoderSpec(kind="fbank")
    monkeypatch.setattr(rule, "SMALL_GB", 0.0)
    monkeypatch.setattr(rule, "time_reading", lambda *_, **__: 0.0)

    def write():
        return module.write_features(tmp_path / "data", spec, None, FeatureConfig(), "cpu", out)

    def kill(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "write_chunk", kill)
        write()
    saved = read_json(out / "storage.json")
    assert (saved["is_kept"], saved["reason"]) == (True, "reading is faster")
    assert saved["compute_s_per_hour"] > 0
    monkeypatch.setattr(module, "measured_storage", kill)
    write()
    assert is_stored(out)
    assert read_json(out / "storage.json") == saved


def test_what_is_not_stored_is_read_as_audio_and_what_cannot_be_read_is_silence(tmp_path):
    ids = make_split(tmp_path / "data", per_language=2)
    (tmp_path / "data/wav" / f"{ids[0]}.wav").write_bytes(b"RIFF")
    out, config = tmp_path / "features", FeatureConfig(keep="never")
    spec = EncoderSpec(kind="fbank")
    with pytest.raises(DataError, match="holds no features; run stage 11"):
        is_stored(out)
    module.write_features(tmp_path / "data", spec, None, config, "cpu", out)
    assert not is_stored(out)
    waves = Waves(tmp_path / "data", out, torch.from_numpy)
    inputs, lengths = waves.inputs([1, 0])
    assert waves.utt_ids == ids
    assert waves.frames[0] == 0
    assert [len(x) for x in inputs] == lengths.tolist()
    assert lengths[1] == 400
    assert not inputs[1].any()
