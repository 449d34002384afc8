import numpy as np
import pytest
import soundfile

from espnet2.bin import prepare_augment
from espnet2.data.banks import Bank
from espnet2.data.banks.noise import coloured, write_noise
from espnet2.data.config import BankConfig
from espnet2.data.kaldi import Utterance, write_kaldi
from espnet2.data.tsv import read_dropped
from espnet2.utils.errors import ConfigError
from espnet2.utils.seeding import rng_for
from espnet2.utils.units import fingerprint
from espnet2.utils.work import load_entry


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0])
def test_noise_has_the_colour_asked_for(exponent):
    audio = coloured(160_000, exponent, rng_for(0, "c"))
    power = np.abs(np.fft.rfft(audio)) ** 2
    octaves = [power[n : 2 * n].mean() for n in (1000, 2000, 4000, 8000, 16000)]
    np.testing.assert_allclose(np.diff(np.log2(octaves)), -exponent, atol=0.15)


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
    assert bank.kinds == {"coloured": 2, "recorded": 2}
    assert bank.lengths.tolist() == [24000, 24000, 24000, 8000]
    reasons = {d.utt_id: d.reason for d in read_dropped(tmp_path / "noise/dropped.tsv")}
    assert reasons == {"b": "silent or too short", "c": "unreadable"}


def test_folders_of_noise_are_downmixed_resampled_and_cut(tmp_path):
    given = tmp_path / "given"
    given.mkdir()
    time_s = np.arange(2 * 48000) / 48000
    left, right = (0.1 * np.sin(2 * np.pi * hz * time_s) for hz in (440, 1000))
    soundfile.write(given / "stereo.wav", np.stack([left, right], 1), 48000, "PCM_24")
    soundfile.write(given / "one_sample.wav", np.ones(1), 16000)
    soundfile.write(given / "silent.flac", np.zeros(16000), 16000)
    soundfile.write(given / "nan.wav", np.full(16000, np.nan), 16000, "FLOAT")
    (given / "broken.ogg").write_bytes(b"OggS and no more")
    config = BankConfig(num_coloured=0, num_babble=0, noise_s=1.5, noise_dirs=[str(given)])
    result = write_noise(tmp_path / "noise", config, 0, None, None)
    bank = Bank.open(tmp_path / "noise")
    assert (result, bank.kinds) == ({"noises": 2, "dropped": 4}, {"folder": 2})
    assert bank.lengths.tolist() == [24000, 8000]
    expected = 0.05 * sum(np.sin(2 * np.pi * hz * np.arange(24000) / 16000) for hz in (440, 1000))
    np.testing.assert_allclose(bank[0][100:-100], expected[100:-100], atol=1e-3)
    reasons = {d.utt_id: d.reason for d in read_dropped(tmp_path / "noise/dropped.tsv")}
    assert reasons == {
        "broken.ogg": "unreadable", "nan.wav": "unreadable",
        "one_sample.wav": "silent or too short", "silent.flac": "silent or too short",
    }  # fmt: skip


def test_settings_that_cannot_be_used_are_refused():
    with pytest.raises(ConfigError, match="musan_parts must be of music, noise, speech; got 'bar'"):
        BankConfig(musan_parts=["noise", "bar"])
    with pytest.raises(ConfigError, match=r"augment.rir_s must be positive, got 0"):
        BankConfig(rir_s=0)


@pytest.fixture
def units_of(tmp_path, monkeypatch):
    """A function that gives stage 6's two fingerprints for some overrides."""
    units = []
    monkeypatch.setattr(prepare_augment, "run_units", lambda some, args: units.append(some) or 1)
    write_kaldi(
        tmp_path / "data/noise",
        [Utterance(utt_id="a", recording="a", speaker="n", source=str(tmp_path / "a.wav"))],
    )
    (tmp_path / "conf.yaml").write_text("seed: 1\n")
    (tmp_path / "dump/train").mkdir(parents=True)
    for name in ("index.arrow", "index.json"):
        (tmp_path / "dump/train" / name).write_bytes(b"")

    def run(*settings):
        options = [text for setting in settings for text in ("--set", setting)]
        prepare_augment.main(
            ["--conf", str(tmp_path / "conf.yaml"), "--data", str(tmp_path / "data"),
             "--dump", str(tmp_path / "dump"), *options]
        )  # fmt: skip
        for unit in units[-1]:
            load_entry(unit.entry)  # it is only named; a module that was moved is found here
        return [fingerprint(unit) for unit in units[-1]]

    return run


def test_a_noise_recording_with_other_content_redoes_the_noise_bank_alone(tmp_path, units_of):
    noise, rooms = set(), set()
    for size in (10, 10, 20):
        if not (path := tmp_path / "a.wav").exists() or path.stat().st_size != size:
            path.write_bytes(bytes(size))
        prints = units_of()
        noise.add(prints[0])
        rooms.add(prints[1])
    assert (len(noise), len(rooms)) == (2, 1)


def test_a_changed_file_of_a_folder_redoes_its_own_bank_alone(tmp_path, units_of):
    prints = []
    for size in (10, 20):
        (tmp_path / "rooms").mkdir(exist_ok=True)
        (tmp_path / "rooms/r.wav").write_bytes(bytes(size))
        prints.append(units_of(f"augment.rir_dirs=[{tmp_path / 'rooms'}]"))
    assert prints[0][0] == prints[1][0]
    assert prints[0][1] != prints[1][1]
    with pytest.raises(
        ConfigError, match=r"augment.noise_dirs: .*/nowhere: no such folder; put audio of"
    ):
        units_of(f"augment.noise_dirs=[{tmp_path / 'nowhere'}]")
