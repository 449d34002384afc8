"""ML-SUPERB's languages joined into Kaldi directories, one per track and split.

``write_language`` keeps the rows of one language as tables, ``combine`` joins the tables.
"""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from espnet2.data import kaldi
from espnet2.data.kaldi import Utterance, write_kaldi
from espnet2.data.superb import SPLITS, SuperbDataConfig, language_rows
from espnet2.utils.errors import DataError
from espnet2.utils.files import read_json, write_json, write_text
from espnet2.utils.logs import log

COLUMNS = ("utt_id", "wav", "language", "corpus", "duration_s", "text")


def write_language(
    root: Path, corpora: list[str], language: str, tracks: list[str], config: SuperbDataConfig,
    out: Path,
) -> dict[str, list[float]]:  # fmt: skip
    """One language's rows as ``out/<track>.<split>{,.dropped}.tsv``; returns [count, hours]."""
    totals = {}
    for track in tracks:
        for split in SPLITS:
            rows, dropped = language_rows(root, corpora, language, track, split, config)
            write_table(out / f"{track}.{split}.tsv", [vars(row).values() for row in rows])
            write_table(
                out / f"{track}.{split}.dropped.tsv",
                [(d.utt_id, d.reason, d.detail) for d in dropped],
            )
            hours = sum(row.duration_s for row in rows) / 3600
            totals[f"{track}/{split}"] = [len(rows), hours]
    return totals


def write_table(path: Path, rows: Iterable[Iterable[object]]) -> None:
    """Rows as tab-separated lines, floats to a tenth of a millisecond."""
    lines = ("\t".join(cell_text(value) for value in row) for row in rows)
    write_text(path, "".join(f"{line}\n" for line in lines))


def cell_text(value: object) -> str:
    """One cell of a table: no tab or line break may hide in it."""
    text = f"{value:.4f}" if isinstance(value, float) else str(value)
    return " ".join(text.split())


def read_table(path: Path) -> list[list[str]]:
    """The cells of a tab-separated file."""
    lines = path.read_text(encoding="utf-8").split("\n")
    return [line.split("\t") for line in lines if line]


def combine(
    parts: Path, languages: list[str], tracks: list[str], config: SuperbDataConfig,
    kinds: dict[str, str], out: Path,
) -> dict[str, int]:  # fmt: skip
    """Join the languages into ``out/<track>/<split>/``; languages.json and corpora.json beside.

    ``kinds``: what is special about a corpus, ``unseen_voice`` where the test voices are not in
    training and are the same in every language; the others are real.

    Raises:
        DataError: two languages share an utterance id, or a split is empty.
    """
    counts, corpora = {}, set()
    for track in tracks:
        for split in SPLITS:
            rows, dropped = [], []
            for language in languages:
                rows += read_table(parts / language / f"{track}.{split}.tsv")
                dropped += read_table(parts / language / f"{track}.{split}.dropped.tsv")
            write_set(out / track / split, rows)
            header = [["utt_id", "reason", "detail"]]
            write_table(out / track / split / "dropped.tsv", header + sorted(dropped))
            counts[f"{track}/{split}"] = len(rows)
            corpora.update(row[COLUMNS.index("corpus")] for row in rows)
            report(track, split, rows, dropped)
    few = [language for language in languages if language in config.few_shot_languages]
    normal = [language for language in languages if language not in few]
    write_json(out / "languages.json", {"normal": normal, "few_shot": few})
    facts = {name: {"kind": kinds.get(name, "real")} for name in corpora}
    write_json(out / "corpora.json", facts)
    return counts


def corpus_kinds(root: Path) -> dict[str, str]:
    """Kind of each corpus from the tree's ``corpora.json``; a tree without one names none.

    Raises:
        DataError: the file is not ``{corpus: {"kind": ...}}``.
    """
    path = root / "corpora.json"
    if not path.is_file():
        return {}
    try:
        return {name: facts["kind"] for name, facts in read_json(path).items()}
    except (ValueError, AttributeError, TypeError, KeyError) as error:
        raise DataError(f'{path} must hold {{corpus: {{"kind": ...}}}}: {error}') from None


def report(track: str, split: str, rows: list[list[str]], dropped: list[list[str]]) -> None:
    """The stage's line: how much came in, how much goes out, and why the rest does not."""
    reasons = [row[1] for row in dropped]
    why = ", ".join(f"{reason} {reasons.count(reason)}" for reason in sorted(set(reasons)))
    hours = sum(float(row[COLUMNS.index("duration_s")]) for row in rows) / 3600
    log(
        f"superb {track} {split}: in: {len(rows) + len(dropped)} utts -> "
        f"out: {len(rows)} utts / {hours:.2f} h; dropped: {why or 'nothing'}"
    )


def write_set(folder: Path, rows: list[list[str]]) -> None:
    """A Kaldi directory with utt2corpus beside it.

    The benchmark knows no speakers: each utterance is a speaker of its own.
    """
    table = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
    ids = Counter(row["utt_id"] for row in table)
    twice = [utt_id for utt_id, count in ids.items() if count > 1]
    if not rows or twice:
        problem = f"utterance id {twice[0]} stands in two languages" if twice else "no utterance"
        raise DataError(f"{folder} cannot be written: {problem}")
    write_kaldi(
        folder,
        [
            Utterance(
                utt_id=row["utt_id"], recording=row["utt_id"], source=row["wav"],
                language=row["language"], speaker=row["utt_id"], text=row["text"],
                duration_s=float(row["duration_s"]),
            )
            for row in table
        ],
    )  # fmt: skip
    kaldi.write_table(folder / "utt2corpus", {row["utt_id"]: row["corpus"] for row in table})
