"""Pieces of words: a byte-pair sentencepiece model (arXiv 1808.06226) of the training targets."""

import io
from pathlib import Path

from espnet2.utils.errors import ConfigError, DataError
from espnet2.utils.files import atomic_path

INSTALL = "pip install 'xeus[recipe]'"
WORD_START = "\u2581"


class Pieces:
    """A trained model; its unknown piece is not among the names."""

    def __init__(self, model: bytes) -> None:
        self.model = model
        self.processor = library().SentencePieceProcessor(model_proto=model)
        count = self.processor.get_piece_size()
        self.names = [
            self.processor.id_to_piece(i) for i in range(count) if not self.processor.is_unknown(i)
        ]

    @classmethod
    def train(cls, texts: list[str], size: int) -> "Pieces":
        """A model of at most ``size`` pieces; every character of ``texts`` is one of them.

        Raises:
            ConfigError: ``size`` is below the number of characters, or there is no sentencepiece.
        """
        spm, out = library(), io.BytesIO()
        characters = {character for text in texts for character in text.replace(" ", WORD_START)}
        least = len({*characters, WORD_START}) + 1  # and the unknown piece
        if size < least:
            raise ConfigError(
                f"finetune.bpe_size is {size}, but the training text has {least - 1} different "
                f"characters: give at least {least}, or units: char"
            )
        spm.SentencePieceTrainer.train(
            sentence_iterator=iter(texts), model_writer=out, model_type="bpe", vocab_size=size,
            hard_vocab_limit=False, character_coverage=1.0, normalization_rule_name="identity",
            num_threads=1, max_sentence_length=10**6, unk_id=0, bos_id=-1, eos_id=-1,
            minloglevel=2,
        )  # fmt: skip
        return cls(out.getvalue())

    @classmethod
    def load(cls, path: Path) -> "Pieces":
        """Read what ``save`` wrote.

        Raises:
            DataError: it is missing or no such model.
        """
        try:
            return cls(path.read_bytes())
        except (OSError, RuntimeError) as error:
            raise DataError(f"{path}: no sentencepiece model ({error})") from None

    def save(self, path: Path) -> None:
        """Write the model."""
        with atomic_path(path) as part:
            part.write_bytes(self.model)

    def split(self, text: str) -> list[str]:
        """Pieces of a transcript; characters never seen that stand together are one piece."""
        return self.processor.encode(text, out_type=str)


def text_of(piece: str) -> str:
    """What a piece stands for: a word begins with a space."""
    return piece.replace(WORD_START, " ")


def library():
    """The module sentencepiece.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import sentencepiece  # noqa: PLC0415
    except ImportError:
        raise ConfigError(f"units: bpe needs sentencepiece; {INSTALL}") from None
    return sentencepiece
