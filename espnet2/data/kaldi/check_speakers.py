"""spk2utt against utt2spk, without holding either.

Both are sets of (utterance, speaker). A digest that does not depend on their order tells whether
they are equal; only if they are not are the pairs of spk2utt sorted, on disk, and compared.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from espnet2.data.external_sort import sorted_lines
from espnet2.data.kaldi.folder import Folder
from espnet2.data.kaldi.tables import OUT_OF_ORDER, Entry, Problems, joined, without_repeats

BLOCK_CHARS = 1 << 18
DIGEST_BYTES = 16
_WORD = re.compile(r"[^ \t\n]+|[\t\n]")


def check_speakers(folder: Folder) -> None:
    """Note where spk2utt is not the inverse of utt2spk."""
    path = folder.file("spk2utt")
    if not folder.has("utt2spk"):
        folder.problems.add(path, None, "there is no utt2spk of which this could be the inverse")
        return
    listed = digest((utt, speaker) for utt, speaker, _ in speaker_pairs(path, folder.problems))
    if listed != digest((entry.key, entry.value) for entry in folder.stream("utt2spk")):
        name_differences(folder)


def digest(pairs: Iterable[tuple[str, str]]) -> tuple[int, int]:
    """Number and digest of (utterance, speaker) pairs, whatever their order."""
    count, total = 0, 0
    for pair in pairs:
        hashed = hashlib.blake2b(" ".join(pair).encode(), digest_size=DIGEST_BYTES).digest()
        total += int.from_bytes(hashed, "little")
        count += 1
    return count, total % 2 ** (8 * DIGEST_BYTES)


def speaker_pairs(path: Path, problems: Problems) -> Iterator[tuple[str, str, int]]:
    """(utterance, speaker, line) of spk2utt, noting what is wrong with its lines.

    A line of any length is read in blocks: a speaker may have millions of utterances.
    """
    line, speaker, previous, count = 1, None, "", 0
    for word in words(path):
        if word == "\n":
            if not count:
                what = "empty line" if speaker is None else "{} has no value"
                problems.add(path, line, what, speaker)
            line, speaker, count = line + 1, None, 0
            continue
        word = checked_word(path, line, word, problems)
        if speaker is None and word:
            speaker = word
            if speaker == previous:
                problems.add(path, line, "{} appears twice; first on line {}", speaker, line - 1)
            elif speaker < previous:
                problems.add(path, line, OUT_OF_ORDER, speaker)
            previous = speaker
        elif word:
            count += 1
            yield word, speaker, line
    if speaker is not None:
        problems.add(path, line, "no newline at the end of the file")


def words(path: Path) -> Iterator[str]:
    """The words of a file, its line ends and its tabs."""
    rest = ""
    with path.open(encoding="utf-8", errors="replace", newline="\n") as file:
        while block := file.read(BLOCK_CHARS):
            found = _WORD.findall(rest + block)
            # The last word may go on in the next block.
            rest = found.pop() if block[-1] not in " \t\n" else ""
            yield from found
    if rest:
        yield rest


def checked_word(path: Path, line: int, word: str, problems: Problems) -> str:
    """The word, less what does not belong to it; what is wrong is noted."""
    if word == "\t":
        problems.add(path, line, "a tab; fields are separated by one space")
        return ""
    if word.endswith("\r"):
        problems.add(path, line, "Windows line ending (CRLF); convert with dos2unix")
    if "\ufffd" in word:
        problems.add(path, line, "not UTF-8; convert with iconv -t UTF-8")
    if line == 1 and word.startswith("\ufeff"):
        problems.add(path, line, "byte order mark at the start of the file; save it without one")
    return word.rstrip("\r").lstrip("\ufeff")


def name_differences(folder: Folder) -> None:
    """Note each utterance whose speaker is not the same in both files, or that one lacks."""
    spk2utt, utt2spk = folder.file("spk2utt"), folder.file("utt2spk")
    lines = (f"{utt} {line} {speaker}" for utt, speaker, line in speaker_pairs(spk2utt, Problems()))
    pairs = (line.split(" ") for line in sorted_lines(lines))
    listed = (Entry(utt, speaker, int(line)) for utt, line, speaker in pairs)
    rows = joined(
        spk2utt, without_repeats(spk2utt, listed, folder.problems), [utt2spk],
        [folder.stream("utt2spk")], folder.problems,
    )  # fmt: skip
    for entry, (other,) in rows:
        if other is not None and other.value != entry.value:
            folder.problems.add(
                spk2utt, entry.line, "{} of {} disagrees with utt2spk:{}, where it is of {}",
                entry.key, entry.value, other.line, other.value,
            )  # fmt: skip
