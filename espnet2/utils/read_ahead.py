"""Read the next batch while one is used."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

READERS = 4  # threads; one core decodes FLAC at some 5,000 times real time


def read_ahead(groups: Iterable[Iterable[Any]], read: Callable[[Any], Any]) -> Iterator[list[Any]]:
    """What ``read`` gives for every member of each group; threads are one group ahead.

    What ``read`` raises is raised when its group is due.
    """
    with ThreadPoolExecutor(READERS) as readers:
        waiting = None
        for group in groups:
            ready, waiting = waiting, readers.map(read, group)
            if ready is not None:
                yield list(ready)
        if waiting is not None:
            yield list(waiting)
