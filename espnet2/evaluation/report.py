"""Stage 13: RESULTS.md, superb.json and report.html from what the other stages wrote."""

from pathlib import Path
from typing import Any

from espnet2.evaluation.report_blocks import Section, section_markdown
from espnet2.evaluation.report_config import ReportConfig
from espnet2.evaluation.report_head import report_head
from espnet2.evaluation.report_inputs import ReportInputs, read_inputs
from espnet2.evaluation.report_languages import (
    confusion_section,
    languages_section,
    probe_section,
)
from espnet2.evaluation.report_page import Head, page_html
from espnet2.evaluation.report_results import gains_section, results_section
from espnet2.evaluation.report_run import (
    cost_section,
    data_section,
    labels_section,
    pretraining_section,
    reproduce_section,
)
from espnet2.evaluation.report_superb import paper_section
from espnet2.evaluation.superb_table import superb_tables
from espnet2.utils.files import write_json, write_text
from espnet2.utils.logs import log
from espnet2.utils.provenance import provenance


def write_report(
    recipe: str, exp: Path, dump: Path, ssl: Path, out: Path, command: str, config: ReportConfig
) -> dict[str, Any]:
    """Write the three files; returns what the log line shows.

    recipe: the whole configuration, overrides applied, as YAML to show.

    Raises:
        DataError: there are no scores, or a file is damaged.
    """
    inputs = read_inputs(exp, dump, ssl)
    facts = {**provenance(), "command": command}
    superb = superb_tables(inputs.scores["rows"], config.base_encoder, config.is_benchmark)
    head = report_head(config.title, inputs, facts)
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
    """The sections in the order of the page."""
    rows, not_scored = inputs.scores["rows"], inputs.scores["not_scored"]
    commands = "\n".join([*config.commands, "", "# this page alone", facts["command"]])
    return [
        results_section(rows, not_scored, inputs.conditions),
        gains_section(rows),
        languages_section(inputs),
        confusion_section(inputs),
        pretraining_section(inputs),
        probe_section(inputs),
        data_section(inputs),
        labels_section(inputs),
        paper_section(superb),
        cost_section(inputs, facts),
        reproduce_section(commands, recipe, facts),
    ]


def markdown(head: Head, sections: list[Section]) -> str:
    """RESULTS.md: the same tables, without the figures."""
    tiles = "\n".join(
        f"- {tile.label}: **{tile.value} {tile.unit}** {tile.note}".rstrip() for tile in head.tiles
    )
    parts = [f"# {head.title}", head.lead, head.meta, tiles, *map(section_markdown, sections)]
    return "\n\n".join(part for part in parts if part) + "\n"
