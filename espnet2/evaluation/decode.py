"""Greedy CTC decoding of a trained cell: the best token of each frame, repeats and blanks removed.

The published tables are greedy, too.

Shapes: B batch, L layers, U frames of 40 ms, V vocabulary.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from espnet2.asr.cell_data import CellData, batches_to_decode
from espnet2.asr.config import Units
from espnet2.asr.ctc_model import CTCModel
from espnet2.asr.tuned_model import TunedModel
from espnet2.asr.vocabulary import Vocabulary
from espnet2.evaluation.cells import Cell
from espnet2.train.cell_model import for_split, read_cell, trained_model
from espnet2.train.cells import CellConfig
from espnet2.utils.errors import DataError

BLANK_ID = 0
NOTHING = -1  # in place of a frame before the first and behind the last: no token is like it


@dataclass(frozen=True, kw_only=True)
class CellDecoder:
    """A cell's model with the data it was trained for."""

    model: CTCModel | TunedModel
    vocabulary: Vocabulary
    config: CellConfig
    source: CellData
    batch_s: float

    units: Units
    """What its targets are made of, and what is scored."""

    @classmethod
    def open(cls, cell: Cell, data: Path, batch_s: float, device: str = "cpu") -> "CellDecoder":
        """Load what fine-tuning left in the cell's folder.

        Raises:
            ConfigError: config.yaml is not one of a cell.
            CheckpointError: model.pth is damaged or of another model.
        """
        settings, config = read_cell(cell.folder / "config.yaml")
        export = settings["data"].get("export")
        source = CellData(
            data=Path(data), features=cell.folder.parent / "features", task=cell.task,
            track=cell.track, corpora=config.corpora, encoder=config.encoder,
            export=Path(export) if export else None, feature_config=config.features,
            tune=config.tune, device=device,
        )  # fmt: skip
        model = trained_model(cell.folder, config, settings["model"], source.export)
        return cls(
            model=model.to(device), vocabulary=Vocabulary.load(cell.folder / "vocabulary.txt"),
            config=config, source=source, batch_s=batch_s,
            units=settings.get("units", "characters"),
        )  # fmt: skip

    @torch.inference_mode()
    def decode(self, split: str) -> dict[str, str]:
        """The hypothesis of every utterance of the task in ``split``, by id.

        Raises:
            DataError: an utterance came twice, or the split has changed since it was encoded.
        """
        model = for_split(self.model, self.config, self.source, split)
        prepare = model.encoder.prepare if isinstance(model, TunedModel) else None
        hypotheses: dict[str, str] = {}
        for utt_ids, inputs, lengths in batches_to_decode(
            self.source, split, self.vocabulary, self.batch_s, prepare
        ):
            log_probs, num_frames = model.log_probs(inputs.to(self.source.device), lengths)
            for utt_id, tokens in zip(utt_ids, greedy(log_probs, num_frames), strict=True):
                if utt_id in hypotheses:
                    raise DataError(f"{self.source.data_dir(split)}: {utt_id} is there twice")
                hypotheses[utt_id] = self.vocabulary.decode(tokens)
        return hypotheses

    @torch.inference_mode()
    def layer_weights(self) -> list[float]:
        """Share of each encoder layer, summing to 1; the first is the input of the first block."""
        shares = [round(float(share), 6) for share in self.model.mix.weights()]
        return shares if self.config.encoder.has_input else [0.0, *shares]


def greedy(log_probs: Tensor, num_frames: Tensor) -> list[list[int]]:
    """Token ids of each utterance; computed where ``log_probs`` lie, copied to the host once.

    Args:
        log_probs: (B, U, V).
        num_frames: (B,) frames that count; the rest is padding.
    """
    best = log_probs.argmax(dim=2)  # (B, U)
    is_pad = torch.arange(best.shape[1], device=best.device) >= num_frames.to(best.device)[:, None]
    before = F.pad(best, (1, 0), value=NOTHING)[:, :-1]
    is_token = (best != before) & (best != BLANK_ID) & ~is_pad  # (B, U)
    rows = best.masked_fill(~is_token, NOTHING).tolist()
    return [[token for token in row if token != NOTHING] for row in rows]
