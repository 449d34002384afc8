"""Characters and language tokens of a CTC model.

``[iso]`` is one token and stands first: ``[dan] HEJ`` is four tokens, ``[dan] H E J``.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from espnet2.asr.config import task_kind
from espnet2.utils.errors import DataError
from espnet2.utils.files import write_text

BLANK, UNKNOWN, SPACE = "<blank>", "<unk>", "<space>"
LANGUAGE = re.compile(r"^\[([a-z0-9-]+)\](?: |$)")


def target_text(task: str, language: str, text: str) -> str:
    """What a cell is trained on: mono and multi ``TEXT``, lid ``[iso]``, joint ``[iso] TEXT``."""
    kind = task_kind(task)
    return {"lid": f"[{language}]", "joint": f"[{language}] {text}"}.get(kind, text)


def split_language(text: str) -> tuple[str | None, str]:
    """``"[dan] HEJ"`` as ``("dan", "HEJ")``; the language is None where there is none."""
    found = LANGUAGE.match(text)
    return (found[1], text[found.end() :]) if found else (None, text)


class Vocabulary:
    """Token ids; 0 is the CTC blank, 1 stands for every unseen character."""

    def __init__(self, tokens: list[str]) -> None:
        if tokens[:2] != [BLANK, UNKNOWN] or len(set(tokens)) != len(tokens):
            raise DataError(f"a vocabulary starts with {BLANK}, {UNKNOWN} and repeats nothing")
        self.tokens = tokens
        self.ids = {token: index for index, token in enumerate(tokens)}

    def __len__(self) -> int:
        return len(self.tokens)

    @classmethod
    def from_targets(cls, targets: Iterable[str]) -> "Vocabulary":
        """The characters and languages of the training targets, sorted."""
        characters, languages = set(), set()
        for target in targets:
            language, text = split_language(target)
            characters.update(SPACE if character == " " else character for character in text)
            if language is not None:
                languages.add(f"[{language}]")
        return cls([BLANK, UNKNOWN, *sorted(characters), *sorted(languages)])

    @classmethod
    def load(cls, path: Path) -> "Vocabulary":
        """Read vocabulary.txt: one token a line, in the order of the ids."""
        return cls(Path(path).read_text(encoding="utf-8").split("\n")[:-1])

    def save(self, path: Path) -> None:
        """Write vocabulary.txt."""
        write_text(path, "".join(f"{token}\n" for token in self.tokens))

    def encode(self, target: str) -> list[int]:
        """Token ids of ``[iso] TEXT``, ``[iso]`` or ``TEXT``."""
        language, text = split_language(target)
        tokens = [] if language is None else [f"[{language}]"]
        tokens += [SPACE if character == " " else character for character in text]
        return [self.ids.get(token, 1) for token in tokens]

    def decode(self, ids: Iterable[int]) -> str:
        """Text of token ids (blanks left out), languages set apart by single spaces."""
        parts = []
        for index in ids:
            token = self.tokens[index]
            if token == BLANK:
                continue
            is_language = len(token) > 1 and token[0] == "["
            parts.append(" " if token == SPACE else f" {token} " if is_language else token)
        return " ".join("".join(parts).split())
