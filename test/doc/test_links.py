"""Every link, anchor, path and module that a Markdown file names is there."""

import re
import subprocess

import pytest
from documents import DOCUMENTS, HISTORY, ROOT, TRACKED, anchors, links, spans, text_of

FOLDERS = {path.split("/")[0] for path in TRACKED if "/" in path}
PATH = re.compile(r"[\w.@{},*/<>-]*/[\w.@{},*/<>-]*|[\w-]+\.(?:py|md|sh|yaml|toml|cff)")
CURRENT = [document for document in DOCUMENTS if document not in HISTORY]
# Files that a run or a reader writes, and names of other projects' files.
WRITTEN = {
    "conf/cluster/mine.yaml",
    "config.yaml", "config_new.yaml", "corpora.yaml", "meta.yaml", "RESULTS.md", "README.md",
    "run.sh", "setup.py", "asr.yaml", "own.yaml", "perform_kmeans.sh",
}  # fmt: skip


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_and_anchors_lead_somewhere(document):
    lost = []
    for link in links(document):
        target, _, anchor = link.partition("#")
        if "://" in target:
            continue
        path = (ROOT / document).parent / target if target else ROOT / document
        headings = anchors(str(path.resolve().relative_to(ROOT))) if anchor else [""]
        if not path.exists() or anchor not in headings:
            lost.append(link)
    assert lost == []


def is_ignored(path):
    """Whether git ignores it, made or not: what a recipe or an installation writes."""
    folder = f"{path}/"  # without the slash git does not know that what is not made is a folder
    command = ["git", "-C", str(ROOT), "check-ignore", "-q", folder]
    return subprocess.run(command, check=False).returncode == 0


def is_there(document, span):
    """Whether a path stands in the repository, beside the document or in the package."""
    span = re.sub(r"(?::\d+|/)$", "", span)
    if re.search(r"[<>{}*@]", span):  # a pattern: its fixed beginning must be there
        span = re.split(r"[<>{}*@]", span)[0].rpartition("/")[0] or "."
    places = [ROOT, (ROOT / document).parent, ROOT / "espnet2", ROOT / "egs2/mini/ssl1"]
    if span in WRITTEN or any((place / span).exists() for place in places):
        return True
    if "/" not in span:  # a file whose folder the text has named before
        return any(path.endswith(f"/{span}") for path in TRACKED)
    return is_ignored(span) or is_ignored(f"egs2/mini/ssl1/{span}")


def looks_like_ours(span):
    """A path whose first folder is ours, or a file with one of our suffixes."""
    if not PATH.fullmatch(span) or span.startswith("/"):
        return False
    return "/" not in span or span.split("/")[0] in FOLDERS or span.endswith(".py")


@pytest.mark.parametrize("document", CURRENT)
def test_paths_set_as_code_exist(document):
    named = [span for span in spans(document) if looks_like_ours(span)]
    assert [span for span in named if not is_there(document, span)] == []


@pytest.mark.parametrize("document", CURRENT)
def test_modules_that_are_named_exist(document):
    named = set(re.findall(r"\bespnet2(?:\.[a-z]\w*)+", text_of(document)))
    lost = []
    for module in sorted(named):
        parts = module.split(".")
        tries = [ROOT.joinpath(*parts[: len(parts) - cut]) for cut in (0, 1)]
        if not any(path.is_dir() or path.with_suffix(".py").exists() for path in tries):
            lost.append(module)
    assert lost == []


def test_the_map_of_the_package_names_files_that_exist():
    names = [name for name in spans("espnet2/README.md") if name.endswith(".py")]
    assert len(set(names)) > 60


def test_a_path_that_is_not_there_is_found_out():
    assert looks_like_ours("conf/none.yaml")
    assert not is_there("README.md", "conf/none.yaml")
    assert not is_there("README.md", "espnet2/ssl/none.py")
    assert is_there("README.md", "egs2/mini/ssl1/exp/report/report.html")
    assert is_there("README.md", "egs2/none/ssl1/exp")
