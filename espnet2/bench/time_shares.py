"""Where the time of a call goes, by Python's profiler.

Watching counts small calls for more than they cost, so it belongs in a run of its own.
"""

import cProfile
import pstats
from collections.abc import Callable

# Part of the work -> the functions that do it, as (end of the module's path, name), each with all
# that it calls; none of them calls another. The profiler writes ~ for what is not Python.
Parts = dict[str, list[tuple[str, str]]]


def shares(call: Callable[[], object], parts: Parts) -> dict[str, float]:
    """Share of the profiled time of ``call`` spent in each part; what is left is "rest"."""
    profile = cProfile.Profile()
    profile.runcall(call)
    stats = pstats.Stats(profile)
    total = stats.total_tt
    spent = {
        part: sum(cumulative(stats, end, name) for end, name in functions) / total
        for part, functions in parts.items()
    }
    return {**spent, "rest": 1 - sum(spent.values())}


def cumulative(stats: pstats.Stats, module_end: str, name: str) -> float:
    """Seconds in a function and all that it calls, over all its calls."""
    return sum(
        row[3]
        for (file, _, function), row in stats.stats.items()
        if function == name and file.endswith(module_end)
    )
