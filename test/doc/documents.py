"""What the project's Markdown files hold: blocks, links, words set as code, headings."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TRACKED = subprocess.run(
    ["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True, check=True
).stdout.split("\n")[:-1]
DOCUMENTS = [path for path in TRACKED if path.endswith(".md") and (ROOT / path).exists()]
# The changelog tells of names that are gone, and tables of runs hold what was typed then.
HISTORY = {"CHANGELOG.md", "egs2/BENCHMARKS.md"}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)


@dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced block."""

    document: str
    language: str
    text: str
    line: int  # of its first line in the document

    @property
    def name(self) -> str:
        return f"{self.document}:{self.line}"


def text_of(document):
    return (ROOT / document).read_text()


def blocks(document, *languages):
    """Fenced blocks of a document, in order; of all languages if none is given."""
    text = text_of(document)
    found = [
        Block(document=document, language=m[1], text=m[2], line=text[: m.start(2)].count("\n") + 1)
        for m in FENCE.finditer(text)
    ]
    return [block for block in found if not languages or block.language in languages]


def prose(document):
    """The document without its fenced blocks."""
    return FENCE.sub("", text_of(document))


def spans(document):
    """What is set as code within the text, in order; line breaks in it are spaces."""
    text = re.sub(r"(?<!`)``(?!`)(.+?)(?<!`)``(?!`)", " ", prose(document), flags=re.S)
    return [" ".join(m.split()) for m in re.findall(r"`([^`]+)`", text)]


def links(document):
    """Targets of its links and pictures."""
    text = re.sub(r"`[^`]*`", "", prose(document))
    return re.findall(r"\]\(([^)\s]+)\)", text)


def anchors(document):
    """Names of its headings as GitHub makes them."""
    heads = re.findall(r"^#+ (.+)$", prose(document), flags=re.M)
    words = [re.sub(r"\[([^\]]*)\]\([^)]*\)|`", r"\1", head) for head in heads]
    return [re.sub(r"[^\w\- ]", "", word.lower()).replace(" ", "-") for word in words]
