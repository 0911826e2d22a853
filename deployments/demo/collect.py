"""The pictures before and after, side by side, for you to look at."""

from __future__ import annotations

import html
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from string import Template
from typing import TYPE_CHECKING

import httpx
from rich.filesize import decimal

from cluster.http.url import path_of
from deployments.demo.image_host import Behaviour, broken

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from deployments.demo.image_host import ImageHost, SourceImage
    from deployments.demo.outcome import Outcome, Picture

DOWNLOAD_TIMEOUT_SECONDS = 30.0
PAGE_TEMPLATE = Path(__file__).with_name("page.html")


@dataclass(frozen=True)
class Pair:
    """A picture's two files, relative to the output folder. Each is None when there is no such file."""

    picture: Picture
    before: Path | None
    after: Path | None


def prepare(folder: Path) -> None:
    """Make the folders, without the pictures that an earlier demo left."""
    for name in ("originals", "pictures"):
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).mkdir(parents=True)


def collect(outcomes: Sequence[Outcome], image_host: ImageHost, folder: Path) -> list[str]:
    """Put originals, outputs and the page that shows both into the folder.

    Returns:
        A sentence for each output that is not as large as the service says.

    Raises:
        httpx.HTTPError: An output's link does not give its picture.
    """
    with httpx.Client(timeout=DOWNLOAD_TIMEOUT_SECONDS, trust_env=False) as http:
        pairs_of = [
            (outcome, [_pair(http, image_host, folder, each) for each in outcome.pictures()]) for outcome in outcomes
        ]
    body = "\n".join(line for outcome, pairs in pairs_of for line in _section(outcome, pairs))
    page = Template(PAGE_TEMPLATE.read_text(encoding="utf-8")).substitute(body=body)
    (folder / "index.html").write_text(page, encoding="utf-8")
    return [line for _, pairs in pairs_of for pair in pairs if (line := _wrong_size(folder, pair)) is not None]


def _pair(http: httpx.Client, image_host: ImageHost, folder: Path, picture: Picture) -> Pair:
    return Pair(picture, _original(image_host, folder, picture), _output(http, folder, picture))


def _original(image_host: ImageHost, folder: Path, picture: Picture) -> Path | None:
    source = picture.source
    if source.behaviour == Behaviour.MISSING:
        return None
    content = image_host.path_of(source).read_bytes()
    served = broken(content) if source.behaviour == Behaviour.BROKEN else content
    return _kept(folder, Path("originals") / _name(source), served)


def _output(http: httpx.Client, folder: Path, picture: Picture) -> Path | None:
    if picture.output_url is None:
        return None
    content = http.get(picture.output_url).raise_for_status().content
    name = _name(picture.source)
    suffix = PurePosixPath(path_of(picture.output_url)).suffix
    if suffix != Path(name).suffix:
        name += suffix  # added, not replaced: chair.jpg and chair.png may both become WebP
    return _kept(folder, Path("pictures") / name, content)


def _name(source: SourceImage) -> str:
    return source.filename if source.behaviour == Behaviour.PLAIN else f"{source.behaviour}-{source.filename}"


def _wrong_size(folder: Path, pair: Pair) -> str | None:
    if pair.after is None:
        return None
    size_bytes, said_bytes = (folder / pair.after).stat().st_size, pair.picture.image.bytes_out
    return None if size_bytes == said_bytes else f"{pair.after.name} has {size_bytes} bytes in place of {said_bytes}"


def _kept(folder: Path, path: Path, content: bytes) -> Path:
    (folder / path).write_bytes(content)
    return path


def _section(outcome: Outcome, pairs: Sequence[Pair]) -> Iterator[str]:
    yield f"<h2>{html.escape(outcome.row.name)}</h2>"
    for pair in pairs:
        image = pair.picture.image
        after = decimal(image.bytes_out) if pair.after else f"failed: {pair.picture.code}"
        yield '<div class="pair">'
        yield _figure(pair.before, f"before, {decimal(image.bytes_in)}" if image.bytes_in else "before")
        yield _figure(pair.after, f"after, {after}" if pair.after else after)
        yield "</div>"


def _figure(path: Path | None, caption: str) -> str:
    if path is None:
        return f'<figure class="none"><figcaption>{html.escape(caption)}</figcaption></figure>'
    link = html.escape(path.as_posix())
    picture = f'<a href="{link}"><img src="{link}" alt="" loading="lazy"></a>'
    return f"<figure>{picture}<figcaption>{html.escape(path.name)}, {html.escape(caption)}</figcaption></figure>"
