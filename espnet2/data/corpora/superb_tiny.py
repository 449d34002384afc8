"""A tiny ML-SUPERB: the benchmark's folders, lists and oddities with a second of audio a line.

For tests and first steps: every letter has a sound of its own (two formants), every language a
voice of its own, so that a probe learns letters and languages in seconds. Corpora, prefixes of ids
and the reserved languages' training utterances are the benchmark's.
"""

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from espnet2.data.audio import decode_flac, encode_wav, to_int16
from espnet2.data.frames import SAMPLE_RATE_HZ
from espnet2.data.superb_languages import FEW_SHOT_UTTERANCES
from espnet2.utils.files import write_bytes, write_text
from espnet2.utils.seeding import rng_for

USUAL_CORPORA = ("commonvoice", "fleurs")
CORPORA = {  # of the languages that lie elsewhere, those of the monolingual track among them
    "eng": ("mls", "nchlt", "voxpopuli"), "fra": ("voxforge", "voxpopuli"),
    "deu": ("swc", "voxpopuli"), "rus": ("M-AILABS", "fleurs"), "swa": ("ALFFA", "fleurs"),
    "swe": ("NST", "fleurs"), "xty": ("mexico-el",), "gle": ("LAD",),
}  # fmt: skip
PREFIXES = {  # of utterance ids, where it is not the corpus itself
    "commonvoice": "cv", "googlei18n_asr": "googlei18n-asr", "googlei18n_tts": "googlei18n-tts",
}  # fmt: skip
WORDS = {
    "jpn": ("こんにちは", "世界", "天気", "今日", "犬", "猫", "東京", "ありがとう"),
    "cmn": ("今天", "天气", "很好", "我们", "学习", "中文", "世界", "朋友"),
    "rus": ("мир", "вода", "слово", "город", "дом", "река", "небо", "утро"),
}
TRAIN_1H, TRAIN_10MIN, DEV, TEST = 12, 8, 3, 4  # utterances of a language in a corpus
COUNT = TRAIN_1H + DEV + TEST
LETTER_S, SIGN_S = 0.1, 0.24  # a sign is a syllable or more
LONG_S = 20.5  # just over what training and development keep
VOWELS, CONSONANTS = "aeiou", "bdfgklmnprstvyz"


@dataclass(frozen=True, kw_only=True)
class TinyLine:
    """One line of a list, with its audio."""

    utt_id: str
    words: str
    wav: bytes


def write_tiny_tree(root: Path, languages: Sequence[str], seed: int = 0) -> None:
    """Write ``root/<corpus>/<iso3>/{wav, transcript_*.txt}`` for each language.

    A language has 12 (1h; 8 of them 10min) training, 3 development and 4 test utterances a corpus.
    Its texts hold capitals, punctuation and, once a list, ``[noise]``. The first language's first
    corpus also has, in every list, a line of two fields, a transcript of punctuation alone and an
    utterance over 20 s.
    """
    for language in languages:
        for corpus in corpora_of(language):
            odd = language == languages[0] and corpus == corpora_of(language)[0]
            write_language(root / corpus / language, corpus, language, seed, odd)


def corpora_of(language: str) -> tuple[str, ...]:
    """The corpora a language has here; a reserved one has those of its training utterances."""
    if language in FEW_SHOT_UTTERANCES:
        names = {prefix: corpus for corpus, prefix in PREFIXES.items()}
        prefixes = [utt_id.split("_")[0] for utt_id in FEW_SHOT_UTTERANCES[language]]
        return tuple(sorted({names.get(prefix, prefix) for prefix in prefixes}))
    return CORPORA.get(language, USUAL_CORPORA)


def write_language(folder: Path, corpus: str, language: str, seed: int, odd: bool) -> None:
    """The lists and the audio of one language in one corpus; ``odd``: with lines to drop."""
    stem = f"{PREFIXES.get(corpus, corpus)}_{language}_"
    chosen = [u for u in FEW_SHOT_UTTERANCES.get(language, ()) if u.startswith(stem)]
    others = (f"{stem}{number:06d}" for number in itertools.count())
    ids = chosen + list(
        itertools.islice((u for u in others if u not in chosen), COUNT - len(chosen))
    )
    lines = [tiny_line(utt_id, language, seed) for utt_id in ids]
    train, dev, test = lines[:TRAIN_1H], lines[TRAIN_1H:-TEST], lines[-TEST:]
    lists = {
        "1h_train": train, "10min_train": train[:TRAIN_10MIN], "10min_dev": dev, "10min_test": test,
    }  # fmt: skip
    (folder / "wav").mkdir(parents=True, exist_ok=True)
    for number, (name, listed) in enumerate(lists.items()):
        listed = listed + odd_lines(f"{stem}99{number}", listed[0]) if odd else listed
        for line in listed:
            write_bytes(folder / "wav" / f"{line.utt_id}.wav", line.wav, durable=False)
        rows = (f"{line.utt_id} {stem}x {line.words}".rstrip() for line in noted(listed))
        write_text(
            folder / f"transcript_{name}.txt", "".join(f"{r}\n" for r in rows), durable=False
        )


def noted(lines: list[TinyLine]) -> list[TinyLine]:
    """The lines, a note in brackets before the first one's words."""
    return [replace(lines[0], words=f"[noise] {lines[0].words}"), *lines[1:]]


def odd_lines(stem: str, line: TinyLine) -> list[TinyLine]:
    """A line of two fields, one of punctuation, and one over 20 s."""
    samples = decode_flac(line.wav)  # any container
    long = encode_wav(to_int16(np.resize(samples, round(LONG_S * SAMPLE_RATE_HZ))))
    return [
        replace(line, utt_id=f"{stem}000", words=""),
        replace(line, utt_id=f"{stem}001", words="..."),
        replace(line, utt_id=f"{stem}002", wav=long),
    ]


def tiny_line(utt_id: str, language: str, seed: int) -> TinyLine:
    """Three to five words of the language, spoken."""
    rng = rng_for(seed, "tiny", utt_id)
    words = [str(word) for word in rng.choice(vocabulary(language, seed), rng.integers(3, 6))]
    space = "" if language in ("jpn", "cmn") else " "
    text = space.join(words)
    return TinyLine(
        utt_id=utt_id, words=f"{text[0].upper()}{text[1:]}{space and ','}{space}{words[0]}!",
        wav=encode_wav(speak(space.join([*words, words[0]]), language, rng)),
    )  # fmt: skip


@functools.cache
def vocabulary(language: str, seed: int) -> tuple[str, ...]:
    """Eight words; of most languages syllables of an alphabet of their own."""
    if language in WORDS:
        return WORDS[language]
    rng = rng_for(seed, "tiny words", language)
    consonants, vowels = rng.permutation(list(CONSONANTS))[:7], rng.permutation(list(VOWELS))[:3]
    return tuple(
        "".join(
            f"{c}{v}" for c, v in zip(rng.choice(consonants, n), rng.choice(vowels, n), strict=True)
        )
        for n in (1, 1, 2, 2, 2, 3, 3, 3)
    )


def speak(text: str, language: str, rng: np.random.Generator) -> np.ndarray:
    """(num_samples,) int16: one sound a letter, silence for a space, a little noise throughout."""
    speed, pitch_step = rng.uniform(0.9, 1.1), int(rng.integers(3))
    seconds = SIGN_S if language in WORDS and language != "rus" else LETTER_S
    length = round(seconds * speed * SAMPLE_RATE_HZ)
    parts = [
        np.zeros(length // 2) if letter == " " else sound(letter, language, pitch_step)[:length]
        for letter in f" {text} "
    ]
    audio = np.concatenate(parts)
    return to_int16(0.2 * audio + 0.002 * rng.standard_normal(len(audio)))


@functools.cache
def sound(letter: str, language: str, pitch_step: int) -> np.ndarray:
    """(num_samples,) in +-1: harmonics of the language's pitch, resonances of the letter."""
    first, second = rng_for(0, "tiny sound", letter).uniform((300, 1000), (900, 3000))
    base, third = rng_for(0, "tiny voice", language).uniform((90, 3200), (220, 4500))
    pitch = base * (1 + 0.05 * pitch_step)
    time = np.arange(round(1.2 * SIGN_S * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    hz = pitch * np.arange(1, int(6000 / pitch))[:, None]  # (harmonics, 1)
    gains = sum(1 / (1 + ((hz - centre) / 120) ** 2) for centre in (first, second, third))
    audio = (gains * np.sin(2 * np.pi * hz * time)).sum(0)
    return audio / np.abs(audio).max()
