"""``XeusTokenizer``: a cell's vocabulary.txt as transformers wants a tokenizer of CTC.

Languages are tokens: ``[dan] HEJ`` is ``[dan]``, ``H``, ``E``, ``J``.
"""

import itertools
from pathlib import Path
from typing import Any, ClassVar

from transformers import PreTrainedTokenizer

from espnet2.asr.pieces import text_of
from espnet2.asr.vocabulary import BLANK, LANGUAGE, SPACE, UNKNOWN, Vocabulary
from espnet2.utils.errors import ConfigError

Offsets = list[dict[str, Any]]


class XeusTokenizer(PreTrainedTokenizer):
    """Text to token ids and back; the blank, id 0, is the padding token."""

    vocab_files_names: ClassVar[dict[str, str]] = {
        "vocab_file": "vocabulary.txt", "pieces_file": "vocabulary.model",
    }  # fmt: skip
    model_input_names: ClassVar[list[str]] = ["input_ids", "attention_mask"]
    replace_word_delimiter_char = " "  # the pipeline asks for it

    def __init__(
        self, vocab_file: str | None = None, pieces_file: str | None = None, **kwargs: Any
    ) -> None:
        """``pieces_file``: the sentencepiece model of bpe, which lies beside ``vocab_file``.

        Raises:
            ConfigError: there is none, as in the folder of an encoder alone.
            DataError: it is no vocabulary, or that model is missing.
        """
        if vocab_file is None:
            raise ConfigError(
                "there is no vocabulary.txt: an encoder alone has no tokenizer and no processor; "
                "AutoFeatureExtractor opens what it has"
            )
        self.vocabulary = Vocabulary.load(Path(vocab_file))
        kwargs = {"special_tokens_pattern": "none", **kwargs}
        super().__init__(**{**kwargs, "unk_token": UNKNOWN, "pad_token": BLANK})

    @property
    def vocab_size(self) -> int:
        """Tokens, the blank among them."""
        return len(self.vocabulary)

    def get_vocab(self) -> dict[str, int]:
        """Ids by token."""
        return dict(self.vocabulary.ids)

    def tokenize(self, text: str, **kwargs: Any) -> list[str]:
        """Tokens of ``[iso] TEXT``, ``[iso]`` or ``TEXT``, seen in training or not."""
        return self.vocabulary.target_tokens(text)

    def _convert_token_to_id(self, token: str) -> int:
        return self.vocabulary.ids.get(token, self.vocabulary.ids[UNKNOWN])

    def _convert_id_to_token(self, index: int) -> str:
        return self.vocabulary.tokens[index]

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """The text of tokens that stand for themselves: nothing is collapsed."""
        return self.vocabulary.decode(self._convert_token_to_id(token) for token in tokens)

    def _decode(
        self,
        token_ids: int | list[int],
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        group_tokens: bool = True,
        output_char_offsets: bool = False,
        **kwargs: Any,
    ) -> str | dict[str, Any]:
        """What the best tokens of frames say; ``group_tokens`` False: of a target's ids.

        Ids below 0, the padding of labels, count as blanks.
        """
        ids = [token_ids] if isinstance(token_ids, int) else list(token_ids)
        ids = [max(token, self.pad_token_id) for token in ids]
        runs = [(token, 1) for token in ids]
        if group_tokens:
            runs = [(token, len(list(run))) for token, run in itertools.groupby(ids)]
        text = self.vocabulary.decode(token for token, _ in runs)
        return {"text": text, "char_offsets": self.offsets(runs)} if output_char_offsets else text

    def offsets(self, runs: list[tuple[int, int]]) -> Offsets:
        """Text, first row and row behind the last of every token but blanks."""
        found, place = [], 0
        for token, count in runs:
            if token != self.pad_token_id:
                row = {"start_offset": place, "end_offset": place + count}
                found.append({"char": self.spaced(token), **row})
            place += count
        return found

    def spaced(self, index: int) -> str:
        """A token's text with the spaces that set it apart."""
        token = self.vocabulary.tokens[index]
        if LANGUAGE.match(token) or self.vocabulary.kind == "phone":
            return f" {token} "
        if self.vocabulary.kind == "bpe":
            return text_of(token)
        return " " if token == SPACE else token

    def _get_word_offsets(self, offsets: Offsets, word_delimiter_char: str = " ") -> Offsets:
        """The same of words; the pipeline calls it so."""
        words: Offsets = []
        is_open = False
        for offset in offsets:
            text = offset["char"]
            is_open = is_open and not text.startswith(word_delimiter_char)
            if word := text.strip(word_delimiter_char):
                if not is_open:
                    words.append({**offset, "word": ""})
                    del words[-1]["char"]
                words[-1] |= {"word": words[-1]["word"] + word, "end_offset": offset["end_offset"]}
                is_open = not text.endswith(word_delimiter_char)
        return words

    def save_vocabulary(
        self, save_directory: str, filename_prefix: str | None = None
    ) -> tuple[str, ...]:
        """Write vocabulary.txt, and the sentencepiece model where there is one."""
        prefix = f"{filename_prefix}-" if filename_prefix else ""
        path = Path(save_directory) / f"{prefix}vocabulary.txt"
        self.vocabulary.save(path)
        paths = [path] if self.vocabulary.pieces is None else [path, path.with_suffix(".model")]
        return tuple(map(str, paths))
