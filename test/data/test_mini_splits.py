"""Splits of the mini corpus: no sentence in two lists, whatever the corpus looks like."""

import itertools
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet2.data.corpora.clips import Clip
from espnet2.data.corpora.config import DataConfig
from espnet2.data.corpora.splits import LISTS, link_groups, split_clips, splitter, take
from espnet2.data.corpora.text import text_key

SECONDS = 2.0


def clip_of(group, language, text, number):
    return Clip(
        utt_id=f"x_{language}_{number:06d}", path=Path("x.wav"), language=language, speaker="x",
        text=text, group=group, duration_s=SECONDS,
    )  # fmt: skip


def corpus(num_groups, languages=("fra", "ces"), texts=None):
    """A clip for each group and language; ``texts`` < ``num_groups`` repeats sentences."""
    return [
        clip_of(f"g{g}", language, f"{language} says {g % (texts or num_groups)}", g)
        for g in range(num_groups)
        for language in languages
    ]


def split(clips, config=None, seed=0):
    config = config or DataConfig(dev_share=0.1, test_share=0.2)
    split_of = splitter(link_groups((c.group, c.language, c.text) for c in clips), config, seed)
    return split_clips(clips, lambda clip: split_of(clip.group), config, seed)


sentences = st.lists(
    st.tuples(
        st.integers(0, 40), st.sampled_from(["fra", "ces", "dan"]), st.integers(0, 25),
        st.sampled_from(["Text {}.", "text {}", "«TEXT {}»"]),
    ),
    min_size=1, max_size=80,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(rows=sentences, seed=st.integers(0, 1000), test_minutes=st.sampled_from([None, 0.1]))
def test_no_sentence_or_translation_of_it_stands_in_two_lists(rows, seed, test_minutes):
    clips = [
        clip_of(f"g{group}", language, form.format("x" * text), number)
        for number, (group, language, text, form) in enumerate(rows)
    ]
    config = DataConfig(dev_share=0.2, test_share=0.3, test_minutes=test_minutes)
    splits = split(clips, config, seed)
    for one, other in itertools.combinations(LISTS, 2):
        a, b = getattr(splits, one), getattr(splits, other)
        assert not {c.group for c in a} & {c.group for c in b}
        assert not {(c.language, text_key(c.text)) for c in a} & {
            (c.language, text_key(c.text)) for c in b
        }
    held = {(c.language, text_key(c.text)) for c in [*splits.dev, *splits.test]}
    assert not held & {(c.language, text_key(c.text)) for c in splits.pretrain}
    used = [c.utt_id for c in [*splits.pretrain, *splits.dev, *splits.test]]
    lost = [row.utt_id for row in splits.dropped]
    assert sorted([*used, *lost]) == sorted(c.utt_id for c in clips)


def test_split_does_not_depend_on_order_or_on_other_languages():
    clips = corpus(60)
    forward, backward = split(clips), split(clips[::-1])
    assert forward == backward
    alone = split([clip for clip in clips if clip.language == "fra"])
    assert alone.test == [clip for clip in forward.test if clip.language == "fra"]


def test_another_seed_gives_another_split():
    clips = corpus(60)
    assert split(clips, seed=0).test != split(clips, seed=1).test


def test_groups_with_a_common_text_are_linked_through_others():
    linked = link_groups(
        [("b", "fra", "Un."), ("c", "fra", "un"), ("c", "ces", "dva"), ("d", "ces", "Dva!"),
         ("e", "fra", "dva")]
    )  # fmt: skip
    assert linked == {"b": "b", "c": "b", "d": "b", "e": "e"}


def test_shares_of_the_sentences_are_exact_and_scale_with_the_corpus():
    splits = split(corpus(200, languages=("fra",)))
    assert (len(splits.test), len(splits.dev)) == (40, 20)
    unknown = splitter({}, DataConfig(dev_share=0.1, test_share=0.2), 0)
    drawn = [unknown(f"g{i}") for i in range(2000)]
    assert drawn.count("test") / 2000 == pytest.approx(0.2, abs=0.03)
    scaled = splitter({}, DataConfig(dev_share=0.1, test_share=0.2), 0, scale=0.0)
    assert {scaled(f"g{i}") for i in range(100)} == {"train"}


def test_lists_end_at_their_minutes_and_pretraining_takes_the_rest():
    config = DataConfig(
        dev_share=0.2, test_share=0.2, train_minutes=0.2, dev_minutes=0.1, test_minutes=0.1
    )
    splits = split(corpus(100, languages=("fra",)), config)
    assert [len(getattr(splits, name)) for name in LISTS] == [6, 3, 3]
    assert {c.utt_id for c in splits.train} <= {c.utt_id for c in splits.pretrain}
    assert len(splits.pretrain) + 6 + len(splits.dropped) == 100
    assert {row.reason for row in splits.dropped} == {"over_dev_minutes", "over_test_minutes"}


def test_reserved_languages_have_five_training_utterances_and_all_of_pretraining():
    splits = split(corpus(100, languages=("dan", "fra")))
    danish = [clip for clip in splits.train if clip.language == "dan"]
    assert len(danish) == 5
    pretrain = {x: sum(c.language == x for c in splits.pretrain) for x in ("dan", "fra")}
    assert pretrain["dan"] == pretrain["fra"] > 50


def test_pretraining_minutes_of_a_language_can_be_capped():
    config = DataConfig(train_minutes=0.1, ssl_minutes_per_language=0.5)
    splits = split(corpus(100), config)
    assert [sum(c.language == x for c in splits.pretrain) for x in ("fra", "ces")] == [15, 15]
    assert {c.utt_id for c in splits.train} <= {c.utt_id for c in splits.pretrain}


def test_take_stops_before_the_limit_is_passed():
    clips = corpus(5, languages=("fra",))
    assert len(take(clips, 4 / 60)) == 2
    assert len(take(clips, 5.9 / 60)) == 2
    assert take(clips, None) == clips
