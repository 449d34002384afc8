"""Kind ``lhotse``: manifests of recordings and supervisions, made by a recipe or found.

Both kinds of manifest are read line by line and joined through a sorted file on disk, so neither
is ever held in memory. (A recipe of lhotse itself may hold its corpus.)
"""

import fnmatch
import gzip
import importlib
import inspect
import itertools
import json
import re
import shlex
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from espnet2.data.corpora.corpus_folder import Drops
from espnet2.data.corpora.kinds import Lhotse
from espnet2.data.corpora.language_codes import Languages
from espnet2.data.corpora.listing import files_below
from espnet2.data.external_sort import sorted_lines
from espnet2.data.kaldi import Utterance
from espnet2.utils.config import guess
from espnet2.utils.errors import ConfigError, DataError

WHOLE_S = 0.02  # a supervision that misses less than this of a recording is the whole of it
_RECORDINGS = re.compile(r"(?:^|[_-])recordings?(?:[_-](?P<part>.+?))?\.jsonl(?:\.gz)?$")


def utterances(
    spec: Lhotse, languages: Languages, drops: Drops, allow_pipes: bool, work: Path
) -> Iterator[Utterance]:
    """A supervision is an utterance; so is a recording of a manifest without supervisions.

    ``work``: an empty folder for what a recipe writes.

    Raises:
        ConfigError: lhotse or the recipe is missing. DataError: no manifest to read.
    """
    manifests = spec.path
    if spec.recipe is not None:
        manifests = work
        run_recipe(spec, work)
    for recordings, supervisions in find_manifests(manifests, spec.parts):
        for recording, segments in joined(recordings, supervisions):
            yield from of_recording(
                recording, segments, supervisions is not None, languages, drops, allow_pipes
            )


def find_recipe(name: str) -> Callable[..., Any]:
    """``prepare_<name>`` of lhotse.

    Raises:
        ConfigError: lhotse is not installed, or has no such recipe.
    """
    try:
        recipes = importlib.import_module("lhotse.recipes")
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"kind lhotse needs {error.name}, which is not installed: pip install 'xeus[lhotse]'"
        ) from None
    found = getattr(recipes, f"prepare_{name}", None)
    if found is None:
        try:  # some stand in a module that the package does not import
            found = getattr(importlib.import_module(f"lhotse.recipes.{name}"), f"prepare_{name}")
        except (ImportError, AttributeError):
            known = [key.removeprefix("prepare_") for key in dir(recipes) if "prepare_" in key]
            raise ConfigError(f"lhotse has no recipe prepare_{name}{guess(name, known)}") from None
    return found


def run_recipe(spec: Lhotse, work: Path) -> None:
    """Let a recipe write its manifests into ``work``."""
    recipe = find_recipe(spec.recipe)
    known = inspect.signature(recipe).parameters
    output = "output_dir" if "output_dir" in known else "manifest_dir"
    arguments = {next(iter(known)): spec.path, output: work, **spec.arguments}
    unknown = [key for key in arguments if key not in known]
    if unknown:
        raise ConfigError(
            f"lhotse's prepare_{spec.recipe} has no argument {unknown[0]}; "
            f"it takes {', '.join(known)}"
        )
    try:
        recipe(**arguments)
    except (AssertionError, KeyError, IndexError, ValueError, TypeError) as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        said = " ".join(str(error).split()) or place.line
        raise DataError(
            f"{spec.path}: lhotse's prepare_{spec.recipe} failed: {type(error).__name__}: {said} "
            f"({Path(place.filename).name}:{place.lineno}); compare what it expects there"
        ) from error


def find_manifests(folder: Path, parts: list[str]) -> list[tuple[Path, Path | None]]:
    """(recordings, supervisions) of every part that one of the patterns ``parts`` fits."""
    found = {}
    for entry in files_below(folder):
        match = _RECORDINGS.search(entry.name)
        if match:
            found[Path(entry.path)] = match["part"] or "all"
    if not found:
        raise DataError(f"{folder}: no manifest *recordings*.jsonl.gz")
    chosen = [path for path, part in found.items()
              if any(fnmatch.fnmatchcase(part, x) for x in parts)]  # fmt: skip
    if not chosen:
        raise DataError(
            f"{folder}: no part is called {' or '.join(parts)}; "
            f"there are {', '.join(sorted(set(found.values())))}: choose with parts: [...]"
        )
    beside = (p.with_name(p.name.replace("recording", "supervision", 1)) for p in chosen)
    pairs = zip(chosen, beside, strict=True)
    return [(path, other if other.is_file() else None) for path, other in pairs]


def joined(
    recordings: Path, supervisions: Path | None
) -> Iterator[tuple[dict[str, Any] | None, list[dict[str, Any]]]]:
    """Each recording with its supervisions; None for supervisions without a recording."""

    def lines() -> Iterator[str]:
        for item in read_jsonl(recordings):
            yield json.dumps([item["id"], 0, item])
        for item in read_jsonl(supervisions) if supervisions else ():
            yield json.dumps([item["recording_id"], 1, item])

    rows = (json.loads(line) for line in sorted_lines(lines()))
    for _, group in itertools.groupby(rows, key=lambda row: row[0]):
        recording, segments = None, []
        for _, is_segment, item in group:
            if is_segment:
                segments.append(item)
            else:
                recording = item
        yield recording, segments


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSON-lines file. Raises DataError with file and line."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        number = 0
        try:
            for line in lines:
                number += 1
                yield json.loads(line)
        except (ValueError, EOFError, OSError) as error:
            raise DataError(f"{path}:{number}: not a line of JSON: {error}") from None


def of_recording(
    recording: dict[str, Any] | None, segments: list[dict[str, Any]], expected: bool,
    languages: Languages, drops: Drops, allow_pipes: bool,
) -> Iterator[Utterance]:  # fmt: skip
    """The utterances of one recording. ``expected``: there is a manifest of supervisions."""
    if recording is None:
        for segment in segments:
            drops.add(segment["id"], "no recording", f"{segment['recording_id']} has no manifest")
        return
    if expected and not segments:
        drops.add(recording["id"], "no supervision", "nobody marked speech in the recording")
    if not expected:
        segments = [{"id": recording["id"], "start": 0.0, "duration": recording["duration"]}]
    for segment in segments:
        source, problem = source_of(recording, segment.get("channel"), allow_pipes)
        language = segment.get("language") or ""
        start_s, length_s = float(segment["start"]), float(segment["duration"])
        if not problem and length_s <= 0:
            problem = ("empty", f"{length_s:g} s from {start_s:g} s")
        if not problem and not language and languages.spec.language is None:
            problem = ("no language", "neither the supervision nor corpora.yaml names one")
        if problem:
            drops.add(segment["id"], *problem)
            continue
        whole = start_s <= 0 and length_s >= recording["duration"] - WHOLE_S
        text = " ".join((segment.get("text") or "").split())
        yield Utterance(
            utt_id=segment["id"], recording=segment["id"] if whole else recording["id"],
            source=source, start_s=0.0 if whole else max(start_s, 0.0),
            end_s=None if whole else round(start_s + length_s, 6),
            language=languages.of(language), speaker=segment.get("speaker") or segment["id"],
            text=text or None, duration_s=round(length_s, 6),
        )  # fmt: skip


def source_of(
    recording: dict[str, Any], channel: int | list[int] | None, allow_pipes: bool
) -> tuple[str, tuple[str, str] | None]:
    """Address of the audio, or (reason, detail) why it has none.

    All channels together are averaged later; one of several in a file is cut out by ``sox``.
    """
    wanted = {channel} if isinstance(channel, int) else set(channel or ())
    sources = recording["sources"]
    if recording.get("transforms"):
        return "", ("source", "the manifest asks for transforms; apply them and save the audio")
    fitting = [s for s in sources if wanted and wanted <= set(s["channels"])] or sources
    if len(fitting) > 1:
        return "", ("channel", f"{len(fitting)} files hold the recording; name one channel")
    kind, address = fitting[0]["type"], fitting[0]["source"]
    if kind == "command":
        if not allow_pipes:
            return "", ("source", "a command; set format.allow_pipes: true to run it")
        return address.rstrip(" |") + " |", None
    if kind != "file":
        return "", ("source", f"audio of type {kind}; save it as files")
    channels = sorted(fitting[0]["channels"])
    if not wanted or len(channels) == 1 or wanted == set(channels):
        return address, None
    if not allow_pipes:
        return "", ("channel", f"one of {len(channels)} channels of {address}; set "
                    f"format.allow_pipes: true to cut it out with sox")  # fmt: skip
    places = " ".join(str(channels.index(c) + 1) for c in sorted(wanted))
    return f"sox {shlex.quote(address)} -t wav - remix {places.replace(' ', ',')} |", None
