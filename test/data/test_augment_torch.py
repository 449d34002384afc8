import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet2.data.augment import Mixture, Room, augment, direct_path, speech_power
from espnet2.data.augment_torch import augmented, packed
from espnet2.data.augment_torch import speech_power as batched_power

TOLERANCE = 1e-4  # of the largest magnitude
ON_DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=[
            pytest.mark.gpu,
            pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
        ],
    ),
]


def noise(n, seed=0, level=0.1):
    return (level * np.random.default_rng(seed).standard_normal(n)).astype(np.float32)


def talk(n, seed):
    """Noise with pauses, so that activity matters."""
    audio = noise(n, seed)
    audio[n // 5 : n // 2] *= 1e-3
    return audio


def drawn(rows, samples, seed):
    """Mixtures and rooms for about half of the rows, with every sign and length of room."""
    rng = np.random.default_rng(seed)
    mixtures, rooms = [], []
    for row in range(rows):
        size = int(rng.integers(1, samples // 2 + 2))
        mixtures.append(
            Mixture(noise=noise(size, 100 + row), snr_db=float(rng.uniform(-5, 20)),
                    start=int(rng.integers(0, samples - size + 1)))
            if rng.random() < 0.5 else None
        )  # fmt: skip
        taps = int(rng.integers(1, 900))
        rir = noise(taps, 200 + row) * np.exp(-np.arange(taps, dtype=np.float32) / 100)
        rir[taps // 3] = rng.choice([-1.0, 1.0])
        rooms.append(Room(rir=rir, delay=direct_path(rir)) if rng.random() < 0.5 else None)
    return mixtures, rooms


def on_device(speech, mixtures, rooms, device):
    batch = {"speech": torch.from_numpy(speech), **packed(mixtures, rooms)}
    return augmented({key: value.to(device) for key, value in batch.items()})


@pytest.mark.parametrize("device", ON_DEVICES)
@settings(max_examples=25, deadline=None)
@given(samples=st.integers(2, 40_000), seed=st.integers(0, 999))
def test_a_batch_equals_its_rows_augmented_one_by_one(device, samples, seed):
    speech = np.stack([talk(samples, seed + row) for row in range(5)])
    mixtures, rooms = drawn(5, samples, seed)
    result = on_device(speech, mixtures, rooms, device)
    assert list(result) == ["speech"]
    for row in range(5):
        expected = augment(speech[row], mixtures[row], rooms[row])
        np.testing.assert_allclose(
            result["speech"][row].cpu().numpy(), expected, rtol=0,
            atol=TOLERANCE * np.abs(expected).max(),
        )  # fmt: skip
        if mixtures[row] is None and rooms[row] is None:
            np.testing.assert_array_equal(result["speech"][row].cpu(), speech[row])


@settings(max_examples=40, deadline=None)
@given(samples=st.integers(1, 9000), seed=st.integers(0, 99))
def test_the_batched_power_of_speech_is_that_of_the_rows(samples, seed):
    speech = np.stack([talk(samples, seed), noise(samples, seed)])
    expected = [speech_power(row) for row in speech]
    assert batched_power(torch.from_numpy(speech)).tolist() == pytest.approx(expected, rel=1e-5)


def test_silence_a_silent_room_and_an_untouched_batch_come_back_as_they_were():
    speech = np.stack([np.zeros(3000, np.float32), noise(3000)])
    rooms = [Room(rir=noise(50), delay=3), Room(rir=np.zeros(50, np.float32), delay=0)]
    result = on_device(speech, [None, None], rooms, "cpu")["speech"]
    np.testing.assert_array_equal(result, speech)
    batch = {"speech": torch.from_numpy(speech), "text": torch.zeros(2)}
    assert packed([None, None], [None, None]) == {}
    assert augmented(batch) is batch


def test_the_batch_it_is_given_is_not_written_to_and_nothing_is_rounded_to_bfloat16():
    speech = np.stack([talk(9000, row) for row in range(3)])
    mixtures, rooms = drawn(3, 9000, 2)
    assert any(mixtures)
    assert any(rooms)
    batch = {"speech": torch.from_numpy(speech.copy()), **packed(mixtures, rooms)}
    with torch.autocast("cpu", torch.bfloat16):
        low = augmented(batch)["speech"]
    assert low.dtype == torch.float32
    assert torch.equal(low, augmented(batch)["speech"])
    np.testing.assert_array_equal(batch["speech"], speech)


@pytest.mark.parametrize("sign", [1, -1])
def test_an_impulse_keeps_its_place_on_a_device_too(sign):
    rir = np.zeros(900, np.float32)
    rir[130], rir[131:] = sign, 0.3 * noise(769, 4)
    speech = np.zeros((1, 5000), np.float32)
    speech[0, [700, 3000]] = 1.0
    wet = on_device(speech, [None], [Room(rir=rir, delay=130)], "cpu")["speech"][0]
    assert sorted(wet.abs().argsort(descending=True)[:2].tolist()) == [700, 3000]
