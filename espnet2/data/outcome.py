"""What became of a list of recordings: progress bar, ``dropped.tsv``, the line at the end."""

import contextlib
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from tqdm import tqdm

from espnet2.data.hours import summary
from espnet2.data.kaldi import Utterance
from espnet2.data.tsv import Dropped, write_dropped
from espnet2.utils.errors import DataError
from espnet2.utils.files import atomic_path
from espnet2.utils.logs import log

BAR = "{percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"

WriteLine = Callable[[str], object]


class Outcome:
    """Counts recordings while they are done; the bar shows seconds of audio, on a terminal only."""

    def __init__(self, utterances: list[Utterance], where: str) -> None:
        """``utterances``: with a ``duration_s``. ``where``: begins the lines of the log."""
        self.count, self.where, self.begun = len(utterances), where, time.time()
        self.total_s, self.done_s = sum(u.duration_s for u in utterances), 0.0
        self.dropped: list[Dropped] = []
        self.bar = tqdm(total=self.total_s, bar_format=BAR, disable=None)

    def add(self, utterance: Utterance, dropped: Dropped | None = None) -> None:
        """One more recording is done, or dropped."""
        if dropped is None:
            self.done_s += utterance.duration_s
        else:
            self.dropped.append(dropped)
        self.bar.set_postfix_str(self.speed(), refresh=False)
        self.bar.update(utterance.duration_s)

    def speed(self) -> str:
        """Seconds of audio a second, in words."""
        return f"{self.done_s / max(time.time() - self.begun, 1e-9):.1f} x real time"

    def finish(self, dropped_tsv: Path | None) -> None:
        """Write what was dropped (without a file: a line each on stderr), then the summary.

        Raises:
            DataError: nothing could be used.
        """
        self.bar.close()
        self.dropped.sort(key=lambda d: d.utt_id.encode())
        if dropped_tsv is not None:
            write_dropped(dropped_tsv, self.dropped)
        elif len(self.dropped) < self.count:
            for d in self.dropped:
                log(f"dropped {d.utt_id}: {d.reason}: {d.detail}")
        if len(self.dropped) == self.count:
            see = f"; see {dropped_tsv}" if dropped_tsv else ""
            raise DataError(
                f"none of the {self.count} utterances could be used; the first: "
                f"{self.dropped[0].utt_id}: {self.dropped[0].detail}{see}"
            )
        reasons = Counter(d.reason for d in self.dropped)
        kept = self.count - len(self.dropped)
        line = summary(self.count, self.total_s / 3600, kept, self.done_s / 3600, reasons)
        log(f"{self.where}: {self.speed()}")
        log(f"{self.where}: {line}")


def dropped_beside(out: Path | None) -> Path | None:
    """OUT.dropped.tsv, for what could not be used; None where lines go to stdout."""
    return None if out is None else out.with_name(f"{out.name}.dropped.tsv")


@contextlib.contextmanager
def lines_to(out: Path | None) -> Iterator[WriteLine]:
    """Gives write(line): into ``out``, whole or not at all, or to stdout."""
    if out is None:
        yield lambda line: print(line, flush=True)
        sys.stdout.flush()
        return
    with atomic_path(out) as part, part.open("w", encoding="utf-8", newline="\n") as file:
        yield lambda line: file.write(line + "\n")
