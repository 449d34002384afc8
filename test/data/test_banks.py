import json
import pickle

import numpy as np
import pytest

from espnet2.data.banks import Bank, Clip, write_bank
from espnet2.utils.errors import DataError
from espnet2.utils.files import read_json, sha256_file


def test_clips_come_back_from_the_map_with_their_direct_path(tmp_path):
    clips = [np.array([0, -2, 1], np.float32), np.ones(5, np.float32)]
    write_bank(tmp_path, [Clip(samples=c, kind=k) for c, k in zip(clips, "ab", strict=True)])
    bank = pickle.loads(pickle.dumps(Bank.open(tmp_path)))
    assert bank.lengths.tolist() == [3, 5]
    assert bank.delays.tolist() == [1, 0]
    assert bank.kinds == {"a": 1, "b": 1}
    for i, clip in enumerate(clips):
        np.testing.assert_array_equal(bank[i], clip)
        assert not bank[i].flags.writeable


def test_a_damaged_or_absent_bank_is_refused(tmp_path):
    with pytest.raises(DataError, match="run stage 6"):
        Bank.open(tmp_path)
    write_bank(tmp_path, [Clip(samples=np.ones(5), kind="k")])
    (tmp_path / "bank.f32").write_bytes(b"12345678")
    with pytest.raises(DataError, match="bank.f32: missing or cut short"):
        Bank.open(tmp_path)
    write_bank(tmp_path, [Clip(samples=np.ones(5), kind="k")])
    text = (tmp_path / "bank.json").read_text()
    (tmp_path / "bank.json").write_text(text.replace("16000", "8000"))
    with pytest.raises(DataError, match="sampled at 8000 Hz"):
        Bank.open(tmp_path)


def test_a_bank_is_known_by_the_content_of_its_clips(tmp_path):
    prints = []
    for value in (1.0, 1.0, 0.5):
        write_bank(tmp_path, [Clip(samples=np.full(5, value), kind="k")])
        prints.append(Bank.open(tmp_path).fingerprint)
    assert prints[0] == prints[1] != prints[2]
    assert read_json(tmp_path / "bank.json")["sha256"] == sha256_file(tmp_path / "bank.f32")


def test_sixty_thousand_clips_are_described_in_less_than_a_megabyte(tmp_path):
    clip = Clip(samples=np.ones(3, np.float32), kind="slr28/simulated_rirs")
    write_bank(tmp_path, (clip for _ in range(60_000)))
    assert (tmp_path / "bank.json").stat().st_size < 1_000_000
    bank = Bank.open(tmp_path)
    assert (len(bank), bank.kinds) == (60_000, {"slr28/simulated_rirs": 60_000})
    assert bank[59_999].tolist() == [1, 1, 1]


def test_the_description_of_a_bank_is_json_that_names_its_data_sets(tmp_path):
    kinds = ["coloured", "coloured", "dns", "coloured"]
    write_bank(tmp_path, [Clip(samples=np.ones(2), kind=kind) for kind in kinds])
    about = json.loads((tmp_path / "bank.json").read_text())
    assert about["kinds"] == {"coloured": 3, "dns": 1}
    assert about["lengths"] == [2, 2, 2, 2]
