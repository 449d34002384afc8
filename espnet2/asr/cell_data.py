"""Where a cell's data lies, and its splits ready to use.

``dump/superb/<track>/<split>`` are Kaldi directories (stage 10),
``exp/superb/<encoder>/features/<track>_<split>`` cached features (stage 11).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from torch import Tensor

from espnet2.asr.audio_batches import AudioCollator
from espnet2.asr.config import (
    BatchConfig,
    EncoderSpec,
    FeatureConfig,
    TuneConfig,
    Units,
    mono_parts,
    task_kind,
)
from espnet2.asr.data import Collator, Example, FixedBatches, read_examples
from espnet2.asr.features import FeatureStore
from espnet2.asr.vocabulary import Vocabulary
from espnet2.asr.waves import Waves
from espnet2.data.phones import phone_languages
from espnet2.utils.errors import DataError
from espnet2.utils.files import read_json

Prepare = Callable[[np.ndarray], Tensor]  # of a network: what it takes of a wave


@dataclass(frozen=True, kw_only=True)
class CellData:
    """The data of one cell."""

    data: Path
    """dump/superb."""

    features: Path
    """exp/superb/<encoder>/features."""

    task: str
    track: str
    corpora: list[str]
    """Corpora of the task; empty: all."""

    encoder: EncoderSpec
    export: Path | None
    feature_config: FeatureConfig
    tune: TuneConfig = field(default_factory=TuneConfig)
    device: str = "cpu"

    @property
    def units(self) -> Units:
        """Phones for a cell of one language of which stage 10 wrote them, else characters."""
        is_mono = task_kind(self.task) == "mono"
        has_phones = is_mono and mono_parts(self.task)[0] in phone_languages(self.data)
        return "phones" if has_phones else "characters"

    def data_dir(self, split: str) -> Path:
        """Kaldi directory of a split."""
        return self.data / self.track / split

    def is_live(self, *splits: str) -> bool:
        """Whether the encoder runs in every step: it learns, or features of a split are not stored.

        Raises:
            DataError: there are no features at all.
        """
        if self.tune.encoder != "frozen":
            return True
        return not all(is_stored(self.features_dir(split)) for split in splits)

    def features_dir(self, split: str) -> Path:
        """Folder of a split's features."""
        return self.features / f"{self.track}_{split}"

    def open(
        self, split: str, prepare: Prepare | None = None
    ) -> tuple[FeatureStore | Waves, list[Example]]:
        """Features of a split, or with ``prepare`` its audio, and the task's utterances in it.

        Raises:
            DataError: the features do not belong to the data.
        """
        folder = self.features_dir(split)
        is_stored(folder)
        opened = (
            FeatureStore(folder)
            if prepare is None
            else Waves(self.data_dir(split), folder, prepare)
        )
        folder = self.data_dir(split)
        return opened, read_examples(folder, opened, self.task, self.corpora, self.units)

    def layer_std(self, features: FeatureStore | Waves) -> list[float] | None:
        """(L,) of the training split where layers are divided by it, else None.

        Raises:
            DataError: it was not measured when the features were made.
        """
        if self.feature_config.normalise is None:
            return None
        if features.layer_std is None:
            folder = self.features_dir("train")
            raise DataError(f"{folder} was made without features.normalise; run stage 11 again")
        return features.layer_std

    def collator(
        self, examples: list[Example], features: FeatureStore | Waves, vocabulary: Vocabulary,
        config: BatchConfig,
    ) -> Collator:  # fmt: skip
        """Batches of these examples."""
        kind = AudioCollator if isinstance(features, Waves) else Collator
        return kind(examples, features, vocabulary, config)


def batches_to_decode(
    cell: CellData, split: str, vocabulary: Vocabulary, batch_s: float,
    prepare: Prepare | None = None,
) -> Iterator[tuple[list[str], Tensor, Tensor]]:  # fmt: skip
    """(utt_ids, features (B, T, L, D), lengths (B,)) of every utterance of a split, by length.

    With ``prepare`` (of the encoder's network) the model's audio and its samples instead.
    Nothing is dropped: an utterance too short for the model has an empty hypothesis.
    """
    features, examples = cell.open(split, prepare)
    config = BatchConfig(batch_s=batch_s)
    for [batch] in batches_of(cell.collator(examples, features, vocabulary, config)):
        kind = "features" if prepare is None else "speech"
        lengths = "feature_lengths" if prepare is None else "speech_lengths"
        yield batch["utt_ids"], batch[kind], batch[lengths]


def batches_of(collator: Collator) -> Iterator[list[dict]]:
    """Every batch of a collator, by length."""
    batches = FixedBatches(collator)
    return batches.loader(0, len(batches))


def is_stored(folder: Path) -> bool:
    """Whether stage 11 stored the features of a split.

    Raises:
        DataError: it has not been there.
    """
    if not (folder / "features.json").is_file():
        raise DataError(f"{folder} holds no features; run stage 11 (finetune) first")
    return bool(read_json(folder / "features.json")["chunks"])
