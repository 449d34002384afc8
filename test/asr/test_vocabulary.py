"""Characters, languages, and the round trip between text and token ids."""

import pytest

from espnet2.asr.vocabulary import Vocabulary, split_language, target_text
from espnet2.utils.errors import ConfigError, DataError

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


PHONES = ["k o N n i ch i w a", "a r i g a t o"]
WORDS = ["[fra] LE CHAT NOIR", "[spa] EL GATO NEGRO", "[fra] LE CHIEN", "[dan] EN SORT KAT"] * 4


def test_phones_are_what_spaces_separate():
    vocabulary = Vocabulary.from_targets(PHONES, "phone")
    assert vocabulary.tokens[2:5] == ["N", "a", "ch"]
    ids = vocabulary.encode("k o n n i ch i w a")
    assert len(ids) == 9
    assert vocabulary.decode(ids) == "k o n n i ch i w a"
    assert vocabulary.encode("k x") == [vocabulary.ids["k"], 1]


@pytest.mark.parametrize("size", [30, 1000])
def test_pieces_of_words_are_tokens_and_decode_to_the_text(size):
    vocabulary = Vocabulary.from_targets(WORDS, "bpe", size)
    assert vocabulary.tokens[-3:] == ["[dan]", "[fra]", "[spa]"]
    assert len(vocabulary) <= size + 1 + 3  # pieces without <unk>; <blank>, <unk>, languages
    for target in [*WORDS, "[dan] NEGRO LE CHAT", "GATO KAT", "[fra]"]:
        assert vocabulary.decode(vocabulary.encode(target)) == target
    assert len(vocabulary.encode("LE CHAT")) < 7
    assert vocabulary.unseen("[eng] LE \u0416") == ["[eng]", "\u0416"]
    assert 1 in vocabulary.encode("\u0416")
    assert vocabulary.unseen("\u0416\u0428") == ["\u0416\u0428"]


def test_the_pieces_of_the_same_text_are_the_same():
    first, again = (Vocabulary.from_targets(WORDS, "bpe", 40) for _ in range(2))
    assert first.pieces.model == again.pieces.model
    assert first.tokens == again.tokens


def test_fewer_pieces_than_characters_are_refused_with_the_least_number():
    with pytest.raises(ConfigError, match="bpe_size is 14, but .* 14 different .* at least 15, or"):
        Vocabulary.from_targets(WORDS, "bpe", 14)
    assert Vocabulary.from_targets(WORDS, "bpe", 15).pieces is not None


def test_languages_alone_have_no_pieces():
    vocabulary = Vocabulary.from_targets(["[dan]", "[fra]"], "bpe", 100)
    assert (vocabulary.kind, vocabulary.tokens[2:]) == ("char", ["[dan]", "[fra]"])


@pytest.mark.parametrize(("kind", "targets"), [("phone", PHONES), ("bpe", WORDS)])
def test_phones_and_pieces_are_read_back_as_such(tmp_path, kind, targets):
    vocabulary = Vocabulary.from_targets(targets, kind, 40)
    vocabulary.save(tmp_path / "vocabulary.txt")
    again = Vocabulary.load(tmp_path / "vocabulary.txt")
    assert (again.tokens, again.kind) == (vocabulary.tokens, kind)
    ids = vocabulary.encode(targets[0])
    assert again.encode(targets[0]) == ids
    assert again.decode(ids) == targets[0]


def test_pieces_without_their_model_are_refused(tmp_path):
    Vocabulary.from_targets(WORDS, "bpe", 40).save(tmp_path / "vocabulary.txt")
    (tmp_path / "vocabulary.model").write_bytes(b"no model")
    with pytest.raises(DataError, match="vocabulary.model: no sentencepiece model"):
        Vocabulary.load(tmp_path / "vocabulary.txt")
    (tmp_path / "vocabulary.txt").write_text("# tokens: words\n<blank>\n<unk>\n")
    with pytest.raises(DataError, match="tokens of kind 'words' are not char, phone or bpe"):
        Vocabulary.load(tmp_path / "vocabulary.txt")


def test_languages_of_an_auxiliary_loss_are_tokens_though_no_target_names_them():
    vocabulary = Vocabulary.from_targets(["EN KAT"], languages=["fra", "dan"])
    assert vocabulary.tokens[-2:] == ["[dan]", "[fra]"]
    assert vocabulary.language_id("fra") == len(vocabulary) - 1
    assert vocabulary.language_id("eng") == 1
