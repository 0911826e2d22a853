"""The commands of operations.md make a cluster of three machines by `ray up`, over ssh."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cluster.client import Darkroom
from tests.support import machines
from tests.support.catalogues import catalogue
from tests.support.cluster import HEAD, NODES, WORKERS
from tests.support.network import DRIVER
from tests.support.operations import commands
from tests.support.origin import Origin, reply
from tests.support.pictures import jpeg
from tests.support.ray_site import ON_HEAD, READY_SECONDS, UP_SECONDS, Site, running_site
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

DONE_SECONDS = 60
IMAGES = 8
MISSING = machines.what_is_missing()
pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(900),
    pytest.mark.skipif(bool(MISSING), reason=MISSING),
]


@pytest.fixture(scope="module")
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    # Not pytest's own folder: the path must be short.
    with tempfile.TemporaryDirectory(prefix="dkr") as folder, running_site(Path(folder)) as running:
        yield running
        if request.session.testsfailed:
            running.keep_logs(tmp_path_factory.mktemp("machines"))


@pytest.fixture(scope="module")
def token(site: Site) -> str:
    """Make the cluster by the documented commands. Return the API key that the last one prints."""
    for command in commands("Several nodes"):
        if "scp -p darkroom.env" in command:
            site.fill_in()
        if "ray up" in command:
            site.fill_wheels()
            print(site.run(command, timeout_seconds=UP_SECONDS)[-1500:])
            site.await_nodes(len(NODES))
        elif command != "make install":  # the checkout is installed
            told = site.run(command, timeout_seconds=READY_SECONDS)
    return str(re.findall(r"\bdk_\S+", told)[-1])


def test_the_documented_commands_make_a_cluster(site: Site, token: str) -> None:
    site.await_ready()
    for command in commands("See that it works"):
        print(site.machines.on_node(HEAD, command))
    addresses = {site.machines.network.addresses[node] for node in NODES}
    listed = site.machines.on_node(HEAD, f"{ON_HEAD} ray list nodes --format json")
    assert {each["node_ip"] for each in json.loads(listed)} == addresses
    assert_images_are_made(site, token)


def assert_images_are_made(site: Site, token: str) -> None:
    assert failures_by_code(site, token) == {}


def failures_by_code(site: Site, token: str) -> dict[str, int]:
    """Run a request of a few images. Return how many failed, by code."""
    with (
        Origin(host=site.machines.network.addresses[DRIVER]) as origin,
        Darkroom(site.url(HEAD), api_key=token) as darkroom,
    ):
        for number in range(IMAGES):
            origin.route(f"/{number}.jpg", reply(jpeg(seed=number)))
        urls = [f"{origin.url}/{number}.jpg" for number in range(IMAGES)]
        request = darkroom.submit(catalogue(urls)).request_id
        wait_until(
            lambda: darkroom.status(request).status in {"completed", "failed"},
            "it is done",
            timeout_seconds=DONE_SECONDS,
        )
        return {str(each.code): each.count for each in darkroom.status(request).failures}


@pytest.fixture(scope="module")
def leaving(site: Site, token: str) -> str:
    """Return the worker that is removed and added again: one that has a replica, if there is one."""
    site.await_ready()
    return next((each for each in WORKERS if site.has_replica(each)), WORKERS[-1])


def test_a_node_is_removed(site: Site, token: str, leaving: str) -> None:
    print(f"{leaving} has a replica: {site.has_replica(leaving)}")
    with site.api_watched(token, "a node is removed"):
        site.with_workers([each for each in WORKERS if each != leaving])
        for command in commands("Remove a node"):
            site.run_for(leaving, command)
        site.await_nodes(len(NODES) - 1)
        site.await_ready()
    assert_images_are_made(site, token)


def test_a_node_is_added(site: Site, token: str, leaving: str) -> None:
    site.machines.reinstall(leaving)
    with site.api_watched(token, "a node is added"):
        site.with_workers(WORKERS)
        for command in commands("Add a node"):
            site.run_for(leaving, command)
        site.await_nodes(len(NODES))
        site.await_ready()
    assert_images_are_made(site, token)


def test_all_nodes_are_updated(site: Site, token: str) -> None:
    (site.checkout / "actors" / "newer.py").touch()
    with site.api_watched(token, "Darkroom is updated on all nodes"):
        for command in commands("Update Darkroom"):
            print(site.run(command, timeout_seconds=UP_SECONDS)[-500:])
        wait_until(lambda: all(site.runs_newer(node) for node in NODES), "all are newer", timeout_seconds=UP_SECONDS)
        site.await_nodes(len(NODES))
        site.await_ready()
    assert_images_are_made(site, token)


def test_the_settings_are_changed(site: Site, token: str) -> None:
    """The new setting is one of actors, which keep theirs as long as they live."""
    file = site.checkout / "darkroom.env"
    file.write_text(f"{file.read_text()}DARKROOM_MAX_IMAGE_BYTES=100\n")
    with site.api_watched(token, "the settings are changed"):
        for command in commands("Change the settings"):
            if "serve deploy" in command:
                site.await_nodes(len(NODES))
            site.run(command, timeout_seconds=UP_SECONDS)
        site.await_ready()
    assert failures_by_code(site, token) == {"too_large": IMAGES}
