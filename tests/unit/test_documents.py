"""The documents agree with the code: settings, limits, codes, links and file names."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cluster.codes import ImageErrorCode
from cluster.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
API = ROOT / "deployments" / "README.md"
FOLDERS = ("actors", "cluster", "deployments", "tests")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.md"))])
MAX_README_LINES = 150
MIN_ERROR_STATUS = 400
CODE = re.compile(r"[a-z]+(?:_[a-z]+)+")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FILE = re.compile(rf"`((?:{'|'.join(FOLDERS)})/[\w./-]+|[\w.-]+\.(?:md|py|toml|yaml))`")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_every_setting_has_a_meaning_and_the_tables_are_up_to_date() -> None:
    assert all(field.description for field in Settings.model_fields.values())
    tables = subprocess.run(
        [sys.executable, "-m", "tests.support.settings_table"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert (ROOT / "cluster" / "SETTINGS.md").read_text() == tables.stdout


def test_every_code_of_an_image_is_there() -> None:
    text = API.read_text()
    assert [code for code in ImageErrorCode if f"`{code}`" not in text] == []
    assert [code for code in ImageErrorCode if (f"*`{code}`*" in text) is not code.transient] == []


def test_every_code_of_the_api_is_there() -> None:
    text = API.read_text()
    codes = {*problem_codes(), *row_codes()}
    assert {"invalid_api_key", "queue_full", "invalid_url"} <= codes
    assert sorted(code for code in codes if f"`{code}`" not in text) == []


def problem_codes() -> Iterator[str]:
    """The codes that follow a status in a call."""
    for path in [*(ROOT / "deployments" / "api").rglob("*.py"), *(ROOT / "cluster").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                for status, code in pairwise(node.args):
                    if is_error_status(status) and isinstance(code, ast.Constant) and isinstance(code.value, str):
                        yield code.value


def is_error_status(node: ast.expr) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, int) and node.value >= MIN_ERROR_STATUS
    return ast.unparse(node).startswith("HTTPStatus.")


def row_codes() -> Iterator[str]:
    """The texts of the catalogue's modules that look like codes. There are no others."""
    for path in (ROOT / "deployments" / "catalogue").glob("[!_]*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and CODE.fullmatch(node.value):
                yield node.value


def test_the_front_page_is_short() -> None:
    assert README.read_text().count("\n") <= MAX_README_LINES


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_link_leads_to_something(document: Path) -> None:
    text = without_code_blocks(document)
    assert [link for link in LINK.findall(text) if "://" not in link and not leads_somewhere(document, link)] == []


def leads_somewhere(document: Path, link: str) -> bool:
    file, _, heading = link.partition("#")
    target = (document.parent / file) if file else document
    return target.exists() and (not heading or heading in anchors(target))


def anchors(document: Path) -> set[str]:
    """The names that GitHub gives to the headings."""
    headings = re.findall(r"^#+ (.+)$", without_code_blocks(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def without_code_blocks(document: Path) -> str:
    return re.sub(r"^```.*?^```$", "", document.read_text(), flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_file_that_is_named_exists(document: Path) -> None:
    names = FILE.findall(without_code_blocks(document))
    assert [name for name in names if not any((base / name).exists() for base in (ROOT, document.parent))] == []
