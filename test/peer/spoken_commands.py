"""Spoken commands in the layouts that two SUPERB tasks read, said by a synthesizer."""

import hashlib
import itertools
import json
import subprocess
import sys

import numpy as np
import soundfile
import soxr

VOICES = ("en+m1", "en+m3", "en+f2", "en+f4")  # the third is for validation, the fourth for tests
INTENTS = {  # what is said: action, object, location
    "change the language": ("change", "language", "none"),
    "switch on the lights in the kitchen": ("activate", "lights", "kitchen"),
    "stop the music": ("deactivate", "music", "none"),
    "get me the newspaper": ("bring", "newspaper", "none"),
}
WORDS = ("yes", "no", "left", "stop")


def speak(folder, texts):
    """{(voice, text): samples at 16 kHz} of every text by every voice."""
    pairs = list(itertools.product(VOICES, texts))
    lines = [
        {"utt_id": f"utt{n}", "text": text, "voice": voice, "rate_wpm": 170, "pitch": 50, "seed": n}
        for n, (voice, text) in enumerate(pairs)
    ]
    job = {"folder": f"{folder}/spoken", "lines": lines, "phones": f"{folder}/phones.ctm"}
    (folder / "job.json").write_text(json.dumps(job))
    command = [sys.executable, "-m", "espnet2.data.corpora.espeak", folder / "job.json"]
    subprocess.run(command, check=True)
    spoken = {}
    for n, pair in enumerate(pairs):
        samples, rate_hz = soundfile.read(f"{folder}/spoken/utt{n}.wav", dtype="float32")
        spoken[pair] = soxr.resample(samples, rate_hz, 16000)
    return spoken


def write_intents(root):
    """The layout of Fluent Speech Commands: intent classification."""
    (root / "data").mkdir(parents=True)
    (root / "wavs").mkdir()
    rows = {"train": [], "valid": [], "test": []}
    for n, ((voice, text), samples) in enumerate(speak(root, INTENTS).items()):
        soundfile.write(root / f"wavs/{n}.wav", samples, 16000)
        part = ("train", "train", "valid", "test")[VOICES.index(voice)]
        rows[part].append(",".join([f"wavs/{n}.wav", voice, text, *INTENTS[text]]))
    for part, values in rows.items():
        header = "path,speakerId,transcription,action,object,location"
        (root / f"data/{part}_data.csv").write_text("\n".join([header, *values]) + "\n")


def write_keywords(root):
    """The layout of Speech Commands v1, train and test: keyword spotting."""
    train, valid = ([s for s in map(str, range(99)) if is_valid(s) == v][:2] for v in (False, True))
    names = dict(zip(VOICES, [*train, valid[0], "test"], strict=True))
    root.mkdir()
    for (voice, word), samples in speak(root, WORDS).items():
        part = "test" if names[voice] == "test" else "train"
        write(root / part / word / f"{names[voice]}_nohash_0.wav", samples)
    noise = np.random.default_rng(1).normal(0, 0.01, 48000)
    write(root / "train/_background_noise_/white.wav", noise)
    write(root / "test/_silence_/white.wav", noise[:16000])


def is_valid(speaker):
    """Whether the corpus's rule puts the speaker into its validation set; None for its tests."""
    most = 2**27 - 1
    share = int(hashlib.sha1(speaker.encode()).hexdigest(), 16) % (most + 1) * 100 / most
    return True if share < 10 else None if share < 20 else False


def write(path, samples):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, 16000)
