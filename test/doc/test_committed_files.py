"""What is committed: doc/ holds pages, pictures and what draws them; no text names a machine."""

import re
from pathlib import PurePosixPath

from documents import DOCUMENTS, ROOT, TRACKED, links, text_of

KINDS = {".md", ".svg", ".py"}
# Folders of whoever wrote a text, and nobody else; examples stand in /path/to or /data.
MACHINE = re.compile(r"(?<![\w.}$])/(?:(?:work|home|Users|tmp)/\w|root\b)")


def kinds_of_doc(paths):
    """Those of the files in doc/ that are none of the kinds which belong there."""
    inside = [PurePosixPath(path) for path in paths if path.startswith("doc/")]
    return [str(path) for path in inside if path.suffix not in KINDS or len(path.parts) > 2]


def linked_files():
    """Files that a link of some other document leads to, from the repository's root."""
    found = set()
    for document in DOCUMENTS:
        for link in links(document):
            target = ((ROOT / document).parent / link.partition("#")[0]).resolve()
            if target.is_relative_to(ROOT) and target != ROOT / document:
                found.add(str(target.relative_to(ROOT)))
    return found


def test_doc_holds_pages_pictures_and_what_draws_them():
    assert kinds_of_doc(TRACKED) == []


def test_every_page_and_picture_of_doc_is_linked_from_another_page():
    inside = [path for path in TRACKED if path.startswith("doc/") and not path.endswith(".py")]
    assert len(inside) > 8
    assert sorted(set(inside) - linked_files()) == []


def test_every_program_in_doc_is_named_by_a_page_or_imported_there():
    programs = [path for path in TRACKED if path.startswith("doc/") and path.endswith(".py")]
    pages = "".join(text_of(document) for document in DOCUMENTS)
    code = "".join((ROOT / path).read_text() for path in programs)
    stems = [(path, PurePosixPath(path).stem) for path in programs]
    lost = [
        p for p, stem in stems if p not in pages and not re.search(rf"from {stem} import", code)
    ]
    assert lost == []


def test_no_committed_text_names_a_folder_of_the_machine_it_was_written_on():
    found = []
    for path in TRACKED:
        if (ROOT / path).is_file():
            text = (ROOT / path).read_bytes().decode("utf-8", "ignore")
            found += [f"{path}: {match[0]}" for match in MACHINE.finditer(text)]
    assert found == []


def test_what_does_not_belong_is_found_out():
    assert kinds_of_doc(["doc/flow.html", "doc/pages/a.md", "README.md", "doc/a.md"]) == [
        "doc/flow.html", "doc/pages/a.md"
    ]  # fmt: skip
    named = ["/".join(["", *words]) for words in (["work", "main"], ["root"], ["tmp", "a.wav"])]
    assert all(MACHINE.search(f"open('{name}')") for name in named)
    assert not MACHINE.search("${TMPDIR}/work/a, work/a, /data/a, https://a.b/home/c")
