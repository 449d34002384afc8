"""The test split in noise and in rooms: what is done to it, and that none of it is training's."""

import hashlib

import kaldiio
import numpy as np
import pytest
import soundfile
from toy_dump import write_set
from toy_talk import talk

from espnet2.data.augment import speech_power
from espnet2.data.banks import Bank
from espnet2.data.banks.noise import write_noise
from espnet2.data.banks.rooms import write_rooms
from espnet2.data.config import BankConfig
from espnet2.data.corrupt import corrupt_part, join, reverberation_s, write_banks
from espnet2.data.kaldi import Utterance, read_kaldi, write_kaldi, write_table
from espnet2.data.superb import CorruptConfig
from espnet2.data.tsv import read_dropped, read_rows
from espnet2.utils.errors import DataError
from espnet2.utils.files import read_json

BANKS = BankConfig(
    num_coloured=3, num_babble=3, babble_voices=2, noise_s=0.9, num_rirs=3, t60_s=(0.15, 0.25)
)
BOTH = CorruptConfig(banks=BANKS)


def write_split(folder, clips):
    """A Kaldi directory of ``{utt_id: int16 samples}``, as stage 10 leaves it."""
    (folder / "wav").mkdir(parents=True)
    for utt_id, samples in clips.items():
        soundfile.write(folder / "wav" / f"{utt_id}.wav", samples, 16000, "PCM_16")
    write_kaldi(
        folder,
        [
            Utterance(utt_id=u, recording=u, source=str(folder / "wav" / f"{u}.wav"), speaker=u,
                      language="fra", text=f"TEXT {u}", duration_s=len(clips[u]) / 16000)
            for u in clips
        ],
    )  # fmt: skip
    write_table(folder / "utt2corpus", dict.fromkeys(clips, "toy"))
    return folder


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Folder with ``dev``, ``test`` (one clip silent, one loud, one broken) and ``banks``."""
    root = tmp_path_factory.mktemp("sets")
    write_split(root / "dev", {f"d{i}": talk(50 + i) for i in range(4)})
    clips = {f"t{i}": talk(i, 12000 + 4000 * i) for i in range(4)}
    clips |= {"loud": talk(9, level=0.4), "silent": np.zeros(8000, np.int16)}
    clips |= {"torn": talk(8)}
    write_split(root / "test", clips)
    (root / "test/wav/torn.wav").write_bytes(b"RIFF")
    write_table(root / "test/text_phones", {"t1": "t ian1"})  # one language's
    write_banks(root / "dev", BOTH, root / "banks")
    return root


def corrupted(sets, out, config=BOTH, edges=(0, 7), banks=None):
    """The corrupted directory, made in parts that meet at ``edges``."""
    banks = banks or sets / "banks"
    arks = []
    for number, (first, last) in enumerate(zip(edges, edges[1:], strict=False)):
        arks.append(out / f"audio/{number:03d}.ark")
        corrupt_part(sets / "test", first, last, config, banks, arks[-1])
    join(sets / "test", arks, banks, out)
    return out


def audio_of(folder):
    """utt_id -> (samples,) float, as kaldiio reads it; what could not be read left out."""
    lines = (folder / "wav.scp").read_text().splitlines()
    scp = dict(line.split(maxsplit=1) for line in lines if ".ark:" in line)
    return {u: kaldiio.load_mat(address)[1] for u, address in scp.items()}


def conditions(folder):
    return {row["utt_id"]: row for row in read_rows(folder / "conditions.tsv")}


def clean(sets, utt_id):
    return soundfile.read(sets / "test/wav" / f"{utt_id}.wav")[0]


def likeness(a, b):
    """Highest correlation of two whitened clips at any shift: 1 for a copy, whatever its level."""
    size = len(a) + len(b)
    spectrum = np.fft.rfft(a, size) * np.conj(np.fft.rfft(b, size))
    return float(np.fft.irfft(spectrum / np.maximum(np.abs(spectrum), 1e-12), size).max())


def training_banks(sets, out, seed):
    """Banks as stage 6 makes them, with the settings of the corrupted test."""
    if not (sets / "train").exists():
        clips = [talk(200 + i) for i in range(4)]
        labels = [np.zeros((len(clip) - 400) // 320 + 1, np.uint16) for clip in clips]
        write_set(sets / "train", clips, labels)
    write_noise(out / "noise", BANKS, seed, sets / "train/index.arrow", None)
    write_rooms(out / "rirs", BANKS, seed)
    return Bank.open(out / "noise"), Bank.open(out / "rirs")


def test_no_noise_and_no_room_is_one_of_the_training_banks(sets, tmp_path):
    noise, rirs = Bank.open(sets / "banks/noise"), Bank.open(sets / "banks/rirs")
    assert noise.kinds == {"coloured": 3, "babble": 3}
    assert rirs.kinds == {"shoebox": 3}
    for seed in (BOTH.seed, 1, 2):  # the same settings, and even the same number as a seed
        theirs, their_rooms = training_banks(sets, tmp_path / str(seed), seed)
        assert max(likeness(noise[a], theirs[b]) for a in range(6) for b in range(6)) < 0.6
        digests = [
            {hashlib.sha256(bank[i].tobytes()).digest() for i in range(len(bank))}
            for bank in (noise, theirs, rirs, their_rooms)
        ]
        assert digests[0].isdisjoint(digests[1])
        assert digests[2].isdisjoint(digests[3])
    again, _ = training_banks(sets, tmp_path / "again", 2)  # the measure tells a copy
    assert min(likeness(again[i], 0.5 * theirs[i]) for i in range(6)) > 0.9


def test_noise_lasts_as_long_as_the_utterance_at_the_ratio_that_is_written_down(sets, tmp_path):
    config = CorruptConfig(banks=BANKS, rir_prob=0.0, noise_snr_db=(5.0, 10.0))
    out = corrupted(sets, tmp_path / "out", config)
    heard, rows = audio_of(out), conditions(out)
    for utt_id in ("t0", "t1", "t2", "t3", "loud"):
        speech = clean(sets, utt_id)
        noise = heard[utt_id] / float(rows[utt_id]["scale"]) - speech
        snr_db = 10 * np.log10(speech_power(speech) / np.mean(noise**2))
        assert snr_db == pytest.approx(float(rows[utt_id]["snr_db"]), abs=0.05)
        assert 5 <= snr_db <= 10.01
        quarters = [np.mean(part**2) for part in np.array_split(noise, 4)]
        assert min(quarters) > 0.1 * max(quarters)  # nowhere without noise
        assert (rows[utt_id]["room"], rows[utt_id]["t60_s"]) == ("", "")


def test_a_loud_utterance_is_turned_down_and_not_clipped(sets, tmp_path):
    config = CorruptConfig(banks=BANKS, noise_snr_db=(0.0, 0.0), rir_prob=0.0)
    out = corrupted(sets, tmp_path / "out", config)
    heard, rows = audio_of(out)["loud"], conditions(out)
    assert float(rows["loud"]["scale"]) < 0.9
    assert np.abs(heard).max() == pytest.approx(0.99, abs=1e-4)
    assert rows["t0"]["scale"] == "1.0000"


def test_a_room_leaves_length_and_onset_and_adds_a_tail(sets, tmp_path):
    out = corrupted(sets, tmp_path / "out", CorruptConfig(banks=BANKS, noise_prob=0.0))
    heard, rows = audio_of(out), conditions(out)
    for utt_id in ("t0", "t1", "t2", "t3"):
        speech = clean(sets, utt_id)
        assert heard[utt_id].shape == speech.shape
        shifts = np.fft.irfft(
            np.fft.rfft(heard[utt_id], 2**16) * np.conj(np.fft.rfft(speech, 2**16))
        )
        assert np.argmax(shifts) == 0  # the labels of the clean audio still fit
        pause = np.abs(speech) == 0
        assert np.mean(heard[utt_id][pause] ** 2) > 1e-4 * np.mean(heard[utt_id] ** 2)
        assert rows[utt_id]["snr_db"] == ""
        assert 0.05 < float(rows[utt_id]["t60_s"]) < 0.5


def test_audio_does_not_depend_on_how_the_split_is_divided(sets, tmp_path):
    one, three = (
        corrupted(sets, tmp_path / str(len(edges)), edges=edges) for edges in ((0, 7), (0, 1, 4, 7))
    )
    assert (one / "conditions.tsv").read_bytes() == (three / "conditions.tsv").read_bytes()
    a, b = audio_of(one), audio_of(three)
    assert a.keys() == b.keys() == {"t0", "t1", "t2", "t3", "loud", "silent"}
    assert all(np.array_equal(a[u], b[u]) for u in a)


def test_tests_that_differ_in_one_thing_share_the_rest(sets, tmp_path):
    both = conditions(corrupted(sets, tmp_path / "both"))
    near = CorruptConfig(banks=BANKS, noise_snr_db=(20.0, 20.0))
    noisy = CorruptConfig(banks=BANKS, rir_prob=0.0)
    other = CorruptConfig(banks=BANKS, seed=1)
    quiet, dry, moved = (
        conditions(corrupted(sets, tmp_path / str(i), config))
        for i, config in enumerate((near, noisy, other))
    )
    for utt_id in ("t0", "t1", "t2", "t3", "loud"):
        assert quiet[utt_id]["snr_db"] == "20.00"
        assert [quiet[utt_id][c] for c in ("noise", "room")] == [
            both[utt_id][c] for c in ("noise", "room")
        ]
        assert [dry[utt_id][c] for c in ("noise", "snr_db")] == [
            both[utt_id][c] for c in ("noise", "snr_db")
        ]
        assert moved[utt_id]["snr_db"] != both[utt_id]["snr_db"]


def test_every_utterance_keeps_its_id_text_and_language(sets, tmp_path):
    out = corrupted(sets, tmp_path / "out")
    tables = ("text", "text_phones", "utt2lang", "utt2spk", "utt2dur", "utt2corpus", "spk2utt")
    for name in tables:
        assert (out / name).read_bytes() == (sets / "test" / name).read_bytes()
    sources = {u.utt_id: u.source for u in read_kaldi(out)}
    assert sources.pop("torn") == str(sets / "test/wav/torn.wav")  # stays, and stays broken
    assert sources["t0"].startswith(str(out / "audio/000.ark:"))
    assert [(d.utt_id, d.reason) for d in read_dropped(out / "dropped.tsv")] == [
        ("torn", "unreadable audio")
    ]
    assert not audio_of(out)["silent"].any()
    assert list(conditions(out)["silent"].values()) == ["silent", "", "", "", "", "1.0000"]
    facts = read_json(out / "conditions.json")
    assert facts["utterances"] == 6
    assert facts["snr_db"]["utterances"] == facts["t60_s"]["utterances"] == 5
    assert 0 <= facts["snr_db"]["min"] < facts["snr_db"]["mean"] < facts["snr_db"]["max"] <= 15


@pytest.mark.parametrize("t60_s", [0.1, 0.3, 0.8])
def test_reverberation_time_is_measured_on_the_response(t60_s):
    seconds = np.arange(int(1.2 * t60_s * 16000)) / 16000
    tail = np.random.default_rng(3).standard_normal(len(seconds)) * 10 ** (-3 * seconds / t60_s)
    assert reverberation_s(np.concatenate([np.zeros(100), tail])) == pytest.approx(t60_s, rel=0.06)


def test_an_echoless_response_has_no_reverberation_time():
    assert reverberation_s(np.eye(1, 40, 7)[0]) == 0.0


def test_banks_without_noise_are_refused_where_noise_is_asked_for(sets, tmp_path):
    banks = BankConfig(num_coloured=0, num_babble=0, num_rirs=1, t60_s=(0.15, 0.2))
    with pytest.raises(DataError, match="noise_prob is 1.0, but banks leaves no noise"):
        write_banks(sets / "dev", CorruptConfig(banks=banks), tmp_path)
    result = write_banks(sets / "dev", CorruptConfig(banks=banks, noise_prob=0.0), tmp_path)
    assert result == {"noises": 0, "rirs": 1}
