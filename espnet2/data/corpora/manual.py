"""Kind ``manual``: what somebody placed, a Kaldi data directory or a folder of audio."""

from collections.abc import Iterator

from espnet2.data.corpora import folder, kaldi
from espnet2.data.corpora.corpus_folder import Drops
from espnet2.data.corpora.kinds import Manual
from espnet2.data.corpora.language_codes import Languages
from espnet2.data.kaldi import Utterance


def utterances(
    spec: Manual, languages: Languages, drops: Drops, allow_pipes: bool
) -> Iterator[Utterance]:
    """As of kind ``kaldi`` where there is a ``wav.scp``, else as of kind ``folder``."""
    if (spec.path / "wav.scp").is_file():
        return kaldi.utterances(spec, languages, drops, allow_pipes)
    return folder.utterances(spec, languages, drops)
