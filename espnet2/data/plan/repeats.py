"""How often an utterance appears in a pass: weights of languages and corpora, drawn as whole
numbers.

Memory: one number a (language, corpus) and one chunk of rows, whatever the size of the set.
"""

from collections.abc import Iterator

import numpy as np

from espnet2.data.config import PlanConfig
from espnet2.data.index import Index
from espnet2.utils.seeding import rng_for

NEARLY_WHOLE = 1e-9  # a weight this close to a whole number is that number


class Repeats:
    """Times each utterance appears in a pass, at least 1; walk over it as often as needed.

    With weight w an utterance appears floor(w) times, and once more with probability
    w - floor(w), drawn once for the whole run: every pass holds the same utterances as often, and
    on average over the utterances of a group each appears w times.
    """

    def __init__(self, index: Index, config: PlanConfig, seed: int):
        self.index, self.seed = index, seed
        self.weights = group_weights(index, config)  # (languages * corpora,)
        self.is_once = bool((self.weights == 1).all())

    def __iter__(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Row ranges with their (rows,) int64 repeats: the same on every walk, and for chunks of
        any size, because the rows' draws follow each other from one generator."""
        rng = rng_for(self.seed, "repeats")
        whole = np.floor(self.weights)
        part = self.weights - whole
        for rows in self.index.chunks():
            if self.is_once:
                yield rows, np.ones(rows.stop - rows.start, np.int64)
                continue
            group = group_codes(self.index, rows)
            is_more = rng.random(len(group)) >= 1 - part[group]
            yield rows, whole[group].astype(np.int64) + is_more


def group_codes(index: Index, rows: slice) -> np.ndarray:
    """(rows,) int64: language * corpora + corpus, the number of each row's group."""
    languages, corpora = index.languages, index.corpora
    return languages.codes[rows].astype(np.int64) * len(corpora.names) + corpora.codes[rows]


def group_weights(index: Index, config: PlanConfig) -> np.ndarray:
    """(languages * corpora,) how often an utterance of each group should appear in a pass.

    A language holding ``h`` hours is drawn in proportion to ``h ** language_temperature``, and a
    corpus within it likewise. The group drawn least for its size has weight 1, and none more than
    ``max_repeats``. Groups without audio have weight 1.
    """
    languages, corpora = len(index.languages.names), len(index.corpora.names)
    weights = np.ones(languages * corpora)
    if config.language_temperature == config.corpus_temperature == 1:
        return weights
    hours = np.zeros(languages * corpora)  # in samples
    for rows in index.chunks():
        hours += np.bincount(group_codes(index, rows), index.num_samples[rows], len(hours))
    (present,) = np.nonzero(hours)
    language, hours = present // max(corpora, 1), hours[present]
    drawn = hours**config.corpus_temperature
    by_language = np.bincount(language, hours)[language]
    drawn *= by_language**config.language_temperature / np.bincount(language, drawn)[language]
    weight = drawn / hours
    weight = np.minimum(weight / weight.min(initial=np.inf), config.max_repeats)
    nearest = np.rint(weight)
    weights[present] = np.where(np.abs(weight - nearest) < NEARLY_WHOLE, nearest, weight)
    return weights
