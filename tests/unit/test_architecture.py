"""What holds the shape of the code: which way imports run, and how long a reader must read at once."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("cluster", "actors", "deployments")
MAY_IMPORT = {
    "cluster": {"cluster"},
    "actors": {"cluster", "actors"},
    "deployments": {"cluster", "actors", "deployments"},
}
MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 40
# A command is its options; splitting the list would hide it.
LONG_SIGNATURES = {"cluster/cli/submit.py:submit"}
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def imported_modules(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    own = {name.partition(".")[0] for name in imported_modules(path)} & {*PACKAGES, "tests"}
    assert own <= MAY_IMPORT[package]


def test_image_work_knows_no_ray() -> None:
    for path in (ROOT / "actors" / "imaging").rglob("*.py"):
        assert not {name for name in imported_modules(path) if name.partition(".")[0] == "ray"}, path


def test_only_the_settings_read_the_environment() -> None:
    readers = {str(path.relative_to(ROOT)) for path in SOURCES if reads_environment(path)}
    assert readers == {"cluster/settings.py"}


def reads_environment(path: Path) -> bool:
    """Whether the file looks variables up; handing the whole environment to a child process is no look."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and node.attr == "getenv":
            return True
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "os.environ":
            return not isinstance(node.ctx, ast.Store)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "os.environ.get":
            return True
        if isinstance(node, ast.comprehension) and ast.unparse(node.iter).startswith("os.environ"):
            return True
    return False


def test_files_and_functions_are_short_enough_to_read() -> None:
    long = []
    for path in SOURCES:
        name = str(path.relative_to(ROOT))
        text = path.read_text()
        if text.count("\n") > MAX_FILE_LINES:
            long.append(name)
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > MAX_FUNCTION_LINES and f"{name}:{node.name}" not in LONG_SIGNATURES:
                    long.append(f"{name}:{node.name} ({lines})")
    assert long == []


def test_the_top_level_holds_what_the_design_names() -> None:
    folders = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")}
    ignored = {line.strip().rstrip("/") for line in (ROOT / ".gitignore").read_text().splitlines()}
    assert folders - ignored <= {"cluster", "actors", "deployments", "tests"}
