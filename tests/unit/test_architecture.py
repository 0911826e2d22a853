"""The shape of the code: the direction of imports, and the length of files and functions."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

from tests.support.english import faults

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
LONG_SIGNATURES = {"deployments/cli/submit.py:submit"}
PURE_RULES = [
    *(f"actors/queue/{name}.py" for name in ("capacity", "fair_queue", "plan", "shares")),
    *(f"actors/request/{name}.py" for name in ("batch_size", "image_queue", "pacing", "retry_policy")),
    "actors/worker/processed_image.py",
    "cluster/mongo/products/image_updates.py",
    "cluster/mongo/requests/transitions.py",
]
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
MODULES = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in SOURCES}


def imported_modules(path: Path, *, at_runtime: bool = False) -> set[str]:
    names: set[str] = set()
    tree = ast.parse(path.read_text())
    for_types = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    left_out = {id(node) for each in for_types for node in ast.walk(each)} if at_runtime else set()
    for node in ast.walk(tree):
        if id(node) in left_out:
            continue
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


def test_imports_form_no_circle() -> None:
    """Not for type checking either: two modules that need each other are one concept, or lack a third."""
    imports = {module: own_imports(path) for module, path in MODULES.items()}
    while free := {module for module, needed in imports.items() if not needed & imports.keys()}:
        for module in free:
            del imports[module]
    assert imports == {}


def own_imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            submodules = {f"{node.module}.{alias.name}" for alias in node.names} & MODULES.keys()
            names |= submodules or {node.module}
    return names & MODULES.keys()


def test_the_ground_names_nothing_above_it() -> None:
    """A module that is started by its name is needed as much as one that is imported."""
    above = re.compile(r"^(actors|deployments)(\.\w+)+$")
    for path in (ROOT / "cluster").rglob("*.py"):
        texts = [node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)]
        assert not [text for text in texts if isinstance(text, str) and above.match(text)], path


def test_image_work_knows_no_ray() -> None:
    for path in (ROOT / "actors" / "imaging").rglob("*.py"):
        assert not {name for name in imported_modules(path) if name.partition(".")[0] == "ray"}, path


def test_rules_know_no_ray_no_store_no_clock_and_no_chance() -> None:
    effects = re.compile(r"(ray|asyncio|time|random|cluster\.(mongo|redis|s3|retry|http\.(?!url)))\b")
    rules = {module for module, path in MODULES.items() if str(path.relative_to(ROOT)) in PURE_RULES}
    assert len(rules) == len(PURE_RULES)
    for name in PURE_RULES:
        needed = imported_modules(ROOT / name, at_runtime=True) - rules
        assert not {each for each in needed if effects.match(each)}, name


def test_the_floor_of_coverage_holds_for_all_pure_rules() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert set(PURE_RULES) <= set(settings["tool"]["coverage"]["run"]["include"])


def test_nobody_reads_the_environment_past_the_settings() -> None:
    assert [str(path.relative_to(ROOT)) for path in SOURCES if looks_up_variables(path)] == ["cluster/settings.py"]


def looks_up_variables(path: Path) -> bool:
    """Whether the file asks for single variables. It may hand the environment on to a child process."""
    return any(
        (isinstance(node, ast.Attribute) and ast.unparse(node) in {"os.getenv", "os.environ.get"})
        or (
            isinstance(node, ast.Subscript)
            and isinstance(node.ctx, ast.Load)
            and ast.unparse(node.value) == "os.environ"
        )
        for node in ast.walk(ast.parse(path.read_text()))
    )


def test_files_and_functions_are_short_enough_to_read() -> None:
    long = []
    for path in SOURCES:
        name = str(path.relative_to(ROOT))
        text = path.read_text()
        if text.count("\n") > MAX_FILE_LINES:
            long.append(name)
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = lines_of_code(node)
                if lines > MAX_FUNCTION_LINES and f"{name}:{node.name}" not in LONG_SIGNATURES:
                    long.append(f"{name}:{node.name} ({lines})")
    assert long == []


def lines_of_code(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The lines of a function without its docstring."""
    lines = (function.end_lineno or 0) - function.lineno + 1
    if ast.get_docstring(function) is not None:
        lines -= (function.body[0].end_lineno or 0) - function.body[0].lineno + 1
    return lines


def test_the_top_level_holds_only_agreed_names() -> None:
    folders = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")}
    ignored = {line.strip().rstrip("/") for line in (ROOT / ".gitignore").read_text().splitlines()}
    assert folders - ignored <= {"cluster", "actors", "deployments", "tests"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_docstring_begins_without_a_semicolon(path: Path) -> None:
    """A semicolon joins two facts. `python -m tests.support.english` lists faults against the other rules."""
    assert [fault for fault in faults(path) if fault.rule == "semicolon"] == []
