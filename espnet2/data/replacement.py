"""What the places of a batch hold: the planned rows, and stand-ins where audio cannot be read.

A stand-in is another row of the same bucket, so it is long enough; which one hangs on seed, visit
and the planned row alone, so every rank, worker and resumed run takes the same. It brings its own
labels, which belong to its audio. The random draws of the place (crop, noise, room, mask) stay
those of the planned row: they are other ones than where the stand-in is itself planned, so nothing
is learnt twice in the same form, and the rest of the batch is what it would have been.
"""

from dataclasses import dataclass

import numpy as np

from espnet2.data.clips import Clip, Pieces, UnreadableAudio, Utterances
from espnet2.data.plan import Plan, PlannedBatch
from espnet2.utils.errors import DataError
from espnet2.utils.seeding import rng_for

ATTEMPTS = 8  # stand-ins tried for a place: with so many failing, the disk is gone, not a file


@dataclass(frozen=True, kw_only=True)
class Place:
    """What one place of a batch holds."""

    row: int  # the planned one, or the stand-in
    clip: Clip
    replaced: tuple[tuple[str, str], ...]  # (utt_id, reason) of what could not be read before it


class Places:
    """The places of one planned batch; each row is decoded once."""

    def __init__(self, clips: Utterances | Pieces, plan: Plan, planned: PlannedBatch, seed: int):
        self.clips, self.plan, self.planned, self.seed = clips, plan, planned, seed
        self._read: dict[int, Clip | UnreadableAudio] = {}  # by row

    def __len__(self) -> int:
        return len(self.planned.rows)

    def visit(self, i: int) -> int:
        """How often the row of place ``i`` was drawn before."""
        return int(self.planned.visits[i])

    def key(self, i: int) -> str:
        """What the random generators of place ``i`` are named by."""
        return self.clips.key(int(self.planned.rows[i]))

    def others(self, i: int) -> np.ndarray:
        """(n,) the places that another row than that of place ``i`` is planned for."""
        return np.flatnonzero(self.planned.rows != self.planned.rows[i])

    def __getitem__(self, i: int) -> Place:
        """Place ``i``. Raises DataError where no stand-in can be read either."""
        row, replaced = int(self.planned.rows[i]), []
        for attempt in range(ATTEMPTS + 1):
            if attempt:
                row = self._stand_in(i, attempt)
            clip = self._clip(row)
            if isinstance(clip, Clip):
                return Place(row=row, clip=clip, replaced=tuple(replaced))
            replaced.append((clip.utt_id, clip.reason))
        (first, _), (_, reason) = replaced[0], replaced[-1]
        raise DataError(
            f"{first}: neither its audio nor that of {ATTEMPTS} others of its length can be read; "
            f"the last: {reason}; see that the shards under {self.clips.index.root} are there and "
            "whole, and run the same command again"
        )

    def _stand_in(self, i: int, attempt: int) -> int:
        """A row of the same bucket."""
        rng = rng_for(self.seed, "replacement", self.visit(i), self.key(i), attempt)
        bucket = self.planned.bucket
        return self.plan.row(bucket, int(rng.integers(bucket.count)))

    def _clip(self, row: int) -> Clip | UnreadableAudio:
        """A row's clip, or why there is none."""
        if row not in self._read:
            try:
                self._read[row] = self.clips.clip(row)
            except UnreadableAudio as error:
                self._read[row] = error
        return self._read[row]
