"""Stage 2 in one process of one thread, timed whole and in parts.

Loaded by ``answer.py``. Parts come from Python's profiler in a run of its own, so that watching
does not slow the run whose time counts.
"""

import shutil
import time
from pathlib import Path
from typing import Any

from espnet2.bench.time_shares import shares
from espnet2.data.config import FormatConfig
from espnet2.data.format.manifest import plan_shards
from espnet2.data.format.merge import merge_corpus
from espnet2.data.format.shard_writer import format_shard
from espnet2.utils.config import from_dict

# Part of the work -> the functions that do it; see ``time_shares.shares``.
PARTS = {
    "read": [("~", "<method 'read' of '_io.BufferedReader' objects>")],
    "decode": [("soundfile.py", "read")],
    "mix channels": [("data/audio.py", "mean_of_channels")],
    "resample": [("soxr/__init__.py", "resample_chunk")],
    "round": [("data/audio.py", "to_int16")],
    "find pauses": [("data/format/vad.py", "find_speech")],
    "check": [("data/audio.py", "level_dbfs")],
    "hash": [("data/audio.py", "content_hash")],
    "encode": [("data/audio.py", "encode_flac")],
    "write": [("data/shards.py", "write_record")],
    "share out": [("data/format/manifest.py", "plan_shards")],
    "merge": [("data/format/merge.py", "merge_corpus")],
}


class Side:
    """Formats Kaldi directories."""

    def format(self, data: str, out: str, config: dict[str, Any]) -> dict:
        """Seconds of formatting ``data``, and hours of audio that came out."""
        start, cpu_start = time.perf_counter(), time.process_time()
        result = self.stage(Path(data), Path(out), config)
        seconds, cpu_s = time.perf_counter() - start, time.process_time() - cpu_start
        return {"seconds": [seconds], "cpu_s": cpu_s, **result}

    def parts(self, data: str, out: str, config: dict[str, Any]) -> dict:
        """Share of the time of each part of PARTS; what is left is "rest"."""
        return shares(lambda: self.stage(Path(data), Path(out), config), PARTS)

    def stage(self, data: Path, out: Path, config: dict[str, Any]) -> dict:
        """All of stage 2 for one corpus, from the start."""
        shutil.rmtree(out, ignore_errors=True)
        settings = from_dict(FormatConfig, config, "format")
        manifests = list(plan_shards(data, out, settings))
        for manifest in manifests:
            format_shard(manifest, data.name, settings)
        merged = merge_corpus(out, manifests, settings)
        return {"utterances": merged["utterances"], "hours": merged["hours"]}
