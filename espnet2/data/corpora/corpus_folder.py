"""``data/<corpus>`` of a corpus of any size: Kaldi files, ``dropped.tsv`` and ``corpus.json``.

Utterances come in any order, are sorted on disk and written in C order; memory does not grow with
them. Ids get the corpus's name in front, become one word, and are made different.
"""

import dataclasses
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from espnet2.data.corpora.kinds import OnDisk
from espnet2.data.corpora.language_codes import Languages
from espnet2.data.external_sort import sorted_lines
from espnet2.data.kaldi import Utterance, write_kaldi
from espnet2.data.languages import UNKNOWN_LANGUAGE
from espnet2.data.tsv import write_rows
from espnet2.utils.errors import DataError
from espnet2.utils.files import write_json

MAX_ID_BYTES = 170  # a data directory takes 200; stage 2 may add the times of a segment
_NOT_IN_IDS = re.compile(r"[\s/\x00-\x1f\x7f-\x9f\ufeff]+")
_NOT_IN_TEXT = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")


class Drops:
    """What was left out of a corpus, and why; rows wait on disk."""

    def __init__(self, path: Path, prefix: str | None = None) -> None:
        """``path``: where the rows wait; ``prefix``: a corpus's name to put before the ids."""
        self.path, self.prefix, self.reasons = path, prefix, Counter()
        self.file = path.open("w", encoding="utf-8", newline="\n")

    def add(self, utt_id: str, reason: str, detail: str) -> None:
        """Leave one utterance out."""
        cells = (one_word(utt_id, self.prefix), reason, _NOT_IN_TEXT.sub(" ", detail).strip())
        self.file.write("\t".join(cells) + "\n")
        self.reasons[reason] += 1

    def write(self, path: Path) -> None:
        """``dropped.tsv``: a header, then the rows in C order; nothing waits any longer."""
        self.file.close()
        with self.path.open(encoding="utf-8", newline="\n") as file:
            lines = sorted_lines(line[:-1] for line in file)
            columns = ("utt_id", "reason", "detail")
            write_rows(path, columns, (tuple(line.split("\t")) for line in lines))
        self.path.unlink()

    def __str__(self) -> str:
        counts = ", ".join(f"{reason} {count}" for reason, count in self.reasons.most_common())
        return counts or "nothing"


def write_corpus(
    folder: Path, name: str, spec: OnDisk, utterances: Iterable[Utterance], languages: Languages,
    drops: Drops,
) -> dict[str, object]:  # fmt: skip
    """Write the corpus into the empty ``folder``; returns its counts.

    Texts and lengths are kept where every utterance has one, as a data directory asks.

    Raises:
        DataError: a language that is not known, or no utterance at all.
    """
    found: Counter[str] = Counter()
    by_language: Counter[str] = Counter()
    prefix = name if spec.prefix_ids else None

    def lines() -> Iterator[str]:
        for utterance in (renamed(u, prefix) for u in utterances):
            found["utterances"] += 1
            found["text"] += utterance.text is not None
            found["duration_s"] += utterance.duration_s is not None
            by_language[utterance.language] += 1
            yield packed(utterance)

    in_order = with_own_ids(sorted_lines(lines()))
    first = next(in_order, None)  # now all were read
    languages.refuse_unknown(name)
    if first is None:
        no_language = "; give language: in corpora.yaml" if "no language" in drops.reasons else ""
        raise DataError(f"{name}: no utterance in {spec.path}; dropped: {drops}{no_language}")
    unknown = {key: None for key in ("text", "duration_s") if found[key] < found["utterances"]}

    def rows() -> Iterator[Utterance]:
        for is_repeated, utterance in chain([first], in_order):
            found["repeated_ids"] += is_repeated
            yield dataclasses.replace(utterance, **unknown) if unknown else utterance

    write_kaldi(folder, rows())
    drops.write(folder / "dropped.tsv")
    about = {"kind": spec.kind, "paper_hours": spec.hours, "licence": spec.licence,
             "source": spec.source, "unknown_languages": dict(languages.unknown)}  # fmt: skip
    write_json(folder / "corpus.json", about)
    is_und = spec.unknown_language == UNKNOWN_LANGUAGE
    became_und = languages.unknown.total() if is_und else 0  # corpora.yaml says so
    return {
        "utterances": found["utterances"], "languages": len(by_language),
        "without_language": by_language[UNKNOWN_LANGUAGE] - became_und,
        "repeated_ids": found["repeated_ids"], "dropped": dict(drops.reasons.most_common()),
    }  # fmt: skip


def renamed(utterance: Utterance, prefix: str | None) -> Utterance:
    """The utterance with ids of one word, the corpus's name before them, and plain text."""
    keys = ("utt_id", "recording", "speaker")
    new = {key: one_word(getattr(utterance, key), prefix) for key in keys}
    text = _NOT_IN_TEXT.sub(" ", utterance.text or "").strip() or None
    return dataclasses.replace(utterance, **new, text=text)


def one_word(text: str, prefix: str | None) -> str:
    """``text`` without blanks and slashes, after ``prefix-`` unless it begins with that already.

    What is too long to name a file keeps its beginning and gets a digest of the rest.
    """
    word = _NOT_IN_IDS.sub("_", text.strip()) or "_"
    if prefix and not word.startswith((f"{prefix}-", f"{prefix}_")):
        word = f"{prefix}-{word}"
    if len(word.encode()) <= MAX_ID_BYTES:
        return word
    digest = hashlib.blake2b(word.encode(), digest_size=8).hexdigest()
    return word.encode()[: MAX_ID_BYTES - 17].decode(errors="ignore") + f"-{digest}"


def with_own_ids(lines: Iterable[str]) -> Iterator[tuple[bool, Utterance]]:
    """(is repeated, utterance) of sorted lines; the second and third of one id get a digest.

    It is of all that is known of the utterance, so that no other id is met; where that is the same,
    too, of its place among its like.
    """
    previous, line_before, alike = "", "", 0
    for line in lines:
        utterance = unpacked(line)
        is_repeated = utterance.utt_id == previous
        alike = alike + 1 if line == line_before else 0
        previous, line_before = utterance.utt_id, line
        if is_repeated:
            digest = hashlib.blake2b(f"{alike}{line}".encode(), digest_size=4).hexdigest()
            new = {"utt_id": f"{previous}--{digest}"}
            new |= {"recording": new["utt_id"]} if utterance.recording == previous else {}
            utterance = dataclasses.replace(utterance, **new)
        yield is_repeated, utterance


def packed(utterance: Utterance) -> str:
    """One line, which sorts by the id."""
    fields = [getattr(utterance, name) for name in _FIELDS]
    return f"{utterance.utt_id}\t{json.dumps(fields, ensure_ascii=False)}"


def unpacked(line: str) -> Utterance:
    """The utterance of a line."""
    utt_id, _, rest = line.partition("\t")
    return Utterance(utt_id=utt_id, **dict(zip(_FIELDS, json.loads(rest), strict=True)))


_FIELDS = [field.name for field in dataclasses.fields(Utterance) if field.name != "utt_id"]
