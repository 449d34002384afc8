"""The audio of a split, measured once and read when it is asked for.

Shapes: S samples of an utterance, N values of what an encoder takes of it.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from espnet2.data.audio import load_pcm, to_float
from espnet2.data.frames import RECEPTIVE_SAMPLES, num_frames
from espnet2.data.kaldi import Utterance, read_kaldi
from espnet2.data.tsv import Dropped, write_dropped
from espnet2.utils.errors import DataError
from espnet2.utils.files import read_json


class Waves:
    """Audio of a split by row of its Kaldi directory, as a network takes it.

    Beside ``FeatureStore``: for encoders that learn, and where features are made again every time.
    """

    def __init__(
        self, data_dir: Path, folder: Path, prepare: Callable[[np.ndarray], Tensor]
    ) -> None:
        """``folder``: features of the split, stored or not; ``prepare``: of the network."""
        about = read_json(folder / "features.json")
        self.utt_ids: list[str] = about["utt_ids"]
        self.frames = np.array(about["frames"], dtype=np.int64)
        self.num_layers, self.dim = about["num_layers"], about["dim"]
        self.layer_std: list[float] | None = about.get("layer_std")
        self.prepare = prepare
        utterances = {u.utt_id: u for u in read_kaldi(data_dir)}
        self.utterances = [utterances[utt_id] for utt_id in self.utt_ids]

    def inputs(self, rows: list[int]) -> tuple[list[Tensor], Tensor]:
        """(N, ...) of each row, and their samples (rows,).

        Audio without a frame (unreadable, or shorter) is a frame of silence here.
        """
        waves = [self.wave(row) for row in rows]
        lengths = torch.tensor([len(wave) for wave in waves])
        return [self.prepare(wave) for wave in waves], lengths

    def wave(self, row: int) -> np.ndarray:
        """(S,) float32 in +-1 of one row."""
        if not self.frames[row]:
            return np.zeros(RECEPTIVE_SAMPLES, dtype=np.float32)
        return read_wave(self.utterances[row])


def measured(data_dir: Path, out: Path) -> tuple[list[Utterance], np.ndarray, str]:
    """Utterances of a directory, how many samples at 16 kHz each has, and a digest of all samples.

    Audio that cannot be read has none; it, and what is shorter than one frame, has a row of
    dropped.tsv in ``out``.
    """
    utterances = read_kaldi(data_dir)
    lengths, dropped, digest = [], [], hashlib.sha256()
    for utterance in utterances:
        try:
            wave = read_wave(utterance)
            lengths.append(len(wave))
            digest.update(wave)
        except (DataError, OSError) as error:
            lengths.append(0)
            reason, detail = "unreadable audio", str(error)
        else:
            reason, detail = "shorter than a frame", f"{lengths[-1]} samples"
        if not num_frames(lengths[-1]):
            dropped.append(Dropped(utt_id=utterance.utt_id, reason=reason, detail=detail))
    write_dropped(out / "dropped.tsv", dropped)
    return utterances, np.array(lengths, dtype=np.int64), digest.hexdigest()


def read_wave(utterance: Utterance) -> np.ndarray:
    """(S,) float32 in +-1 at 16 kHz."""
    return to_float(load_pcm(utterance.source, utterance.start_s, utterance.end_s).samples)
