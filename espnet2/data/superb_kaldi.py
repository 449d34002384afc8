"""Kaldi directories as a benchmark: train, dev and test of languages of your own, FLEURS-style.

Each directory holds wav.scp, text and utt2lang (ISO 639-3); segments, utt2dur and utt2corpus where
there are any. Nothing is copied: wav.scp points at the same audio.
"""

from pathlib import Path

from espnet2.data.kaldi import Utterance, iter_kaldi
from espnet2.data.kaldi.tables import entries
from espnet2.data.superb import SuperbDataConfig
from espnet2.data.superb_rows import Dropped, SuperbRow, checked, normalise
from espnet2.utils.errors import DataError

REQUIRED = ("wav.scp", "text", "utt2lang")
OTHERS = ("segments", "utt2dur", "utt2corpus")


def split_folders(root: Path, config: SuperbDataConfig) -> dict[str, Path]:
    """The directory of each split.

    Raises:
        DataError: a directory, or one of its files, is missing.
    """
    folders = {split: root / split for split in config.splits}
    for folder in folders.values():
        if not folder.is_dir():
            raise DataError(
                f"{folder} is missing; kind kaldi needs the directories {', '.join(folders)}"
            )
        for name in REQUIRED:
            if not (folder / name).is_file():
                raise DataError(f"{folder / name} is missing; a benchmark needs it")
    return folders


def split_files(folder: Path) -> list[Path]:
    """The small files that decide a split."""
    return [folder / name for name in (*REQUIRED, *OTHERS) if (folder / name).is_file()]


def split_rows(
    folder: Path, split: str, config: SuperbDataConfig
) -> tuple[list[SuperbRow], list[Dropped]]:
    """The utterances of a directory in C order, and what was left out.

    Raises:
        DataError: a file that is not as Kaldi has it, with file and line.
    """
    rows, dropped = [], []
    corpora = corpus_names(folder)
    longest_s = config.max_train_s if split in ("train", "dev") else None
    for utterance in iter_kaldi(folder):
        if config.languages and utterance.language not in config.languages:
            dropped.append(
                Dropped(
                    utt_id=utterance.utt_id, reason="language not chosen", detail=utterance.language
                )
            )
            continue
        if corpora and utterance.utt_id not in corpora:
            raise DataError(f"{folder / 'utt2corpus'}: no line for {utterance.utt_id}")
        corpus = corpora.get(utterance.utt_id, folder.parent.resolve().name)
        row = checked(row_of(utterance, corpus), longest_s)
        (dropped if isinstance(row, Dropped) else rows).append(row)
    return rows, dropped


def corpus_names(folder: Path) -> dict[str, str]:
    """Utterance -> corpus of ``utt2corpus``; empty where there is none."""
    path = folder / "utt2corpus"
    return {entry.key: entry.value for entry in entries(path)} if path.is_file() else {}


def row_of(utterance: Utterance, corpus: str) -> SuperbRow:
    """One utterance; its length where a file states it."""
    cut = utterance.end_s is not None
    seconds = utterance.end_s - utterance.start_s if cut else utterance.duration_s
    return SuperbRow(
        utt_id=utterance.utt_id, wav=utterance.source, language=utterance.language, corpus=corpus,
        duration_s=seconds or 0.0, text=normalise(utterance.text or ""),
        recording=utterance.recording, start_s=utterance.start_s, end_s=utterance.end_s,
    )  # fmt: skip


def refuse_shared(sets: dict[str, list[str]]) -> None:
    """Refuse an utterance that is trained on and tested on.

    Args:
        sets: "<track>/<split>" -> ids.

    Raises:
        DataError: names it and the split.
    """
    trained = {utt_id for name, ids in sets.items() if name.endswith("/train") for utt_id in ids}
    for name, ids in sets.items():
        shared = [] if name.endswith("/train") else sorted(trained.intersection(ids))
        if shared:
            raise DataError(
                f"{len(shared)} utterances of {name.split('/')[1]} are in train too, first "
                f"{shared[0]}: take them out of one"
            )
