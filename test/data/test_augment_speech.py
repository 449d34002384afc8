"""Properties of augmentation on recorded speech: the mini recipe's downloads, where they are."""

from pathlib import Path

import numpy as np
import pytest
import torch
import webrtcvad
from toy_dump import write_set

from espnet2.data.audio import load_audio, to_int16
from espnet2.data.augment import MixConfig, augment, draw_mixture, mix, reverberate, speech_power
from espnet2.data.banks import Bank, write_bank
from espnet2.data.banks import Clip as BankClip
from espnet2.data.banks.rooms import simulate
from espnet2.data.config import BankConfig, PlanConfig
from espnet2.data.dataset import PretrainBatches
from espnet2.data.frames import num_frames
from espnet2.data.index import Index
from espnet2.data.labels import LabelStore
from espnet2.data.plan import Plan, build_plan
from espnet2.ssl.masking import Masker
from espnet2.ssl.part_configs import MaskConfig

DEBIAN = Path(__file__).parents[2] / "egs2/mini/ssl1/downloads/debian"
FILLETS = DEBIAN / "fillets-ng-data-nl/usr/share/games/fillets-ng/sound"
COUNT = 12

pytestmark = pytest.mark.skipif(
    not FILLETS.is_dir(), reason="needs recorded speech: egs2/mini/ssl1/run.sh --stop_stage 1"
)


@pytest.fixture(scope="module")
def speech():
    """Recorded utterances of at least 1.5 s, (samples,) float32 each."""
    long = (audio for path in sorted(FILLETS.rglob("*.ogg"))
            if len(audio := load_audio(str(path))) > 24_000)  # fmt: skip
    return [next(long) for _ in range(COUNT)]


@pytest.fixture(scope="module")
def rooms():
    """Simulated rooms, the first half of them upside down: negative direct paths."""
    clips = [clip.samples for clip in simulate(BankConfig(num_rirs=4, t60_s=(0.15, 0.3)), 1)]
    return [-clip for clip in clips[:2]] + clips[2:]


def vad_power(audio):
    """Mean square of the 10 ms frames that WebRTC's detector, at its strictest, calls speech."""
    detector = webrtcvad.Vad(3)
    frames = to_int16(audio)[: len(audio) // 160 * 160].reshape(-1, 160)
    is_speech = np.array([detector.is_speech(frame.tobytes(), 16000) for frame in frames])
    return np.mean(audio[: frames.size].reshape(-1, 160)[is_speech].astype(np.float64) ** 2)


def test_the_level_of_speech_agrees_with_another_detector(speech):
    ratio_db = [10 * np.log10(speech_power(audio) / vad_power(audio)) for audio in speech]
    whole_db = [10 * np.log10(np.mean(audio**2) / vad_power(audio)) for audio in speech]
    assert abs(np.median(ratio_db)) < 1
    assert np.abs(ratio_db).max() < 3
    assert np.abs(ratio_db).mean() <= np.abs(whole_db).mean()  # pauses are left out


@pytest.mark.parametrize("snr_db", [-5.0, 5.0, 20.0])
def test_the_ratio_holds_between_active_speech_and_the_mixed_stretch(speech, snr_db):
    for audio, other in zip(speech, speech[1:], strict=False):
        stretch = other[4000 : 4000 + len(audio) // 2][: len(audio) // 2]
        added = (mix(audio, stretch, snr_db, 1000) - audio)[1000 : 1000 + len(stretch)]
        level = vad_power(audio)  # an independent notion of active speech
        measured = 10 * np.log10(level / np.mean(added.astype(np.float64) ** 2))
        assert measured == pytest.approx(snr_db, abs=3)
        exact = 10 * np.log10(speech_power(audio) / np.mean(added.astype(np.float64) ** 2))
        assert exact == pytest.approx(snr_db, abs=0.01)


def test_a_mixture_covers_at_most_half_and_leaves_the_rest_alone(speech):
    shares = []
    for seed in range(40):
        audio, other = speech[seed % COUNT], speech[(seed + 1) % COUNT]
        mixture = draw_mixture(audio, other, (-5, 5), 0.5, np.random.default_rng(seed))
        changed = np.flatnonzero(augment(audio, mixture, None) != audio)
        assert changed[0] >= mixture.start
        assert changed[-1] < mixture.start + len(mixture.noise)
        shares.append(len(mixture.noise) / len(audio))
    assert max(shares) <= 0.5
    assert 0.15 < np.mean(shares) < 0.35


def whitened_correlation_peak(one, two):
    """Lag of ``two`` after ``one``, in samples, by generalised cross-correlation."""
    size = 2 * len(one)
    cross = np.conj(np.fft.rfft(one, size)) * np.fft.rfft(two, size)
    peak = int(np.argmax(np.abs(np.fft.irfft(cross / np.maximum(np.abs(cross), 1e-9)))))
    return peak - size if peak > size // 2 else peak


def test_reverberation_keeps_place_and_energy(speech, rooms):
    lags = []
    for audio in speech:
        for rir in rooms:
            wet = reverberate(audio, rir, int(np.argmax(np.abs(rir))))
            lags.append(whitened_correlation_peak(audio, wet))
            assert np.sum(wet.astype(np.float64) ** 2) == pytest.approx(
                np.sum(audio.astype(np.float64) ** 2), rel=1e-4
            )
    # A simulated direct path falls between two samples: now and then the other one is the peak.
    assert set(lags) <= {-1, 0, 1}
    assert lags.count(0) > 0.95 * len(lags)


def test_batches_of_speech_are_augmented_and_masked_as_often_as_asked(speech, rooms, tmp_path):
    clips = [to_int16(audio[:24_000]) for audio in speech]
    write_set(tmp_path / "toy", clips, [np.zeros(num_frames(24_000))] * COUNT)
    build_plan(
        tmp_path / "toy/index.arrow", tmp_path / "toy/plan",
        PlanConfig(batch_bins=COUNT * 24_000, num_buckets=1), seed=1,
    )  # fmt: skip
    write_bank(tmp_path / "rirs", [BankClip(samples=rir, kind="r") for rir in rooms])
    index = Index.open(tmp_path / "toy")
    batches = PretrainBatches(
        index, LabelStore.open(index, tmp_path / "toy/labels"), Plan.open(tmp_path / "toy/plan"),
        None, Bank.open(tmp_path / "rirs"),
        MixConfig(noise_prob=0.2, speech_share=1.0, rir_prob=0.3, augment_on="device"), seed=2,
    )  # fmt: skip
    masker = Masker(4, MaskConfig(mask_prob=0.8, mask_length=10, mask_selection="uniform"))
    shares, rows, mixed, wet = [], 0, 0, 0
    for step in range(60):
        (batch,) = batches.batch(step)
        text = batch["text"]
        is_masked = masker.draw(*text.shape, text.device, None, batch["mask_uniforms"])
        shares.append(float(is_masked.double().mean()))
        rows += len(text)
        mixed += len(batch.get("mix_rows", ()))
        wet += len(batch.get("room_rows", ()))
    assert mixed / rows == pytest.approx(0.2, abs=0.06)
    assert wet / rows == pytest.approx(0.3, abs=0.06)
    expected = masker.draw(4000, num_frames(24_000), torch.device("cpu"), None)
    assert np.mean(shares) == pytest.approx(float(expected.double().mean()), abs=0.02)
