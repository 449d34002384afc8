"""Kind ``kaldi``: an existing data directory is checked and taken over; no audio is copied."""

import dataclasses
from collections.abc import Iterator

from espnet2.data.corpora.corpus_folder import Drops
from espnet2.data.corpora.kinds import OnDisk
from espnet2.data.corpora.language_codes import Languages
from espnet2.data.kaldi import Utterance, check_kaldi, iter_kaldi, shown
from espnet2.data.languages import UNKNOWN_LANGUAGE
from espnet2.utils.errors import DataError


def utterances(
    spec: OnDisk, languages: Languages, drops: Drops, allow_pipes: bool
) -> Iterator[Utterance]:
    """The directory's utterances; ``language`` stands for those without one.

    Audio that is missing is found by stage 2, which drops the utterance and says so.

    Raises:
        DataError: the directory is not valid; every problem with file and line.
    """
    problems = check_kaldi(spec.path, allow_pipes)
    if problems:
        raise DataError(f"{spec.path} is not a valid data directory:\n  {shown(problems)}")
    for utterance in iter_kaldi(spec.path, allow_pipes):
        if utterance.language == UNKNOWN_LANGUAGE and spec.language is not None:
            utterance = dataclasses.replace(utterance, language=spec.language)
        yield utterance
