"""Stage 13: RESULTS.md, superb.json and report.html from what the other stages wrote."""

from pathlib import Path
from typing import Any

from espnet2.evaluation.golden import TRACKS
from espnet2.evaluation.report.blocks import Section, section_markdown
from espnet2.evaluation.report.config import ReportConfig
from espnet2.evaluation.report.cost import cost_section
from espnet2.evaluation.report.failed import (
    failed_cells,
    failed_notes,
    failed_section,
    table_marks,
)
from espnet2.evaluation.report.head import report_head
from espnet2.evaluation.report.hours import hours_section
from espnet2.evaluation.report.inputs import ReportInputs, read_inputs
from espnet2.evaluation.report.languages import confusion_section, languages_section
from espnet2.evaluation.report.mono import mono_marks, mono_section
from espnet2.evaluation.report.page import Head, page_html
from espnet2.evaluation.report.probe import probe_section
from espnet2.evaluation.report.results import gains_section, results_section
from espnet2.evaluation.report.run import (
    data_section,
    labels_section,
    pretraining_section,
    reproduce_section,
)
from espnet2.evaluation.report.superb import paper_section
from espnet2.evaluation.report.superb2 import superb2_section
from espnet2.evaluation.superb_table import superb_tables
from espnet2.utils.errors import ConfigError
from espnet2.utils.files import write_json, write_text
from espnet2.utils.logs import log
from espnet2.utils.provenance import provenance


def write_report(
    recipe: str,
    exp: Path,
    dump: Path,
    ssl: Path,
    out: Path,
    command: str,
    config: ReportConfig,
    trained_here: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Write the three files; returns what the log line shows.

    recipe: the whole configuration, overrides applied, as YAML to show. trained_here: names of the
    encoders that stage 8 of this recipe trained.

    Raises:
        DataError: there are no scores, or a file is damaged.
        ConfigError: is_benchmark is said of other data.
    """
    inputs = read_inputs(exp, dump, ssl, trained_here, config.hours)
    odd = sorted({row["track"] for row in inputs.scores["rows"]} - set(TRACKS))
    if config.is_benchmark and odd:
        raise ConfigError(
            f"report.is_benchmark is true, but track {odd[0]} is none of ML-SUPERB "
            f"({', '.join(TRACKS)}); set it to false"
        )
    facts = {**provenance(), "command": command}
    superb = superb_tables(inputs.scores["rows"], config.base_encoder, config.is_benchmark)
    head = report_head(config.title, inputs, superb, facts)
    sections = report_sections(inputs, superb, facts, recipe, config)
    out = Path(out)
    write_json(out / "superb.json", superb)
    write_text(out / "RESULTS.md", markdown(head, sections))
    write_text(out / "report.html", page_html(head, sections))
    log(f"report: {out / 'report.html'} and RESULTS.md, superb.json beside it")
    return {"rows": len(inputs.scores["rows"])}


def report_sections(
    inputs: ReportInputs,
    superb: dict[str, Any],
    facts: dict[str, str],
    recipe: str,
    config: ReportConfig,
) -> list[Section]:
    """The sections in the order of the page; those with nothing to show are left out.

    On the benchmark itself the paper's table comes first.
    """
    rows, notes = inputs.scores["rows"], failed_notes(inputs.scores)
    commands = "\n".join([*config.commands, *inputs.commands, "", "# this page alone"])
    paper = paper_section(superb, table_marks(notes, mono_marks(rows)), inputs.languages)
    sections = [
        *([paper] if config.is_benchmark else []),
        results_section(rows, notes, inputs.conditions),
        failed_section(failed_cells(inputs.scores)),
        gains_section(rows),
        mono_section(rows),
        superb2_section(rows),
        languages_section(inputs),
        hours_section(inputs),
        confusion_section(inputs),
        probe_section(inputs),
        pretraining_section(inputs),
        data_section(inputs),
        labels_section(inputs),
        *([] if config.is_benchmark else [paper]),
        cost_section(inputs, facts),
        reproduce_section(f"{commands}\n{facts['command']}", recipe, facts),
    ]
    return [section for section in sections if section.blocks]


def markdown(head: Head, sections: list[Section]) -> str:
    """RESULTS.md: the same tables, without the figures."""
    tiles = "\n".join(
        f"- {tile.label}: **{f'{tile.value} {tile.unit}'.strip()}** {tile.note}".rstrip()
        for tile in head.tiles
    )
    parts = [f"# {head.title}", head.lead, head.meta, tiles, *map(section_markdown, sections)]
    return "\n\n".join(part for part in parts if part) + "\n"
