"""Which letter is heard in which frame: a transcript laid along its audio, without any model.

Hidden Markov models of the letters of each language (``hmm.py``) are trained on the very audio
that is aligned, on the 13 cepstra of teacher ``mfcc``, and written as a CTM. It serves to measure
label sets against the transcript. Models of cepstra favour labels of cepstra a little: where labels
of a network win, they win against that bias.

How true it is, on the mini recipe's eSpeak NG, 3 minutes in each of 24 languages, whose phones and
their times are known (``data/espeak/phones.ctm``): given these phones for a text, borders are off
by 16 ms in the mean and by 10 in the median, and 81 % of the frames get their phone; with only ten
utterances a language to train on, by 18 to 28 ms, and 68 to 78 %.
Letters are no phones: for them this is the best case.

Steps: index rows with their text -> sorted by language, in an order drawn from the seed -> the
first hour of each language trains its models -> all of it is aligned -> sorted by utterance.
Memory: one hour of cepstra, and what ``sorted_lines`` takes.
"""

import itertools
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from espnet2.data.corpora.corpus_folder import Drops
from espnet2.data.duplicates import scratch
from espnet2.data.external_sort import sorted_lines
from espnet2.data.frames import HOP_SAMPLES, SAMPLE_RATE_HZ
from espnet2.data.index import Index
from espnet2.data.kaldi.tables import Problems, SortedTable, entries, in_order, without_repeats
from espnet2.tokens.align.hmm import STATES_A_LETTER, Segment, Spoken, train
from espnet2.tokens.teachers.registry import build_teacher
from espnet2.utils.errors import DataError
from espnet2.utils.files import atomic_path
from espnet2.utils.logs import log
from espnet2.utils.seeding import seed_for

FRAME_S = HOP_SAMPLES / SAMPLE_RATE_HZ
NUM_CEPSTRA = 13  # the slopes are left out: measured, they blur the borders
TRAINING_FRAMES = 180_000  # an hour of a language
UTTERANCES_AT_ONCE = 256
SILENCE = "sil"
LETTERS = ("L", "M")  # letters and marks, of Unicode's categories


def align_text(indexes: Sequence[Index], texts: Sequence[Path], ctm: Path, seed: int) -> dict:
    """Write ``ctm`` (lines ``utt 1 start_s duration_s token``) and ``<ctm>.dropped.tsv``.

    Utterances are in C order, their segments in that of time. A language's models are trained on
    all sets together. texts: Kaldi ``text`` files.
    Returns the utterances aligned, those left out by reason, and how each language went.

    Raises:
        DataError: a text out of order or with an id twice, an utterance in two texts or two sets,
            or nothing that can be aligned.
    """
    with scratch(ctm.with_name(f".{ctm.name}.work")) as folder:
        aligner = Aligner(indexes, Drops(folder / "dropped"), seed)
        lines = sorted_lines(aligner.lines(Transcripts(texts)))
        with atomic_path(ctm) as part, open(part, "w", encoding="utf-8", newline="\n") as file:
            for utt_id, segments in without_twins(lines):
                file.writelines(f"{utt_id} 1 {segment}\n" for segment in segments)
            if not aligner.summary["aligned"]:
                raise DataError(f"{ctm}: nothing can be aligned; left out: {aligner.drops}")
        aligner.drops.write(ctm.with_name(f"{ctm.name}.dropped.tsv"))
    return aligner.summary | {"left_out": dict(aligner.drops.reasons.most_common())}


class Aligner:
    """Alignment of all languages, one after the other; ``summary`` and ``drops`` grow with it."""

    def __init__(self, indexes: Sequence[Index], drops: Drops, seed: int) -> None:
        self.indexes, self.drops, self.seed = indexes, drops, seed
        self.teacher = build_teacher("mfcc", {"normalise": "mean"})
        self.summary: dict[str, Any] = {"aligned": 0, "dropped_characters": 0, "languages": {}}

    def lines(self, transcripts: "Transcripts") -> Iterator[str]:
        """Each aligned utterance as ``utt<tab>start duration token<tab>…``, in no order."""
        found = sorted_lines(self.with_text(transcripts))
        for language, own in itertools.groupby(found, lambda line: line.partition("\t")[0]):
            for utterance, segments in self.language(language, map(self.spoken, own)):
                cells = (
                    f"{s.first * FRAME_S:.2f} {(s.last - s.first) * FRAME_S:.2f} "
                    f"{s.token or SILENCE}"
                    for s in segments
                )
                yield "\t".join([utterance.utt_id, *cells])

    def with_text(self, transcripts: "Transcripts") -> Iterator[str]:
        """What can be aligned, as ``language draw set row words`` with tabs; the rest is noted.

        The draw depends on seed and id alone, so the order of rows and sets means nothing.
        """
        for number, index in enumerate(self.indexes):
            for row, utt_id in enumerate(index.utt_ids):
                text = transcripts.text(utt_id)
                words, dropped = spelled(text or "")
                needed, frames = STATES_A_LETTER * sum(map(len, words)), index.frames_of(row)
                if text is None:
                    self.drops.add(utt_id, "no text", "no line in the texts")
                elif not words:
                    self.drops.add(utt_id, "no letters", text)
                elif frames < needed:
                    detail = f"{frames} frames, its letters need {needed}"
                    self.drops.add(utt_id, "too short for its text", detail)
                else:
                    self.summary["dropped_characters"] += dropped
                    draw = seed_for(self.seed, "align", utt_id)
                    cells = (index.languages[row], f"{draw:016x}", number, row, " ".join(words))
                    yield "\t".join(map(str, cells))

    def spoken(self, line: str) -> Spoken:
        """The utterance of a line, with its frames."""
        _, _, number, row, words = line.split("\t")
        index, row = self.indexes[int(number)], int(row)
        frames = np.asarray(self.teacher.frames([index.audio(row)]).values)
        cepstra = frames[:, :NUM_CEPSTRA].copy()  # of a view the whole would stay in memory
        return Spoken(utt_id=index.utt_ids[row], words=tuple(words.split(" ")), frames=cepstra)

    def language(
        self, name: str, utterances: Iterator[Spoken]
    ) -> Iterator[tuple[Spoken, list[Segment]]]:
        """Train on the first hour of a language, then align all of it."""
        training = first_hour(utterances)
        models, likelihoods = train(training)
        about = {"trained_on": len(training), "log_likelihood": likelihoods, "aligned": 0}
        self.summary["languages"][name] = about
        every = itertools.chain(training, utterances)
        while some := list(itertools.islice(every, UTTERANCES_AT_ONCE)):
            for utterance in some:
                unknown = models.unknown(utterance.words)
                if unknown:
                    self.drops.add(utterance.utt_id, "untrained letter", " ".join(unknown))
            for aligned in models.align([u for u in some if not models.unknown(u.words)]):
                about["aligned"] += 1
                yield aligned
        self.summary["aligned"] += about["aligned"]
        log(
            f"{name}: {about['aligned']} utterances, trained on {len(training)}; log-likelihood "
            f"a frame {likelihoods[0]:.2f}, in the end {likelihoods[-1]:.2f}"
        )


class Transcripts:
    """Texts looked up by utterance, in the files."""

    def __init__(self, paths: Sequence[Path]) -> None:
        """Read each file once for its order. Raises DataError."""
        for path in paths:
            problems = Problems(strict=True)
            for _ in without_repeats(path, in_order(path, entries(path), problems), problems):
                pass
        self._tables = {path: SortedTable(path) for path in paths}

    def text(self, utt_id: str) -> str | None:
        """What is said. Raises DataError if two files say it."""
        found = {path: table.value(utt_id) for path, table in self._tables.items()}
        found = {path: text for path, text in found.items() if text is not None}
        if len(found) > 1:
            raise DataError(f"{utt_id}: has a line in {' and in '.join(map(str, found))}; name one")
        return next(iter(found.values()), None)


def spelled(text: str) -> tuple[list[str], int]:
    """The words of a text in letters alone, small ones, and how many other characters it had."""
    plain = unicodedata.normalize("NFC", text.casefold())
    words, dropped = [], 0
    for word in plain.split():
        letters = "".join(c for c in word if unicodedata.category(c)[0] in LETTERS)
        words += [letters] if letters else []
        dropped += len(word) - len(letters)
    return words, dropped


def first_hour(utterances: Iterator[Spoken]) -> list[Spoken]:
    """Utterances until ``TRAINING_FRAMES`` are full; one at least."""
    taken, frames = [], 0
    for utterance in utterances:
        taken.append(utterance)
        frames += len(utterance.frames)
        if frames >= TRAINING_FRAMES:
            break
    return taken


def without_twins(lines: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """Id and segments of each sorted line. Raises DataError for an id that comes twice."""
    last = None
    for line in lines:
        utt_id, *segments = line.split("\t")
        if utt_id == last:
            raise DataError(f"{utt_id}: stands in two of the sets; name each set once")
        last = utt_id
        yield utt_id, segments
