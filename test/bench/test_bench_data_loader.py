"""``bench data``, loader: one set of speech in three forms, and what the sides make of it."""

import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from espnet2.bench.data_audio import few_clips, joined, make_set, recorded, speech, spoken
from espnet2.bench.data_loader import HERE, cost_row, settings, speed_row
from espnet2.bench.sides import Worker
from espnet2.data.banks import Bank
from espnet2.data.config import BankConfig
from espnet2.data.index import Index
from espnet2.utils.errors import ConfigError

AUDIO_S = 40.0


@pytest.fixture(scope="module")
def dump(tmp_path_factory):
    """A dump folder with one corpus of a few synthetic sentences."""
    folder = tmp_path_factory.mktemp("dump")
    sources = spoken(folder / "spoken", 16)
    (folder / "voices").mkdir()
    lines = [f"utt{n} {next(sources)}\n" for n in range(4)]
    (folder / "voices" / "wav.scp").write_text("".join(lines))
    return folder


@pytest.fixture(scope="module")
def audio(dump, tmp_path_factory):
    """A set of 40 s of it."""
    return make_set(tmp_path_factory.mktemp("set"), dump, AUDIO_S, few_clips(BankConfig()))


def test_the_set_holds_the_audio_that_was_asked_for(audio):
    assert AUDIO_S <= audio.seconds < AUDIO_S + 15
    index = Index.open(audio.folder / "dump" / "train")
    seconds = np.asarray(index.num_samples) / 16000
    assert len(index) == audio.utterances
    assert seconds.sum() == pytest.approx(audio.seconds)
    assert 10 <= seconds.min() <= seconds.max() <= 15
    assert audio.origin.startswith("speech of ")
    assert audio.origin.endswith("(voices)")


def test_every_form_holds_the_same_audio(audio):
    index = Index.open(audio.folder / "dump" / "train")
    lines = (audio.folder / "wav.scp").read_text().splitlines()
    shapes = dict(line.split() for line in (audio.folder / "shape").read_text().splitlines())
    for i, line in enumerate(lines):
        utt_id, source = line.split(maxsplit=1)
        assert utt_id == index.utt_ids[i]
        ark, offset = source.rsplit(":", 1)
        with open(ark, "rb") as file:
            file.seek(int(offset))
            assert file.read(5) == b"AUDIO"
        flac, rate_hz = soundfile.read(audio.folder / "flac" / f"{utt_id}.flac", dtype="float32")
        assert rate_hz == 16000
        assert np.array_equal(flac, index.audio(i))
        assert int(shapes[utt_id]) == len(flac)
    assert len(lines) == len(index)


def test_the_peers_read_the_clips_of_our_banks(audio):
    for kind, count in (("noise", 4), ("rirs", 4)):
        bank = Bank.open(audio.folder / "dump" / kind)
        lines = (audio.folder / f"{kind}.scp").read_text().splitlines()
        assert len(bank) == len(lines) == count
        last, _ = soundfile.read(lines[-1].split(maxsplit=1)[1], dtype="float32")
        assert np.array_equal(last, bank[count - 1])


def test_a_folder_without_speech_is_refused_with_a_hint(tmp_path):
    with pytest.raises(ConfigError, match=r"no <corpus>/wav.scp in it; give --dump the dump fold"):
        next(recorded(tmp_path))
    (tmp_path / "gone").mkdir()
    (tmp_path / "gone" / "wav.scp").write_text("u /nowhere/u.flac\n")
    sources, _ = speech(tmp_path, tmp_path, 10)
    with pytest.raises(ConfigError, match=r"/nowhere/u.flac.*run stage 2 of that recipe again"):
        next(joined(sources, 10))


def asked(folder, side, is_ours):
    """Answers of a side: what it is, and the audio of its three passes."""
    log = folder / f"{side}.log"
    with Worker(Path(sys.executable), is_ours, log, HERE / f"loader_{side}.py") as worker:
        opened = worker.ask("open", **settings(folder))
        passes = [
            worker.ask("decode"),
            worker.ask("batches", is_augmented=False, number=0),
            worker.ask("batches", is_augmented=True, number=1),
        ]
    assert all(answer["seconds"][0] > 0 and answer["cpu_s"] > 0 for answer in passes)
    return opened, [answer["audio_s"] for answer in passes]


def test_our_side_delivers_a_pass(audio):
    opened, (decoded, plain, augmented) = asked(audio.folder, "ours", is_ours=True)
    assert opened["version"]
    assert decoded == pytest.approx(audio.seconds)
    # A pass of so few utterances is a whole number of batches only by chance.
    assert 0.5 * audio.seconds < plain == augmented < 1.5 * audio.seconds


def test_lhotse_delivers_all_audio(audio):
    pytest.importorskip("lhotse")
    opened, seconds = asked(audio.folder, "lhotse", is_ours=False)
    assert opened["version"].startswith("1.")
    assert seconds == pytest.approx([audio.seconds] * 3, rel=1e-3)


def answer(audio_s, seconds):
    return {"audio_s": audio_s, "seconds": [seconds], "cpu_s": seconds}


def test_a_speed_is_compared_within_its_round():
    # The machine was twice as slow in the second round; the ratios do not see it.
    rounds = [
        [answer(100, 0.05), answer(100, 0.1), answer(90, 0.1)],
        [answer(100, 0.1), answer(100, 0.2), answer(90, 0.3)],
        [answer(100, 0.05), answer(100, 0.1), answer(90, 0.09)],
    ]
    assert speed_row("batches", rounds) == (
        "batches", "2,000 ×", "1,000 ×", "900 ×",
        "2.00 × as fast (2.00 to 2.00)", "2.22 × as fast (2.00 to 3.33)",
    )  # fmt: skip


def test_augmentation_costs_the_difference_of_the_passes():
    plain = [[answer(1000, 0.2), answer(1000, 0.3), answer(1000, 0.2)]]
    wet = [[answer(1000, 0.3), answer(1000, 0.8), answer(1000, 0.4)]]
    assert cost_row(wet, plain) == (
        "augmentation of 100 s", "10.0 ms", "50.0 ms", "20.0 ms", "0.20 of its time",
        "0.50 of its time",
    )  # fmt: skip
