"""Characters, languages, and the round trip between text and token ids."""

import pytest

from espnet2.asr.vocabulary import Vocabulary, split_language, target_text
from espnet2.utils.errors import DataError

TARGETS = ["[dan] EN SØ", "[fra] LE", "[eng]"]


def test_the_blank_is_zero_and_languages_come_last():
    tokens = Vocabulary.from_targets(TARGETS).tokens
    assert tokens[:3] == ["<blank>", "<unk>", "<space>"]
    assert tokens[3:] == ["E", "L", "N", "S", "Ø", "[dan]", "[eng]", "[fra]"]


@pytest.mark.parametrize("target", TARGETS)
def test_decoding_undoes_encoding(target):
    vocabulary = Vocabulary.from_targets(TARGETS)
    assert vocabulary.decode(vocabulary.encode(target)) == target


def test_an_unseen_character_and_an_unseen_language_are_unknown():
    vocabulary = Vocabulary.from_targets(TARGETS)
    assert vocabulary.encode("[rus] EЖ") == [1, vocabulary.ids["E"], 1]


def test_saved_and_read_back_it_is_the_same(tmp_path):
    vocabulary = Vocabulary.from_targets([*TARGETS, "A\u00a0B"])
    vocabulary.save(tmp_path / "vocabulary.txt")
    assert Vocabulary.load(tmp_path / "vocabulary.txt").tokens == vocabulary.tokens


@pytest.mark.parametrize("tokens", [["A", "B"], ["<blank>", "<unk>", "A", "A"]])
def test_a_broken_vocabulary_is_refused(tokens):
    with pytest.raises(DataError, match="a vocabulary starts with <blank>"):
        Vocabulary(tokens)


def test_each_task_has_its_own_target():
    targets = [target_text(task, "dan", "HEJ DU") for task in ("multi", "lid", "joint")]
    assert targets == ["HEJ DU", "[dan]", "[dan] HEJ DU"]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[dan] HEJ", ("dan", "HEJ")),
        ("[dan]", ("dan", "")),
        ("HEJ [dan]", (None, "HEJ [dan]")),
        ("[DAN] HEJ", (None, "[DAN] HEJ")),
        ("", (None, "")),
    ],
)
def test_the_language_is_only_what_stands_first(text, parts):
    assert split_language(text) == parts
