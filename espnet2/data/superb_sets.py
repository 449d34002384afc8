"""Benchmark utterances joined into Kaldi directories, one per track and split.

``write_language``, ``write_file`` and ``write_split`` keep the rows of one language of the tree, of
one Parquet file and of one Kaldi directory as tables; ``combine`` joins the tables.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from espnet2.data import kaldi, superb2, superb_kaldi
from espnet2.data.kaldi import Utterance, write_kaldi
from espnet2.data.phones import PHONES, TEXT_PHONES, to_phones
from espnet2.data.superb import FULL, SuperbDataConfig, language_rows
from espnet2.data.superb_languages import NORMAL_LANGUAGES, RESERVED_LANGUAGES
from espnet2.data.superb_rows import Dropped, SuperbRow
from espnet2.utils.config import guess
from espnet2.utils.errors import ConfigError, DataError
from espnet2.utils.files import read_json, write_json, write_text
from espnet2.utils.logs import log

COLUMNS = (
    "utt_id", "wav", "language", "corpus", "duration_s", "text", "recording", "start_s", "end_s",
)  # fmt: skip
DROPPED = ("utt_id", "reason", "detail")
Table = list[dict[str, str]]


def write_language(
    root: Path, corpora: list[str], language: str, tracks: list[str], config: SuperbDataConfig,
    out: Path,
) -> dict[str, list[float]]:  # fmt: skip
    """Rows of a language of the tree as ``out/<track>.<split>{,.dropped}.tsv``; [count, hours]."""
    return {
        f"{track}/{split}": write_part(
            out, f"{track}.{split}", *language_rows(root, corpora, language, track, split, config)
        )
        for track in tracks
        for split in config.splits
    }


def write_file(
    path: Path, split: str, config: SuperbDataConfig, out: Path
) -> dict[str, list[float]]:
    """The same of one Parquet file, whose rows may belong to several of our splits."""
    rows, dropped = superb2.file_rows(path, split, config)
    return {
        f"{FULL}/{ours}": write_part(
            out, f"{FULL}.{ours}", rows.get(ours, []), [d for s, d in dropped if s == ours]
        )
        for ours in superb2.splits_of(split)
    }


def write_split(
    folder: Path, split: str, config: SuperbDataConfig, out: Path
) -> dict[str, list[float]]:
    """The same of one Kaldi directory."""
    rows, dropped = superb_kaldi.split_rows(folder, split, config)
    return {f"{FULL}/{split}": write_part(out, f"{FULL}.{split}", rows, dropped)}


def write_part(out: Path, name: str, rows: list[SuperbRow], dropped: list[Dropped]) -> list[float]:
    """One table and what was left out of it; returns utterances and hours."""
    write_table(out / f"{name}.tsv", [[vars(row)[c] for c in COLUMNS] for row in rows])
    write_table(out / f"{name}.dropped.tsv", [vars(row).values() for row in dropped])
    return [len(rows), sum(row.duration_s for row in rows) / 3600]


def write_table(path: Path, rows: Iterable[Iterable[object]]) -> None:
    """Rows as tab-separated lines, floats to a tenth of a millisecond."""
    lines = ("\t".join(cell_text(value) for value in row) for row in rows)
    write_text(path, "".join(f"{line}\n" for line in lines))


def cell_text(value: object) -> str:
    """One cell of a table: no tab or line break may hide in it."""
    text = f"{value:.4f}" if isinstance(value, float) else "" if value is None else str(value)
    return " ".join(text.split())


def read_table(path: Path, columns: Sequence[str]) -> Table:
    """The rows of a tab-separated file without a header."""
    lines = path.read_text(encoding="utf-8").split("\n")
    return [dict(zip(columns, line.split("\t"), strict=True)) for line in lines if line]


def combine(
    parts: Path, tables: dict[str, list[str]], config: SuperbDataConfig, kinds: dict[str, str],
    phones: dict[str, str], out: Path,
) -> dict[str, int]:  # fmt: skip
    """Join the tables into ``out/<track>/<split>/``; what they have in common is beside the tracks.

    Args:
        tables: "<track>/<split>" -> folders below ``parts`` that hold a part of it.
        kinds: what is special about a corpus, ``unseen_voice`` where the test voices are not in
            training and are the same in every language; the others are real.
        phones: language -> library, of the languages that get ``text_phones`` too.

    Raises:
        DataError: a split is empty, or (kind kaldi) an utterance is trained on and tested on.
        ConfigError: a reserved language is in no list.
    """
    joined = {name: read_parts(parts, name, folders) for name, folders in tables.items()}
    if config.kind == "kaldi":
        superb_kaldi.refuse_shared(
            {name: [row["utt_id"] for row in rows] for name, (rows, _) in joined.items()}
        )
    every = [row for rows, _ in joined.values() for row in rows]
    corpora, languages = ({row[key] for row in every} for key in ("corpus", "language"))
    refuse_unknown_reserved(config, languages)
    for name, (rows, dropped) in joined.items():
        write_set(out / name, rows, phones)
        write_table(out / name / "dropped.tsv", [DROPPED, *(row.values() for row in dropped)])
        report(name, rows, dropped)
    few = sorted(languages.intersection(config.reserved))
    normal = sorted(languages.difference(few))
    log(f"superb: {len(normal)} languages and {len(few)} reserved ones")
    write_json(out / "languages.json", {"normal": normal, "few_shot": few})
    write_json(out / "corpora.json", {name: {"kind": kinds.get(name, "real")} for name in corpora})
    write_json(out / PHONES, {name: phones[name] for name in phones if name in languages})
    return {name: len(rows) for name, (rows, _) in joined.items()}


def refuse_unknown_reserved(config: SuperbDataConfig, languages: set[str]) -> None:
    """Refuse reserved languages that are in no list: of the data, nor of the benchmark if it is it.

    Raises:
        ConfigError: names them, the first with a guess.
    """
    lists = () if config.kind == "kaldi" else (*NORMAL_LANGUAGES, *RESERVED_LANGUAGES)
    known = languages.union(lists)
    odd = [name for name in config.few_shot_languages or () if name not in known]
    if odd:
        raise ConfigError(
            f"finetune.data.few_shot_languages: {', '.join(odd)} is in no list of the data"
            f"{guess(odd[0], known)}"
        )


def read_parts(parts: Path, name: str, folders: list[str]) -> tuple[Table, Table]:
    """The rows of a split, each id once, and what was left out, sorted."""
    files = [str(parts / folder / name.replace("/", ".")) for folder in folders]
    rows = [row for file in files for row in read_table(Path(f"{file}.tsv"), COLUMNS)]
    dropped = [row for f in files for row in read_table(Path(f"{f}.dropped.tsv"), DROPPED)]
    rows = without_repeats(rows, dropped)
    return rows, sorted(dropped, key=lambda row: (row["utt_id"], row["reason"], row["detail"]))


def without_repeats(rows: Table, dropped: Table) -> Table:
    """The rows, each id once: the first counts, the others are dropped."""
    kept: dict[str, dict[str, str]] = {}
    for row in rows:
        if kept.setdefault(row["utt_id"], row) is not row:
            values = (row["utt_id"], "duplicate id", row["wav"])
            dropped.append(dict(zip(DROPPED, values, strict=True)))
    return list(kept.values())


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


def report(name: str, rows: Table, dropped: Table) -> None:
    """The stage's line: how much came in, how much goes out, and why the rest does not."""
    reasons = [row["reason"] for row in dropped]
    why = ", ".join(f"{reason} {reasons.count(reason)}" for reason in sorted(set(reasons)))
    hours = sum(float(row["duration_s"]) for row in rows) / 3600
    log(
        f"superb {name.replace('/', ' ')}: in: {len(rows) + len(dropped)} utts -> "
        f"out: {len(rows)} utts / {hours:.2f} h; dropped: {why or 'nothing'}"
    )


def write_set(folder: Path, rows: Table, phones: Iterable[str]) -> None:
    """A Kaldi directory, beside it utt2corpus and, for the languages of ``phones``, text_phones.

    The benchmark knows no speakers: each utterance is a speaker of its own.
    """
    if not rows:
        raise DataError(f"{folder} cannot be written: no utterance; see dropped.tsv of its parts")
    write_kaldi(
        folder,
        [
            Utterance(
                utt_id=row["utt_id"], recording=row["recording"], source=row["wav"],
                start_s=float(row["start_s"]),
                end_s=float(row["end_s"]) if row["end_s"] else None,
                language=row["language"], speaker=row["utt_id"], text=row["text"],
                duration_s=float(row["duration_s"]),
            )
            for row in rows
        ],
    )  # fmt: skip
    kaldi.write_table(folder / "utt2corpus", {row["utt_id"]: row["corpus"] for row in rows})
    spoken = {
        row["utt_id"]: said
        for row in rows
        if row["language"] in phones and (said := to_phones(row["language"], row["text"]))
    }
    if spoken:
        kaldi.write_table(folder / TEXT_PHONES, spoken)
    else:
        (folder / TEXT_PHONES).unlink(missing_ok=True)
