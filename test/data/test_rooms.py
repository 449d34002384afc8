import os
import subprocess
import sys

import numpy as np
import pytest

from espnet2.data.banks import Bank
from espnet2.data.banks.rooms import random_response, room_response, travel_samples, write_rooms
from espnet2.data.config import BankConfig
from espnet2.utils.errors import ConfigError
from espnet2.utils.files import sha256_file
from espnet2.utils.seeding import rng_for

SMALL = BankConfig(num_rirs=4, t60_s=(0.15, 0.2))


def test_the_first_taps_of_a_room_are_the_direct_path_and_the_floor():
    room = np.array([7.0, 6.0, 3.0])
    source, microphone = np.array([2.0, 3.0, 1.0]), np.array([4.0, 3.0, 1.0])
    response = room_response(room, source, microphone, t60_s=0.2)
    direct, floor = (round(travel_samples(d)) for d in (2.0, np.sqrt(8.0)))
    assert np.argmax(np.abs(response)) == direct
    # The floor is 1 m below both: it mirrors the source, and absorbs as Sabine says.
    absorption = 24 * np.log(10) * room.prod() / (343 * 162 * 0.2)
    expected = np.sqrt(1 - absorption) * 2 / np.sqrt(8)
    energies = [np.sum(response[tap - 3 : tap + 4] ** 2) for tap in (direct, floor)]
    assert np.sqrt(energies[1] / energies[0]) == pytest.approx(expected, rel=0.15)


def test_a_room_decays_by_sixty_db_in_about_its_reverberation_time():
    response = room_response(
        np.array([6.0, 5, 3.1]), np.array([2.1, 1.7, 1.4]), np.array([4.2, 3.3, 1.6]), 0.3
    )
    remaining = np.cumsum((response**2)[::-1])[::-1]
    level_db = 10 * np.log10(np.maximum(remaining / remaining[0], 1e-12))
    early, late = (np.argmax(level_db < db) for db in (-5, -25))
    assert 3 * (late - early) / 16000 == pytest.approx(0.3, rel=0.3)


def test_every_direct_path_is_clear_and_rooms_differ(tmp_path):
    write_rooms(tmp_path, SMALL, seed=5)
    bank = Bank.open(tmp_path)
    assert bank.kinds == {"shoebox": 4}
    assert len(set(bank.lengths.tolist())) == 4
    for i in range(4):
        assert np.abs(bank[i]).max() == bank[i][bank.delays[i]] == 1
    assert (tmp_path / "dropped.tsv").read_text() == "utt_id\treason\tdetail\n"
    other = random_response(SMALL, rng_for(6, "room", 0))
    assert not np.array_equal(bank[0], other)


def test_the_bank_is_the_same_in_another_process_with_other_threads(tmp_path):
    write_rooms(tmp_path / "here", SMALL, seed=5)
    code = (
        "import sys; from pathlib import Path; from espnet2.data.config import BankConfig;"
        "from espnet2.data.banks.rooms import write_rooms;"
        "write_rooms(Path(sys.argv[1]), BankConfig(num_rirs=4, t60_s=(0.15, 0.2)), 5)"
    )
    environment = {**os.environ, "PRA_NUM_THREADS": "3"}
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "there")], check=True, env=environment
    )
    here, there = (sha256_file(tmp_path / name / "bank.f32") for name in ("here", "there"))
    assert here == there


def test_rooms_too_large_for_their_time_are_drawn_again_or_refused():
    room = np.array([10.0, 10.0, 4.0])
    with pytest.raises(ValueError, match="too large"):
        room_response(room, room / 3, room / 2, t60_s=0.1)
    mixed = BankConfig(t60_s=(0.05, 0.2))  # mostly infeasible
    assert len(random_response(mixed, rng_for(0, "room", 0))) > 100
    with pytest.raises(ConfigError, match=r"none of 100 random rooms .*; widen t60_s"):
        random_response(BankConfig(t60_s=(0.01, 0.02)), rng_for(0, "room", 0))
