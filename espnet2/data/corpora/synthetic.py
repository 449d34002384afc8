"""The synthetic corpus: the same voices in every language, test voices and sentences unseen.

Steps: choose sentences by split, give each a voice of its split, speak them (a process a
language), and hand over clips with their split. A language identifier that only knows voices or
channels scores at chance here.
"""

import dataclasses
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from unicode_rbnf import RbnfEngine

from espnet2.data.corpora.clips import Clip
from espnet2.data.corpora.config import SyntheticConfig
from espnet2.data.corpora.splits import LISTS, fraction
from espnet2.data.corpora.text import DIGIT, clean_text, text_key
from espnet2.utils.errors import DataError
from espnet2.utils.files import write_json
from espnet2.utils.processes import start
from espnet2.utils.seeding import rng_for, seed_for

FEW = 300  # phrases; with fewer, numbers are said as well
NUMBERS = 600  # numbers a language says then
DIGITS = (1.0, 6.0)  # powers of ten between which they are drawn
PHONES = "phones.ctm"  # beside the audio of a language: which phone is said when


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """Something to say."""

    group: str  # equal for parallel sentences of several languages
    text: str


@dataclass(frozen=True, kw_only=True)
class SpokenLine:
    """One utterance to synthesize."""

    utt_id: str
    text: str
    voice: str  # language+variant
    rate_wpm: int
    pitch: int
    seed: int  # 31 bits: the library takes a long


def number_sentences(code: str, seed: int) -> list[Sentence]:
    """Numbers in words, the same numbers in every language. ``code``: as in Unicode's CLDR."""
    engine = RbnfEngine.for_language(code)
    sizes = rng_for(seed, "numbers").uniform(*DIGITS, NUMBERS)
    return [
        Sentence(group=f"number {n}", text=clean_text(engine.format_number(n).text))
        for n in sorted({int(10**size) for size in sizes})
    ]


def sentences_of(
    phrases: dict[str, dict[str, str]], code: str, config: SyntheticConfig, seed: int
) -> list[Sentence]:
    """What one language can say: its phrases, and numbers where they are few."""
    found = usable(
        (Sentence(group=stamp, text=own[code]) for stamp, own in phrases.items() if code in own),
        config,
    )
    if len(found) >= FEW:
        return found
    return usable([*found, *number_sentences(code, seed)], config)


def usable(sentences: Iterable[Sentence], config: SyntheticConfig) -> list[Sentence]:
    """One sentence a text, of a speakable length, without digits."""
    seen, kept = set(), []
    for sentence in sentences:
        key = text_key(sentence.text)
        length_fits = config.min_chars <= len(sentence.text) <= config.max_chars
        if key and key not in seen and length_fits and not DIGIT.search(sentence.text):
            seen.add(key)
            kept.append(sentence)
    return kept


def plan_lines(
    corpus: str, language: str, code: str, sentences: list[Sentence],
    split_of: Callable[[str], str], config: SyntheticConfig, seed: int,
) -> list[tuple[SpokenLine, Sentence, str]]:  # fmt: skip
    """What is said in one language: (line, sentence, split), in the order it is spoken.

    Raises:
        DataError: a split has no sentence.
    """
    ordered = sorted(sentences, key=lambda s: fraction(seed, "say", language, s.group))
    planned = []
    for split in LISTS:
        pool = [sentence for sentence in ordered if split_of(sentence.group) == split]
        if not pool:
            raise DataError(f"{corpus}: no sentence of {language} falls into its {split} list")
        voices = getattr(config, f"{split}_voices")
        for i in range(getattr(config, f"{split}_utterances")):
            sentence, variant = pool[i % len(pool)], voices[i % len(voices)]
            utt_id = f"{corpus}-{variant}_{language}_{len(planned):06d}"
            rng = rng_for(seed, "voice", utt_id)
            line = SpokenLine(
                utt_id=utt_id, text=sentence.text, voice=f"{code}+{variant}",
                rate_wpm=int(rng.integers(*config.rate_wpm)),
                pitch=int(rng.integers(*config.pitch)),
                seed=seed_for(seed, "espeak", utt_id) % 2**31,
            )  # fmt: skip
            planned.append((line, sentence, split))
    return planned


def speak(lines: list[SpokenLine], folder: Path) -> None:
    """Synthesize the lines of one language in a fresh process: WAV files and ``PHONES``.

    Raises:
        DataError: the process failed, with its last line.
    """
    job = folder.with_name(f"{folder.name}.json")
    said = [dataclasses.asdict(line) for line in lines]
    write_json(job, {"folder": str(folder), "phones": str(folder / PHONES), "lines": said})
    command = [sys.executable, "-m", "espnet2.data.corpora.espeak", str(job)]
    # Through a pipe: on a full disk a log file would stay empty.
    child = start(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    said = child.communicate()[1].strip().splitlines()
    if child.returncode != 0:
        reason = said[-1] if said else f"it ended with {child.returncode}"
        raise DataError(f"{folder.name}: synthesis failed: {reason}")
    job.unlink()


def clip_of(line: SpokenLine, sentence: Sentence, language: str, folder: Path) -> Clip:
    """The clip that a spoken line became."""
    return Clip(
        utt_id=line.utt_id, path=folder / f"{line.utt_id}.wav", language=language,
        speaker=line.utt_id.split("_")[0], text=sentence.text, group=sentence.group,
    )  # fmt: skip
