"""Synthetic speech: the same bytes twice, and test voices that nobody trained on."""

import dataclasses
from itertools import groupby

import pytest
import soundfile

from espnet2.data.corpora.config import SyntheticConfig
from espnet2.data.corpora.espeak import phone_of
from espnet2.data.corpora.synthetic import (
    Sentence,
    SpokenLine,
    number_sentences,
    plan_lines,
    sentences_of,
    speak,
    usable,
)
from espnet2.utils.errors import ConfigError, DataError

CONFIG = SyntheticConfig(
    train_voices=["m1", "f1"], dev_voices=["m6"], test_voices=["m4", "f5"],
    train_utterances=4, dev_utterances=2, test_utterances=4,
)  # fmt: skip
SENTENCES = [Sentence(group=f"g{i}", text=f"Une phrase {'o' * i}.") for i in range(30)]


def split_of(group):
    return {"0": "test", "1": "dev"}.get(group[-1], "train")


def plan(language="fra", code="fr"):
    return plan_lines("espeak", language, code, SENTENCES, split_of, CONFIG, seed=3)


def test_voices_and_sentences_of_the_test_are_unseen_and_the_same_in_every_language():
    voices = {}
    for language, code in (("fra", "fr"), ("ces", "cs")):
        for line, sentence, split in plan(language, code):
            assert split_of(sentence.group) == split
            voices.setdefault((split, language), set()).add(line.voice.partition("+")[2])
    assert voices["test", "fra"] == voices["test", "ces"] == {"m4", "f5"}
    assert voices["train", "fra"] == voices["train", "ces"] == {"m1", "f1"}
    ids = [line.utt_id for line, _, _ in plan()]
    assert ids[0] == "espeak-m1_fra_000000"
    assert len(set(ids)) == 10


def test_speaking_twice_gives_the_same_bytes(tmp_path):
    lines = [line for line, _, _ in plan()][:3]
    for name in ("one", "two"):
        speak(lines, tmp_path / name)
    for line in lines:
        one, two = (tmp_path / name / f"{line.utt_id}.wav" for name in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()
        info = soundfile.info(one)
        assert (info.samplerate, info.channels) == (22050, 1)
        assert 0.3 < info.duration < 10
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


def test_the_synthesizer_tells_which_phone_it_says_when(tmp_path):
    line = SpokenLine(
        utt_id="a", text="Bonjour, toi.", voice="fr+m1", rate_wpm=170, pitch=50, seed=1
    )
    speak([line, dataclasses.replace(line, utt_id="b")], tmp_path / "fra")
    rows = [x.split(" ") for x in (tmp_path / "fra/phones.ctm").read_text().splitlines()]
    for utt_id in ("a", "b"):
        own = [row for row in rows if row[0] == utt_id]
        starts = [float(start) for _, _, start, _, _ in own]
        ends = [float(start) + float(seconds) for _, _, start, seconds, _ in own]
        assert 0 <= starts[0] < 0.1
        assert starts[1:] == pytest.approx(ends[:-1], abs=2e-4)
        assert ends[-1] == pytest.approx(
            soundfile.info(tmp_path / f"fra/{utt_id}.wav").duration, abs=2e-4
        )
        phones = [phone for phone, _ in groupby(phone for *_, phone in own)]
        assert phones == ["b", "ɔ̃", "ʒ", "u", "ʁ", "sil", "t", "w", "a", "sil"]


def test_a_stressed_phone_is_the_same_and_a_change_of_language_is_none():
    names = ("ˈɑ̃", "ˌe", "", "(en)", "tʃ")
    assert [phone_of(name.encode()) for name in names] == ["ɑ̃", "e", "sil", "sil", "tʃ"]
    assert phone_of("ˈɑːɹɹ".encode()[:8]) == "ɑːɹ"  # the library cuts through a letter


@pytest.mark.parametrize(
    ("voice", "message"),
    [("fr+nobody", "no voice variant nobody"), ("xx+m1", r"no voice xx\+m1")],
)
def test_unknown_voice_is_refused_not_replaced(tmp_path, voice, message):
    line = SpokenLine(utt_id="a", text="Bonjour", voice=voice, rate_wpm=170, pitch=50, seed=1)
    with pytest.raises(DataError, match=message):
        speak([line], tmp_path / "fra")


def test_sentences_that_cannot_be_spoken_are_left_out():
    texts = ["Un hibou blanc.", "un HIBOU blanc", "Court.", "Le chiffre 6 ici.", "x" * 61]
    kept = usable([Sentence(group=t, text=t) for t in texts], SyntheticConfig())
    assert [sentence.text for sentence in kept] == ["Un hibou blanc."]


def test_numbers_are_the_same_in_every_language_and_fill_up_few_phrases():
    french, czech = number_sentences("fr", 1), number_sentences("cs", 1)
    assert [s.group for s in french] == [s.group for s in czech]
    assert all(not any(c.isdigit() for c in s.text) for s in french)
    phrases = {"animals/owl": {"fr": "Un hibou blanc."}}
    found = sentences_of(phrases, "fr", SyntheticConfig(), 1)
    assert found[0] == Sentence(group="animals/owl", text="Un hibou blanc.")
    assert len(found) > 300


def test_a_split_without_sentences_is_refused():
    with pytest.raises(DataError, match=r"no sentence of fra falls into its dev list"):
        plan_lines("espeak", "fra", "fr", SENTENCES, lambda group: "train", CONFIG, seed=3)


def test_a_voice_in_two_splits_is_refused():
    with pytest.raises(ConfigError, match="voice m1 stands in two splits"):
        SyntheticConfig(train_voices=["m1"], test_voices=["m1"])
