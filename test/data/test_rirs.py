import numpy as np
import pytest
import soundfile

from espnet2.data.augment import direct_path, reverberate
from espnet2.data.banks import Bank
from espnet2.data.banks.rirs import trimmed, write_rirs
from espnet2.data.config import BankConfig
from espnet2.data.tsv import read_dropped
from espnet2.utils.errors import DataError
from espnet2.utils.files import sha256_file


def response(delay, taps=4000, sign=1.0, decay=200.0, seed=0):
    """A response with a clear direct path at ``delay`` and an exponential tail after it."""
    tail = np.random.default_rng(seed).standard_normal(taps) * np.exp(-np.arange(taps) / decay)
    rir = np.zeros(delay + taps)
    rir[delay:] = 0.2 * tail
    rir[delay] = sign
    return rir


def bank_of(tmp_path, **options):
    config = BankConfig(rir_dirs=[str(tmp_path / "given")], **options)
    write_rirs(tmp_path / "bank", config, seed=3)
    return Bank.open(tmp_path / "bank")


@pytest.fixture
def given(tmp_path):
    (tmp_path / "given").mkdir()
    return tmp_path / "given"


def test_one_channel_is_kept_and_never_a_mean(tmp_path, given):
    channels = [response(delay, seed=delay) for delay in (50, 90, 130, 170)]
    array = np.stack([c[:4050] for c in channels], axis=1)  # (taps, 4)
    for name in "abcdefgh":
        soundfile.write(given / f"{name}.wav", array, 16000, "FLOAT")
    bank = bank_of(tmp_path)
    assert set(bank.delays.tolist()) <= {50, 90, 130, 170}
    assert len(set(bank.delays.tolist())) > 1
    for i in range(8):
        one = channels[(50, 90, 130, 170).index(bank.delays[i])]
        np.testing.assert_allclose(bank[i], one[: bank.lengths[i]], atol=1e-6)


def test_the_channel_depends_on_the_name_alone(tmp_path, given):
    array = np.stack([response(50), response(90)[:4050]], axis=1)
    for name in "cde":
        soundfile.write(given / f"{name}.wav", array, 16000, "FLOAT")
    before = bank_of(tmp_path).delays.tolist()
    soundfile.write(given / "a.wav", array, 16000, "FLOAT")
    assert bank_of(tmp_path).delays.tolist()[1:] == before


@pytest.mark.parametrize("rate_hz", [8000, 44100, 48000])
def test_another_rate_keeps_the_place_of_the_direct_path(tmp_path, given, rate_hz):
    soundfile.write(given / "a.wav", response(rate_hz // 100, sign=-1), rate_hz, "FLOAT")
    bank = bank_of(tmp_path)
    assert bank.delays.tolist() == [160]  # 10 ms
    assert bank[0][160] == -1


def test_the_decayed_tail_is_cut_and_the_silence_before_the_direct_path_kept():
    rir = response(300, taps=16_000, decay=200.0)
    short = trimmed(rir, 1.0)
    assert direct_path(short) == direct_path(rir) == 300
    # Energy falls as exp(-2 t / 200): 60 dB take 200 ln(10 ** 6) / 2 = 1382 taps.
    assert len(short) == pytest.approx(300 + 1382, abs=250)
    lost = np.sum(rir[len(short) :] ** 2) / np.sum(rir**2)
    assert 0 < lost <= 1e-6
    assert len(trimmed(rir, 0.05)) == 300 + 1 + 800
    audio = np.random.default_rng(1).standard_normal(20_000).astype(np.float32)
    np.testing.assert_allclose(
        reverberate(audio, short, 300), reverberate(audio, rir, 300), atol=0.01
    )


def test_what_is_no_impulse_response_is_dropped_with_a_reason(tmp_path, given):
    soundfile.write(given / "good.wav", response(10), 16000, "FLOAT")
    soundfile.write(given / "nan.wav", np.full(500, np.nan), 16000, "FLOAT")
    soundfile.write(given / "short.wav", np.ones(3), 16000, "FLOAT")
    soundfile.write(given / "silent.wav", np.zeros(500), 16000, "FLOAT")
    soundfile.write(given / "zero.wav", np.zeros(0), 16000, "FLOAT")
    (given / "text.wav").write_text("no audio")
    assert len(bank_of(tmp_path)) == 1
    dropped = {d.utt_id: d for d in read_dropped(tmp_path / "bank/dropped.tsv")}
    assert {name: d.reason for name, d in dropped.items()} == {
        "nan.wav": "unreadable", "short.wav": "too short", "silent.wav": "silent",
        "text.wav": "unreadable", "zero.wav": "too short",
    }  # fmt: skip
    assert "NaN" in dropped["nan.wav"].detail
    (given / "good.wav").unlink()
    with pytest.raises(DataError, match="no usable impulse response; .*dropped.tsv says why"):
        bank_of(tmp_path)


def test_a_listed_file_that_is_missing_has_a_row(tmp_path, given):
    real = given / "RIRS_NOISES/real_rirs_isotropic_noises"
    real.mkdir(parents=True)
    soundfile.write(real / "a.wav", response(10), 16000, "FLOAT")
    (real / "rir_list").write_text("".join(f"--rir-id 1 x/{name}.wav\n" for name in "ab"))
    assert bank_of(tmp_path).kinds == {"slr28/real": 1}
    (row,) = read_dropped(tmp_path / "bank/dropped.tsv")
    assert row.utt_id.endswith("real_rirs_isotropic_noises/b.wav")
    assert row.detail.endswith("no such file")


def test_the_same_files_give_the_same_bank(tmp_path, given):
    for i in range(3):
        soundfile.write(given / f"{i}.wav", response(20 + i, seed=i), 48000, "FLOAT")
    hashes = set()
    for _ in range(2):
        bank_of(tmp_path)
        hashes.add(sha256_file(tmp_path / "bank/bank.f32"))
    assert len(hashes) == 1
