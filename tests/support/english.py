"""Lists the docstrings and comments that break a rule of plain English: `python -m tests.support.english [PATH...]`."""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PACKAGES = ("cluster", "actors", "deployments", "tests")
MAX_WORDS = 25
_CODE = re.compile(r"`[^`]*`|https?://\S+")
_DRAWING = re.compile(r"^\s*(?:>>>|\.\.\.|[├└│]).*$", re.MULTILINE)  # an example or a table
_SENTENCE_END = re.compile(r"(?<=[.!?:])\s+(?=[A-Z`])|\n\s*\n|\n\s*[-*] ")
_SUBJECT = re.compile(
    r"\b(?:who|whoever|whatever)\b"
    r"|(?:^|[.:]\s+)What\b(?![^.]*\?)"  # a clause or a head at the start of a sentence, but no question
    r"|\b[Ww]hat (?:is|are|was|were|has|have|had|may|can|cannot|could|must|should|will|would|does|did|do not|never)\b"
    r"|\b[Ww]hat (?:comes|came|goes|went|runs|ran|waits|fails|happens|happened|needs|takes|makes|keeps|ends|begins)\b",
    re.IGNORECASE,
)
_FRAGMENT = re.compile(
    r"(?:of|for|in|at|by|from|to|with|without|after|before|until|since|beside|also|and|or|but|as|so|once|between|among"
    r"|those|the same|its|that|which|in)\b",
    re.IGNORECASE,
)
_CONTINUED = re.compile(r"^[A-Za-z]+ .*, .+")  # "For each row, the parser ..." is a sentence
_TOOL_COMMENT = re.compile(r"#\s*(?:noqa|type:|mypy:|!)")


class Fault(NamedTuple):
    """One text that breaks a rule."""

    path: Path
    line: int
    rule: str
    text: str

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}: {self.rule}: {self.text}"


def faults(path: Path) -> Iterator[Fault]:
    """Yield all texts of a file that break a rule."""
    source = path.read_text()
    for line, text in docstrings(ast.parse(source)):
        first = text.split("\n\n")[0]
        for rule in (*_docstring_rules(first), *_rules(text)):
            yield Fault(path, line, rule, " ".join(first.split())[:100])
    for line, text in comments(source):
        for rule in _rules(text):
            yield Fault(path, line, rule, text[:100])


def docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the docstrings of modules, classes, functions and attributes, each with its line."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for each in node.body:
            if (
                isinstance(each, ast.Expr)
                and isinstance(each.value, ast.Constant)
                and isinstance(each.value.value, str)
            ):
                yield each.lineno, each.value.value.strip()


def comments(source: str) -> Iterator[tuple[int, str]]:
    """Yield the comments, each with its first line. Adjacent lines are one comment."""
    start, texts, last = 0, list[str](), -1
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT or _TOOL_COMMENT.match(token.string):
            continue
        line, alone = token.start[0], not token.line[: token.start[1]].strip()
        if texts and not (alone and line == last + 1):
            yield start, " ".join(texts)
            texts = []
        if not texts:
            start = line
        texts.append(token.string.lstrip("# "))
        last = line if alone else -1
    if texts:
        yield start, " ".join(texts)


def _docstring_rules(first_paragraph: str) -> Iterator[str]:
    prose = _prose(first_paragraph)
    if ";" in prose:
        yield "semicolon"
    sentence = prose.split(". ")[0]
    if _FRAGMENT.match(prose) and not _CONTINUED.match(sentence):
        yield "fragment"


def _rules(text: str) -> Iterator[str]:
    prose = _prose(text)
    longest = max((len(sentence.split()) for sentence in _SENTENCE_END.split(prose)), default=0)
    if longest > MAX_WORDS:
        yield f"{longest} words"
    if (found := _SUBJECT.search(prose)) is not None:
        yield f"“{found.group()}”"


def _prose(text: str) -> str:
    return _CODE.sub("X", _DRAWING.sub("", text))


def main() -> None:
    """Print the faults of the paths on the command line, of the whole project when there are none."""
    roots = [Path(each).resolve() for each in sys.argv[1:]] or [ROOT / package for package in PACKAGES]
    paths = sorted(path for root in roots for path in ([root] if root.is_file() else root.rglob("*.py")))
    found = [fault for path in paths for fault in faults(path)]
    sys.stdout.write("".join(f"{fault}\n" for fault in found))
    sys.stdout.write(f"{len(found)} faults\n")


if __name__ == "__main__":
    main()
