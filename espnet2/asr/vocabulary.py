"""Tokens of a CTC model: characters, phones or pieces of a sentencepiece model, and languages.

``[iso]`` is one token and stands first: ``[dan] HEJ`` is four tokens, ``[dan] H E J``.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from espnet2.asr.config import TokenKind, task_kind
from espnet2.asr.pieces import Pieces, text_of
from espnet2.utils.errors import DataError
from espnet2.utils.files import write_text

BLANK, UNKNOWN, SPACE = "<blank>", "<unk>", "<space>"
# "eng" and, of one odd corpus, "org_jpn", which ML-SUPERB's own scorer reads too; "pt-br" of data
# whose languages have other codes. Never "12": ML-SUPERB 2.0 has brackets in its texts.
CODE = r"[a-z][a-z0-9]*(?:[_-][a-z0-9]+)*"
LANGUAGE = re.compile(rf"^\[({CODE})\](?: |$)")
HEADER = "# tokens: "  # first line of a vocabulary.txt of anything but characters


def target_text(task: str, language: str, text: str) -> str:
    """What a cell is trained on: mono and multi ``TEXT``, lid ``[iso]``, joint ``[iso] TEXT``."""
    kind = task_kind(task)
    return {"lid": f"[{language}]", "joint": f"[{language}] {text}"}.get(kind, text)


def split_language(text: str) -> tuple[str | None, str]:
    """``"[dan] HEJ"`` as ``("dan", "HEJ")``; the language is None where there is none."""
    found = LANGUAGE.match(text)
    return (found[1], text[found.end() :]) if found else (None, text)


class Vocabulary:
    """Token ids; 0 is the CTC blank, 1 stands for every unseen token."""

    def __init__(
        self, tokens: list[str], kind: TokenKind = "char", pieces: Pieces | None = None
    ) -> None:
        if tokens[:2] != [BLANK, UNKNOWN] or len(set(tokens)) != len(tokens):
            raise DataError(f"a vocabulary starts with {BLANK}, {UNKNOWN} and repeats nothing")
        self.tokens, self.kind, self.pieces = tokens, kind, pieces
        self.ids = {token: index for index, token in enumerate(tokens)}

    def __len__(self) -> int:
        return len(self.tokens)

    @classmethod
    def from_targets(
        cls,
        targets: Iterable[str],
        kind: TokenKind = "char",
        num_pieces: int = 0,
        languages: Iterable[str] = (),
    ) -> "Vocabulary":
        """The tokens and languages of the training targets, sorted, and ``languages``.

        Phones are what spaces separate. ``num_pieces``: size of the sentencepiece model of bpe.

        Raises:
            ConfigError: no such model can be made.
        """
        parts = [split_language(target) for target in targets]
        texts = [text for _, text in parts if text]
        tags = {f"[{language}]" for language, _ in parts if language is not None}
        tags |= {f"[{language}]" for language in languages}
        if kind == "bpe" and texts:
            pieces = Pieces.train(texts, num_pieces)
            return cls([BLANK, UNKNOWN, *pieces.names, *sorted(tags)], kind, pieces)
        kind = "phone" if kind == "phone" else "char"
        tokens = sorted({token for text in texts for token in plain_tokens(text, kind)})
        return cls([BLANK, UNKNOWN, *tokens, *sorted(tags)], kind)

    @classmethod
    def load(cls, path: Path) -> "Vocabulary":
        """Read vocabulary.txt: one token a line, in the order of the ids.

        Raises:
            DataError: it is no vocabulary, or the sentencepiece model beside it is missing.
        """
        path = Path(path)
        kind, tokens = "char", path.read_text(encoding="utf-8").split("\n")[:-1]
        if tokens and tokens[0].startswith(HEADER):
            kind, tokens = tokens[0].removeprefix(HEADER), tokens[1:]
        if kind not in ("char", "phone", "bpe"):
            raise DataError(f"{path}: tokens of kind {kind!r} are not char, phone or bpe")
        return cls(tokens, kind, Pieces.load(path.with_suffix(".model")) if kind == "bpe" else None)

    def save(self, path: Path) -> None:
        """Write vocabulary.txt, and beside it the sentencepiece model where there is one."""
        header = "" if self.kind == "char" else f"{HEADER}{self.kind}\n"
        if self.pieces is not None:
            self.pieces.save(path.with_suffix(".model"))
        write_text(path, header + "".join(f"{token}\n" for token in self.tokens))

    def language_id(self, language: str) -> int:
        """Id of the token ``[iso]``."""
        return self.ids.get(f"[{language}]", 1)

    def encode(self, target: str) -> list[int]:
        """Token ids of ``[iso] TEXT``, ``[iso]`` or ``TEXT``."""
        return [self.ids.get(token, 1) for token in self.target_tokens(target)]

    def target_tokens(self, target: str) -> list[str]:
        """A target as tokens, seen in training or not."""
        language, text = split_language(target)
        split = self.pieces.split(text) if self.pieces else plain_tokens(text, self.kind)
        return split if language is None else [f"[{language}]", *split]

    def unseen(self, target: str) -> list[str]:
        """Tokens of a target that are not in the vocabulary, each once, in their order."""
        return list(dict.fromkeys(t for t in self.target_tokens(target) if t not in self.ids))

    def decode(self, ids: Iterable[int]) -> str:
        """Text of token ids (blanks left out), languages set apart by single spaces."""
        parts = []
        for index in ids:
            token = self.tokens[index]
            if token == BLANK:
                continue
            if LANGUAGE.match(token) or self.kind == "phone":
                parts.append(f" {token} ")
            elif self.kind == "bpe":
                parts.append(text_of(token))
            else:
                parts.append(" " if token == SPACE else token)
        return " ".join("".join(parts).split())


def plain_tokens(text: str, kind: TokenKind) -> list[str]:
    """Characters, or what spaces separate."""
    if kind == "phone":
        return text.split()
    return [SPACE if character == " " else character for character in text]
