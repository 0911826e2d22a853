"""Two starts at the same time: the demo, which is the first thing that you run, and a service with a named MongoDB."""

from __future__ import annotations

import csv
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import pytest
from PIL import Image

from deployments.demo.catalogue import ROWS
from deployments.local.state import State
from tests.support.command import printed, run

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.service import Service

pytestmark = pytest.mark.timeout(240)


class Started(NamedTuple):
    folder: Path
    done: subprocess.CompletedProcess[str]


class Starts(NamedTuple):
    demo: Started
    up: Started


@pytest.fixture(scope="module")
def starts(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starts]:
    named = {"DARKROOM_MONGO_URL": service.settings.mongo_url, "DARKROOM_MONGO_DATABASE": "another"}
    demo, up = tmp_path_factory.mktemp("demo"), tmp_path_factory.mktemp("up")
    with ThreadPoolExecutor() as pool:
        try:
            first, second = pool.submit(run, demo, "demo", "--json"), pool.submit(run, up, "up", "--detach", **named)
            yield Starts(Started(demo, first.result()), Started(up, second.result()))
        finally:
            assert run(up, "down").returncode == 0


def test_two_that_start_at_the_same_time_do_not_mix_up_their_services(starts: Starts) -> None:
    assert [each.done.returncode for each in starts] == [0, 0], starts
    assert printed(starts.demo.done)["request"]["counts"]["products"] == len(ROWS)
    assert printed(run(starts.up.folder, "status", "--json"))["requests"] == []


def test_the_demo_compresses_a_catalogue_and_leaves_nothing_running(starts: Starts) -> None:
    folder, done = starts.demo
    assert done.returncode == 0, done.stderr
    report = printed(done)
    assert report["ok"] is True
    assert report["surprises"] == []
    assert report["webhook"]["signatureValid"] is True
    assert report["request"]["bytes"]["out"] < report["request"]["bytes"]["in"]
    decisions = {image["decision"] for product in report["products"] for image in product["images"]}
    assert decisions == {"compressed", "kept_original", None}

    output = folder / "darkroom-demo"
    with (output / "results.csv").open(newline="") as file:
        assert [row["Product Name"] for row in csv.DictReader(file)] == [row.name for row in ROWS]
    pictures = [path for path in (output / "pictures").iterdir() if path.is_file()]
    assert len(pictures) == report["request"]["counts"]["completed"]
    for path in pictures:
        with Image.open(path) as picture:
            picture.load()
    assert (output / "index.html").read_text().count('src="pictures/') == len(pictures)
    assert State.read(folder / ".darkroom" / "demo" / "state.json").servers == {}


def test_up_and_down_need_not_know_each_others_environment(starts: Starts) -> None:
    folder, up = starts.up
    assert up.returncode == 0, up.stderr
    assert "MongoDB" not in up.stderr
    listed = run(folder, "keys", "list", "--json")
    assert [key["name"] for key in printed(listed)] == ["first key"]
    stopped = run(folder, "down", "--json")
    assert stopped.returncode == 0, stopped.stderr
    assert printed(stopped)["stopped"] == ["ray", "redis", "seaweedfs", "supervisor"]
    assert run(folder, "down").stdout.strip() == "Nothing was running."
