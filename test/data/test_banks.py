import pickle

import numpy as np
import pytest
import soundfile

from espnet2.bin import prepare_augment
from espnet2.data.banks import Bank, Clip, write_bank
from espnet2.data.config import BankConfig
from espnet2.data.kaldi import Utterance, write_kaldi
from espnet2.data.noise import coloured, write_noise
from espnet2.data.rooms import random_response, room_response, write_rirs
from espnet2.data.tsv import read_dropped
from espnet2.utils.errors import DataError
from espnet2.utils.files import read_json, sha256_file
from espnet2.utils.seeding import rng_for
from espnet2.utils.units import fingerprint


def test_clips_come_back_from_the_map_with_their_direct_path(tmp_path):
    clips = [np.array([0, -2, 1], np.float32), np.ones(5, np.float32)]
    write_bank(tmp_path, [Clip(samples=c, kind="k") for c in clips])
    bank = pickle.loads(pickle.dumps(Bank.open(tmp_path)))
    assert bank.lengths.tolist() == [3, 5]
    assert bank.delays.tolist() == [1, 0]
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


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0])
def test_noise_has_the_colour_asked_for(exponent):
    audio = coloured(160_000, exponent, rng_for(0, "c"))
    power = np.abs(np.fft.rfft(audio)) ** 2
    octaves = [power[n : 2 * n].mean() for n in (1000, 2000, 4000, 8000, 16000)]
    np.testing.assert_allclose(np.diff(np.log2(octaves)), -exponent, atol=0.15)


def test_the_first_taps_of_a_room_are_the_direct_path_and_the_walls():
    room = np.array([7.0, 6.0, 3.0])
    source, microphone = np.array([2.0, 3.0, 1.0]), np.array([4.0, 3.0, 1.0])
    response = room_response(room, source, microphone, t60_s=0.2, length_s=0.2)
    direct = round(2 / 343 * 16000)
    assert np.argmax(np.abs(response)) == direct
    assert response[direct] == 1
    assert not response[:direct].any()
    # The floor is 1 m below both: it mirrors the source to sqrt(2**2 + 2**2) m.
    floor = round(np.sqrt(8) / 343 * 16000)
    energy = np.exp(-24 * np.log(10) * room.prod() / (343 * 162 * 0.2))
    swell = response[floor - 1]  # the high pass's answer to the direct path
    assert response[floor] - swell == pytest.approx(np.sqrt(energy) * 2 / np.sqrt(8), rel=0.02)


def test_a_room_decays_by_sixty_db_in_its_reverberation_time():
    response = room_response(
        np.array([6.0, 5, 3.1]), np.array([2.1, 1.7, 1.4]), np.array([4.2, 3.3, 1.6]), 0.5, 0.5
    ).astype(np.float64)
    remaining = np.cumsum((response**2)[::-1])[::-1]
    level_db = 10 * np.log10(remaining / remaining[0])
    early, late = (np.argmax(level_db < db) for db in (-5, -25))
    assert 3 * (late - early) / 16000 == pytest.approx(0.5, rel=0.25)


def test_the_same_seed_gives_the_same_rooms_and_every_direct_path_is_clear(tmp_path):
    config = BankConfig(num_rirs=4, t60_s=(0.15, 0.25), rir_s=0.2)
    for name in "ab":
        write_rirs(tmp_path / name, config, seed=5)
    assert (tmp_path / "a/bank.f32").read_bytes() == (tmp_path / "b/bank.f32").read_bytes()
    bank = Bank.open(tmp_path / "a")
    assert len(bank) == 4
    assert len(set(bank.lengths.tolist())) > 1
    for i in range(4):
        assert bank[i][bank.delays[i]] == pytest.approx(1, abs=1e-4)
    assert not np.array_equal(
        random_response(config, rng_for(5, "room", 0)), random_response(config, rng_for(6, "r"))
    )


def test_recorded_noises_are_resampled_cut_and_the_useless_ones_named(tmp_path):
    rng = np.random.default_rng(0)
    clips = {"a": rng.uniform(-0.1, 0.1, 44100 * 2), "b": np.zeros(44100), "c": None}
    utterances = []
    for name, audio in clips.items():
        if audio is not None:
            soundfile.write(tmp_path / f"{name}.wav", np.stack([audio, audio], 1), 44100)
        utterances.append(Utterance(utt_id=name, recording=name, speaker="n",
                                    source=str(tmp_path / f"{name}.wav")))  # fmt: skip
    write_kaldi(tmp_path / "data", utterances)
    config = BankConfig(num_coloured=2, num_babble=0, noise_s=1.5)
    write_noise(tmp_path / "noise", config, 0, None, tmp_path / "data")
    bank = Bank.open(tmp_path / "noise")
    assert bank.kinds == ["coloured", "coloured", "recorded", "recorded"]
    assert bank.lengths.tolist() == [24000, 24000, 24000, 8000]
    reasons = {d.utt_id: d.reason for d in read_dropped(tmp_path / "noise/dropped.tsv")}
    assert reasons == {"b": "silent or too short", "c": "unreadable"}


def test_a_bank_is_known_by_the_content_of_its_clips(tmp_path):
    prints = []
    for value in (1.0, 1.0, 0.5):
        write_bank(tmp_path, [Clip(samples=np.full(5, value), kind="k")])
        prints.append(Bank.open(tmp_path).fingerprint)
    assert prints[0] == prints[1] != prints[2]
    assert read_json(tmp_path / "bank.json")["sha256"] == sha256_file(tmp_path / "bank.f32")


def test_a_noise_recording_with_other_content_redoes_the_noise_bank_alone(tmp_path, monkeypatch):
    units = []
    monkeypatch.setattr(prepare_augment, "run_units", lambda some, args: units.append(some))
    path = tmp_path / "a.wav"
    write_kaldi(
        tmp_path / "data/noise",
        [Utterance(utt_id="a", recording="a", speaker="n", source=str(path))],
    )
    (tmp_path / "conf.yaml").write_text("seed: 1\n")
    (tmp_path / "dump/train").mkdir(parents=True)
    (tmp_path / "dump/train/index.arrow").write_bytes(b"")
    for size in (10, 10, 20):
        if not path.exists() or path.stat().st_size != size:
            path.write_bytes(bytes(size))
        prepare_augment.main(
            ["--conf", str(tmp_path / "conf.yaml"), "--data", str(tmp_path / "data"),
             "--dump", str(tmp_path / "dump")]
        )  # fmt: skip
    noise, rirs = ([fingerprint(pair[i]) for pair in units] for i in range(2))
    assert noise[0] == noise[1] != noise[2]
    assert len(set(rirs)) == 1
