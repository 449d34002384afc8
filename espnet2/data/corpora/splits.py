"""Train, development and test lists that share no sentence, not even in translation.

Steps: sentences that are translations of each other or have the same text form a group; a seeded
hash of the group decides its split; per language each list is filled up to its minutes. Whatever
falls into the training split is pre-training audio, whether the training list has room or not.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import accumulate

from espnet2.data.corpora.clips import Clip, Dropped
from espnet2.data.corpora.config import DataConfig
from espnet2.data.corpora.text import text_key
from espnet2.utils.seeding import seed_for

LISTS = ("train", "dev", "test")


@dataclass(frozen=True, kw_only=True)
class Splits:
    """What a corpus is used for. ``pretrain`` begins with ``train``, in each language."""

    pretrain: list[Clip]
    train: list[Clip]
    dev: list[Clip]
    test: list[Clip]
    dropped: list[Dropped]


def fraction(seed: int, *names: str) -> float:
    """A number in [0, 1) that depends on nothing but its arguments."""
    return seed_for(seed, *names) / 2**63


def link_groups(sentences: Iterable[tuple[str, str, str]]) -> dict[str, str]:
    """Join the groups that hold the same text in one language.

    ``sentences`` are (group, language, text). Returns group -> name of its joined group, the
    first of its members in C order.
    """
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    first_with: dict[tuple[str, str], str] = {}
    for group, language, text in sentences:
        own = root(group)
        other = root(first_with.setdefault((language, text_key(text)), group))
        parent[max(own, other)] = min(own, other)
    return {group: root(group) for group in parent}


def splitter(
    linked: dict[str, str], config: DataConfig, seed: int, scale: float = 1.0
) -> Callable[[str], str]:
    """The function group -> train, dev or test; ``scale`` multiplies the held-out shares.

    Groups are ranked by a seeded hash, so that the shares of their number are exact; a group that
    is not in ``linked`` is placed by its hash alone.
    """
    ranked = sorted(set(linked.values()), key=lambda group: fraction(seed, "split", group))
    place = {group: (rank + 0.5) / len(ranked) for rank, group in enumerate(ranked)}
    test_end = config.test_share * scale
    dev_end = test_end + config.dev_share * scale

    def split_of(group: str) -> str:
        joined = linked.get(group, group)
        at = place[joined] if joined in place else fraction(seed, "split", joined)
        if at < test_end:
            return "test"
        return "dev" if at < dev_end else "train"

    return split_of


def split_clips(
    clips: list[Clip], split_of: Callable[[Clip], str], config: DataConfig, seed: int,
    train_minutes: float | None = None,
) -> Splits:  # fmt: skip
    """Fill the lists of every language."""
    by_language: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        by_language[clip.language].append(clip)
    result = Splits(pretrain=[], train=[], dev=[], test=[], dropped=[])
    longest = {
        "train": config.train_minutes if train_minutes is None else train_minutes,
        "dev": config.dev_minutes, "test": config.test_minutes,
    }  # fmt: skip
    for language in sorted(by_language):
        ordered = sorted(by_language[language], key=lambda c: fraction(seed, "order", c.utt_id))
        pool = {name: [c for c in ordered if split_of(c) == name] for name in LISTS}
        chosen = {name: take(pool[name], longest[name]) for name in LISTS}
        if language in config.few_shot_languages:
            chosen["train"] = pool["train"][: config.few_shot_utterances]
        for name in LISTS:
            getattr(result, name).extend(by_id(chosen[name]))
        add_pretraining(result, pool, chosen, config)
    return result


def add_pretraining(
    result: Splits, pool: dict[str, list[Clip]], chosen: dict[str, list[Clip]], config: DataConfig
) -> None:
    """Everything outside development and test; what their minutes leave over stays unused.

    Another corpus may test with the sentence that is over here, so it is not trained on.
    """
    train = {clip.utt_id for clip in chosen["train"]}
    usable = chosen["train"] + [c for c in pool["train"] if c.utt_id not in train]
    kept = take(usable, config.ssl_minutes_per_language)
    result.pretrain.extend(by_id(kept))
    spare = {
        "over_ssl_minutes": usable[len(kept) :],
        "over_dev_minutes": pool["dev"][len(chosen["dev"]) :],
        "over_test_minutes": pool["test"][len(chosen["test"]) :],
    }
    result.dropped.extend(
        Dropped(utt_id=clip.utt_id, reason=reason, detail=f"{clip.duration_s:.2f} s")
        for reason, clips in spare.items()
        for clip in clips
    )


def take(clips: list[Clip], longest: float | None) -> list[Clip]:
    """The first clips, up to ``longest`` minutes in all (None: every clip)."""
    if longest is None:
        return clips
    ends_s = accumulate(clip.duration_s for clip in clips)
    return clips[: sum(end <= longest * 60 for end in ends_s)]


def by_id(clips: Iterable[Clip]) -> list[Clip]:
    """Clips in C order of their ids."""
    return sorted(clips, key=lambda clip: clip.utt_id.encode())
