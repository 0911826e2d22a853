"""The demo, which is the first thing that you run."""

from __future__ import annotations

import csv
import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from deployments.demo.catalogue import ROWS
from deployments.local.state import State
from tests.support.command import DARKROOM

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.timeout(180)
def test_the_demo_compresses_a_catalogue_and_leaves_nothing_running(tmp_path: Path) -> None:
    done = subprocess.run(
        [DARKROOM, "demo", "--json"],
        cwd=tmp_path,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["ok"] is True
    assert report["surprises"] == []
    assert report["webhook"]["signatureValid"] is True
    assert report["request"]["bytes"]["out"] < report["request"]["bytes"]["in"]
    decisions = {image["decision"] for product in report["products"] for image in product["images"]}
    assert decisions == {"compressed", "kept_original", None}

    output = tmp_path / "darkroom-demo"
    with (output / "results.csv").open(newline="") as file:
        assert [row["Product Name"] for row in csv.DictReader(file)] == [row.name for row in ROWS]
    pictures = [path for path in (output / "pictures").iterdir() if path.is_file()]
    assert len(pictures) == report["request"]["counts"]["completed"]
    for path in pictures:
        with Image.open(path) as picture:
            picture.load()
    assert (output / "index.html").read_text().count('src="pictures/') == len(pictures)
    assert State.read(tmp_path / ".darkroom" / "demo" / "state.json").servers == {}
