"""Where a cell's data lies, and its splits ready to use.

``dump/superb/<track>/<split>`` are Kaldi directories (stage 10),
``exp/superb/<encoder>/features/<track>_<split>`` cached features (stage 11).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from espnet2.asr.config import BatchConfig, EncoderSpec, FeatureConfig
from espnet2.asr.data import Collator, Example, FixedBatches, read_examples
from espnet2.asr.features import FeatureSource, FeatureStore, LiveFeatures, open_features
from espnet2.asr.vocabulary import Vocabulary


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
    device: str = "cpu"

    def data_dir(self, split: str) -> Path:
        """Kaldi directory of a split."""
        return self.data / self.track / split

    def open(self, split: str) -> tuple[FeatureStore | LiveFeatures, list[Example]]:
        """Features of a split and the task's utterances in it.

        Raises:
            DataError: the features do not belong to the data.
        """
        source = FeatureSource(
            data_dir=self.data_dir(split), encoder=self.encoder, export=self.export,
            config=self.feature_config, device=self.device,
        )  # fmt: skip
        features = open_features(self.features / f"{self.track}_{split}", source)
        return features, read_examples(self.data_dir(split), features, self.task, self.corpora)


def batches_to_decode(
    cell: CellData, split: str, vocabulary: Vocabulary, batch_s: float
) -> Iterator[tuple[list[str], Tensor, Tensor]]:
    """(utt_ids, features (B, T, L, D), lengths (B,)) of every utterance of a split, by length.

    Nothing is dropped: an utterance too short for the model has an empty hypothesis.
    """
    features, examples = cell.open(split)
    config = BatchConfig(batch_s=batch_s)
    for [batch] in batches_of(Collator(examples, features, vocabulary, config)):
        yield batch["utt_ids"], batch["features"], batch["feature_lengths"]


def batches_of(collator: Collator) -> Iterator[list[dict]]:
    """Every batch of a collator, by length."""
    batches = FixedBatches(collator)
    return batches.loader(0, len(batches))
