"""Kind ``ml_superb``: the training lists of an ML-SUPERB tree as pre-training audio."""

from collections.abc import Iterator

from espnet2.data import superb
from espnet2.data.corpora.corpus_folder import Drops
from espnet2.data.corpora.kinds import MlSuperb
from espnet2.data.corpora.language_codes import Languages
from espnet2.data.kaldi import Utterance
from espnet2.utils.errors import DataError


def utterances(spec: MlSuperb, languages: Languages, drops: Drops) -> Iterator[Utterance]:
    """The utterances of every training list; none that a development or test list holds.

    Raises:
        DataError: not an ML-SUPERB tree, or a list is missing.
    """
    for language, corpora in superb.find_languages(spec.path, spec.corpora).items():
        for corpus in corpora:
            refuse_incomplete(spec, corpus, language)
            held_out = {utt_id for split in ("dev", "test")
                        for utt_id, _ in lines(spec, corpus, language, split, [])}  # fmt: skip
            dropped: list[superb.Dropped] = []
            for utt_id, words in lines(spec, corpus, language, "train", dropped):
                if utt_id in held_out:
                    drops.add(utt_id, "held out", f"{corpus}/{language}: in a dev or test list")
                    continue
                wav = spec.path / corpus / language / "wav" / f"{utt_id}.wav"
                yield Utterance(
                    utt_id=utt_id, recording=utt_id, source=str(wav), speaker=utt_id,
                    language=languages.of(language), text=words,
                )  # fmt: skip
            for row in dropped:
                drops.add(row.utt_id, row.reason, row.detail)


def refuse_incomplete(spec: MlSuperb, corpus: str, language: str) -> None:
    """Raise DataError for a missing list of the track, naming the other track if it is there."""
    try:
        superb.transcripts(spec.path, [corpus], language, [spec.track])
    except DataError as error:
        other = {"1h": "10min", "10min": "1h"}.get(spec.track, "1h")
        path = superb.transcript_path(spec.path, corpus, language, other, "train")
        hint = f"; it has the lists of {other}: track: {other}" if path.is_file() else ""
        raise DataError(f"{error}{hint}") from None


def lines(
    spec: MlSuperb, corpus: str, language: str, split: str, dropped: list[superb.Dropped]
) -> Iterator[tuple[str, str]]:
    """(utterance, words) of one list."""
    path = superb.transcript_path(spec.path, corpus, language, spec.track, split)
    return superb.read_lines(path, dropped)
