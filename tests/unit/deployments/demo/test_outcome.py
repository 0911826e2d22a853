"""The demo's verdict on its pictures, and the files that it leaves for you."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from cluster.client.answers import BytesAnswer, CountsAnswer, ProductAnswer, RequestStatus
from deployments.demo.catalogue import COLUMNS, CatalogueRow, write_catalogue
from deployments.demo.collect import collect, prepare
from deployments.demo.image_host import Behaviour, ImageHost, SourceImage
from deployments.demo.outcome import Outcome, outcomes_of, surprises
from deployments.demo.receiver import ReceivedWebhook
from deployments.demo.report import print_report
from deployments.demo.run import DemoReport

if TYPE_CHECKING:
    from pathlib import Path

GOOD = SourceImage("chair.jpg")
BROKEN = SourceImage("lamp.jpg", Behaviour.BROKEN)
BROKEN_CHAIR = SourceImage("chair.jpg", Behaviour.BROKEN)
MISSING = SourceImage("gone.jpg", Behaviour.MISSING)
ROWS = (CatalogueRow("Oak <chair>", (GOOD, BROKEN)), CatalogueRow("Desk", (MISSING,)))


def image(code: str | None = None) -> dict[str, Any]:
    if code is not None:
        return {"status": "failed", "error": {"code": code, "message": "?"}}
    return {"status": "completed", "bytesIn": 1000, "bytesOut": 250}


def product(number: int, row: CatalogueRow, images: list[dict[str, Any]], outputs: list[str | None]) -> ProductAnswer:
    return ProductAnswer.model_validate(
        {
            "row": number + 1,
            "serialNumber": number,
            "productName": row.name,
            "inputImageUrls": ["http://x"] * len(images),
            "outputImageUrls": outputs,
            "processingStatus": "failed",
            "images": images,
        },
    )


def results(output: str | None = "http://s3/chair.jpg") -> list[ProductAnswer]:
    return [
        product(1, ROWS[0], [image(), image("corrupt_image")], [output, None]),
        product(2, ROWS[1], [image("not_found")], [None]),
    ]


def test_an_expected_failure_is_no_surprise() -> None:
    outcomes = outcomes_of(ROWS, results())
    assert surprises(outcomes) == []
    assert (outcomes[0].bytes_in, outcomes[0].bytes_out) == (1000, 250)
    assert outcomes[1].codes == {"not_found": 1}


@pytest.mark.parametrize(
    ("source", "found", "output", "sentence"),
    [
        (GOOD, image("timeout"), None, "chair.jpg (pictures): timeout, expected success"),
        (GOOD, image(), None, "chair.jpg: completed without a link to its output"),
        (BROKEN, image(), "http://s3/x.jpg", "lamp.jpg (broken): succeeded, expected corrupt_image"),
        (MISSING, image("forbidden"), None, "gone.jpg (missing): forbidden, expected not_found"),
    ],
)
def test_anything_else_is(source: SourceImage, found: dict[str, Any], output: str | None, sentence: str) -> None:
    row = CatalogueRow("One", (source,))
    assert surprises([Outcome(row, product(1, row, [found], [output]))]) == [sentence]


def test_results_of_another_catalogue_are_refused() -> None:
    with pytest.raises(ValueError, match="answered for 1 products that are not the 2"):
        outcomes_of(ROWS, results()[:1])


def test_the_catalogue_is_a_csv_with_a_row_for_each_article(tmp_path: Path) -> None:
    with ImageHost(tmp_path) as image_host:
        write_catalogue(tmp_path / "catalogue.csv", ROWS, image_host)
        urls = [image_host.url_of(GOOD), image_host.url_of(BROKEN)]
    with (tmp_path / "catalogue.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == list(COLUMNS)
    assert rows[1] == ["1", "Oak <chair>", ", ".join(urls)]
    assert len(rows) == 3


def test_pictures_are_collected_before_and_after(tmp_path: Path) -> None:
    pictures, folder = tmp_path / "pictures", tmp_path / "output"
    pictures.mkdir()
    for name in ("chair.jpg", "lamp.jpg"):
        (pictures / name).write_bytes(b"j" * 250)
    (folder / "pictures").mkdir(parents=True)
    (folder / "pictures" / "of-last-time.jpg").touch()
    prepare(folder)
    with ImageHost(pictures) as image_host:
        outcomes = outcomes_of(ROWS, results(image_host.url_of(GOOD)))
        assert collect(outcomes, image_host, folder) == []
    assert {path.name for path in (folder / "pictures").iterdir()} == {"chair.jpg"}
    assert {path.name for path in (folder / "originals").iterdir()} == {"chair.jpg", "broken-lamp.jpg"}
    page = (folder / "index.html").read_text()
    assert "Oak &lt;chair&gt;" in page
    assert '<img src="pictures/chair.jpg"' in page
    assert "failed: not_found" in page


def test_no_picture_takes_the_place_of_another(tmp_path: Path) -> None:
    contents = {"chair.jpg": b"1", "chair.png": b"22", "a.webp": b"333", "b.webp": b"4444"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    row = CatalogueRow(
        "One",
        (SourceImage("chair.jpg"), SourceImage("chair.png"), SourceImage("chair.jpg", Behaviour.SLOW), BROKEN_CHAIR),
    )
    sources = ["a.webp", "b.webp", "chair.jpg", "chair.png"]
    prepare(tmp_path / "output")
    with ImageHost(tmp_path) as image_host:
        found = product(1, row, [image()] * 4, [image_host.url_of(SourceImage(name)) for name in sources])
        wrong = collect([Outcome(row, found)], image_host, tmp_path / "output")
    outputs = {path.name: path.read_bytes() for path in (tmp_path / "output" / "pictures").iterdir()}
    assert outputs == {
        "chair.jpg.webp": b"333",
        "chair.png.webp": b"4444",
        "slow-chair.jpg": b"1",
        "broken-chair.jpg.png": b"22",
    }
    assert len(wrong) == 4


def test_an_output_of_another_size_is_named(tmp_path: Path) -> None:
    (tmp_path / "chair.jpg").write_bytes(b"j" * 77)
    row = CatalogueRow("One", (GOOD,))
    prepare(tmp_path / "output")
    with ImageHost(tmp_path) as image_host:
        found = product(1, row, [image()], [image_host.url_of(GOOD)])
        assert collect([Outcome(row, found)], image_host, tmp_path / "output") == [
            "chair.jpg has 77 bytes in place of 250",
        ]


@pytest.mark.parametrize("width", [80, 100])
def test_the_report_fits_the_terminal_and_names_everything(tmp_path: Path, width: int) -> None:
    status = RequestStatus(
        request_id="r",
        status="completed",
        counts=CountsAnswer(images=3, completed=1, failed=2),
        bytes=BytesAnswer(in_=1000, out=250),
    )
    webhook = ReceivedWebhook("msg_1", signature_valid=True, payload={"type": "request.completed"})
    report = DemoReport(status, outcomes_of(ROWS, results()), webhook, None, 2.0, tmp_path, [])
    file = io.StringIO()
    print_report(Console(file=file, width=width), report)
    text = file.getvalue()
    assert max(map(len, text.splitlines())) <= width
    for expected in ("75%", "1 corrupt_image", "1 not_found", "1.5 images/s", "msg_1", "signature valid"):
        assert expected in text
    assert report.document()["ok"]
