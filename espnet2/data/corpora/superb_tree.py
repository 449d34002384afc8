"""A split corpus on disk: a Kaldi directory for pre-training, an ML-SUPERB tree for the probe.

``data/<corpus>/`` points at the files as they come. ``<root>/<corpus>/<iso3>/`` holds
``wav/<utt>.wav`` (16 kHz mono) and ``transcript_10min_{train,dev,test}.txt`` with lines
``utt_id language words...``. Both appear whole: they are built beside their place and renamed.
"""

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from espnet2.data.audio import encode_wav, load_pcm
from espnet2.data.corpora.clips import Clip, Dropped, dropped_table, minutes
from espnet2.data.corpora.splits import LISTS, Splits
from espnet2.data.kaldi import Utterance, write_kaldi
from espnet2.utils.errors import DataError
from espnet2.utils.files import write_text


def write_tree(root: Path, corpus: str, splits: Splits) -> None:
    """``<root>/<corpus>``; every language of the corpus gets the three lists."""
    languages = sorted({clip.language for clip in [*splits.train, *splits.test]})
    with new_folder(root / corpus) as part:
        for language in languages:
            for name in LISTS:
                clips = [clip for clip in getattr(splits, name) if clip.language == language]
                if not clips:
                    raise DataError(
                        f"corpus {corpus}: language {language} has no utterance for its {name} "
                        f"list; give it a greater share (section data), or leave it out"
                    )
                write_list(part / language, f"transcript_10min_{name}.txt", clips)


def write_list(folder: Path, name: str, clips: list[Clip]) -> None:
    """One list and its audio."""
    (folder / "wav").mkdir(parents=True, exist_ok=True)
    for clip in clips:
        samples = load_pcm(str(clip.path)).samples
        (folder / "wav" / f"{clip.utt_id}.wav").write_bytes(encode_wav(samples))
    (folder / name).write_text(
        "".join(f"{clip.utt_id} {clip.language} {clip.text}\n" for clip in clips), encoding="utf-8"
    )


def write_kaldi_folder(
    data: Path, corpus: str, clips: Iterable[Clip], dropped: list[Dropped]
) -> None:
    """``data/<corpus>`` with ``dropped.tsv``; ``text`` only where all transcripts are known."""
    utterances = [
        Utterance(
            utt_id=clip.utt_id, recording=clip.utt_id, source=str(clip.path),
            language=clip.language, speaker=clip.speaker, text=clip.text,
            duration_s=round(clip.duration_s, 4),
        )
        for clip in clips
    ]  # fmt: skip
    with new_folder(data / corpus) as part:
        write_kaldi(part, utterances)
        write_text(part / "dropped.tsv", dropped_table(dropped))


def summary(corpus: str, clips_in: int, minutes_in: float, splits: Splits) -> dict[str, object]:
    """Counts and minutes, in all and by language and list, for the log and the marker."""
    lists = {"pretrain": splits.pretrain, **{name: getattr(splits, name) for name in LISTS}}
    languages = sorted({clip.language for clips in lists.values() for clip in clips})
    return {
        "corpus": corpus,
        "in": [clips_in, round(minutes_in, 2)],
        "lists": {name: [len(clips), round(minutes(clips), 2)] for name, clips in lists.items()},
        "languages": {
            language: {
                name: round(minutes(c for c in clips if c.language == language), 2)
                for name, clips in lists.items()
            }
            for language in languages
        },
    }


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``path``; on success it takes its place, on error it goes."""
    part = path.with_name(f".{path.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        yield part
        shutil.rmtree(path, ignore_errors=True)
        os.replace(part, path)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
