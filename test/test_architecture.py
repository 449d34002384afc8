"""The house rules as tests: who may import whom, how large a room may grow, what is forbidden."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "espnet2"
LAYERS = [
    "utils", "data", "nn", "ssl", "tokens", "asr", "train", "evaluation", "tasks", "hf", "s3prl",
    "bench", "bin",
]  # fmt: skip
MODULES = sorted(PACKAGE.rglob("*.py"))
BINS = sorted(path.stem for path in (PACKAGE / "bin").glob("*.py") if path.stem != "__init__")
MAX_FILE_LINES, MAX_FUNCTION_LINES = 300, 50
# Names on the package index, where they differ from the names of import.
DISTRIBUTIONS = {"PIL": "pillow", "sklearn": "scikit-learn", "yaml": "pyyaml"}
TOP_LEVEL = {"egs2", "espnet2", "tools", "utils", "conf", "doc", "test"}


def name_of(path):
    return str(path.relative_to(ROOT))


def foreign_imports(path):
    """First names of the absolute imports in a file that are neither ours nor Python's."""
    for node in ast.walk(ast.parse(path.read_text())):
        modules = [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        for name in {module.split(".")[0] for module in modules}:
            if name != "espnet2" and name not in sys.stdlib_module_names:
                yield name


def test_every_import_is_declared_in_setup_py():
    helpers = {path.stem for path in (ROOT / "test").rglob("*.py")}
    setup = (ROOT / "setup.py").read_text()
    undeclared = [
        f"{name_of(path)}: {name}"
        for path in [*MODULES, *sorted((ROOT / "test").rglob("*.py"))]
        for name in foreign_imports(path)
        if name not in helpers
        and f'"{DISTRIBUTIONS.get(name, name).replace("_", "-")}' not in setup
    ]
    assert undeclared == []


def imported_packages(path):
    """First package below espnet2 of every import in a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
        elif isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        else:
            continue
        for module in modules:
            parts = module.split(".")
            if parts[0] == "espnet2" and len(parts) > 1:
                yield parts[1]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_down(path):
    inside = path.relative_to(PACKAGE).parts
    if len(inside) == 1:
        return
    own = LAYERS.index(inside[0])
    upward = [other for other in imported_packages(path) if LAYERS.index(other) > own]
    assert upward == []


@pytest.mark.parametrize("path", [*MODULES, *sorted((ROOT / "test").rglob("*.py"))], ids=name_of)
def test_rooms_stay_small(path):
    text = path.read_text()
    assert len(text.splitlines()) <= MAX_FILE_LINES
    long = [
        f"{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno - node.lineno + 1 > MAX_FUNCTION_LINES
    ]
    assert long == []


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_nothing_reads_code_as_data(path):
    tree = ast.parse(path.read_text())
    calls = [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert not {"eval", "exec", "yaml.load", "pickle.load", "pickle.loads"} & set(calls)
    loads = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load"
    ]
    for call in loads:
        assert "weights_only=True" in ast.unparse(call)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_public_names_carry_docstrings(path):
    tree = ast.parse(path.read_text())
    assert path.name == "__init__.py" or ast.get_docstring(tree), "the module needs a docstring"
    bare = [
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert bare == []


def test_tests_are_no_package_and_have_names_of_their_own():
    files = sorted((ROOT / "test").rglob("*.py"))
    assert [path for path in files if path.name == "__init__.py"] == []
    names = [path.name for path in files if path.name != "conftest.py"]
    assert len(set(names)) == len(names)


def test_the_top_level_holds_what_the_design_says():
    tracked = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True, check=True
    ).stdout.split()
    folders = {path.split("/")[0] for path in tracked if "/" in path}
    assert {name for name in folders if not name.startswith(".")} <= TOP_LEVEL


@pytest.mark.parametrize("name", BINS)
def test_every_command_answers_help(name):
    command = [sys.executable, "-m", f"espnet2.bin.{name}", "--help"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("usage: ")


def test_every_step_of_the_driver_is_a_command():
    driver = (ROOT / "egs2/TEMPLATE/ssl1/ssl.sh").read_text()
    calls = ("step", "step_of_cells")
    words = [line.split() for line in driver.replace("{ step", "\nstep").splitlines()]
    steps = {line[1] for line in words if len(line) > 1 and line[0] in calls} - {'"$@"'}
    assert len(steps) == 14  # stage 10 has two
    assert steps <= set(BINS)
