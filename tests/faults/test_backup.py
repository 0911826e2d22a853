"""The documented procedure, by its own commands: a machine is lost in the middle of the work, and another goes on."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from cluster.errors import ApiError
from deployments.local import processes
from deployments.local.home import Home
from deployments.local.seaweedfs import READY_KEY
from deployments.local.stack import started_stack
from deployments.local.state import State
from deployments.local.supervisor import SUPERVISOR
from tests.support.catalogues import catalogue
from tests.support.command import DARKROOM
from tests.support.jobs import delivered
from tests.support.origin import Origin, reply
from tests.support.pictures import jpeg
from tests.support.service import Service
from tests.support.waiting import wait_until
from tests.support.watched_job import OPTIONS, check_outputs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cluster.client import Darkroom, Product
    from tests.support.origin import Answer, Exchange

OPERATIONS = Path(__file__).parents[2] / "deployments" / "operations.md"
THIRD = 12  # images: before the backup, after it, and after the restore
IMAGES = 3 * THIRD
SETTINGS = {
    "DARKROOM_ALLOWED_NETWORKS": "127.0.0.0/8",
    "DARKROOM_ALLOW_HTTP_WEBHOOKS": "true",
    "DARKROOM_WEBHOOK_RETRY_SECONDS": ",".join(["0.5"] * 200),
    "DARKROOM_DOWNLOAD_TIMEOUT_SECONDS": "100",
}
pytestmark = [pytest.mark.long, pytest.mark.timeout(240)]


def procedures() -> list[list[str]]:
    """Return the documented commands: those of a backup, and those of a restore."""
    (section,) = re.findall(r"^## Backup and restore$(.*?)^## ", OPERATIONS.read_text(), re.DOTALL | re.MULTILINE)
    blocks = re.findall(r"^```console$(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    return [re.findall(r"^\$ (.*)$", block, re.MULTILINE) for block in blocks]


class Machine:
    """A folder in which commands are typed. `/safe` and `/backups` are kept elsewhere.

    Args:
        folder: The folder that is lost with the machine.
        elsewhere: The folder that is not lost.
    """

    def __init__(self, folder: Path, elsewhere: Path) -> None:
        self.folder = folder
        self.home = Home(folder / ".darkroom")
        self._elsewhere = elsewhere
        folder.mkdir()

    def type(self, command: str) -> None:
        typed = re.sub(r"/(safe|backups)\b", rf"{self._elsewhere}/\1", command)
        environment = {**os.environ, **SETTINGS, "PATH": f"{DARKROOM.parent}:{os.environ['PATH']}"}
        done = subprocess.run(
            ["/bin/sh", "-c", typed],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)

    def service(self) -> Service:
        stack = started_stack(self.home)
        assert stack is not None
        return Service(stack.settings, stack, self.home.api_key_file.read_text().strip())

    def lose(self) -> None:
        """End everything as a power cut would. The supervisor ends first, or it would start the others again."""
        running = State.read(self.home.state_file).servers
        leaders = [running[name].process for name in sorted(running, key=lambda name: name != SUPERVISOR)]
        everything = [each for leader in leaders for each in processes.process_tree(leader, self.home.path)]
        processes.send(everything, signal.SIGKILL)
        wait_until(lambda: not any(map(processes.is_alive, everything)), "everything is dead")


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as running:
        yield running


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    for name in ("safe", "backups"):
        (tmp_path / "elsewhere" / name).mkdir(parents=True)
    return tmp_path / "elsewhere"


@pytest.fixture
def machines(tmp_path: Path, elsewhere: Path) -> Iterator[list[Machine]]:
    """The machine that is lost, and the one that goes on."""
    both = [Machine(tmp_path / name, elsewhere) for name in ("one", "other")]
    yield both
    for machine in both:
        machine.type("darkroom down")


def after(event: threading.Event, then: Answer) -> Answer:
    """Return an answer that does not come before something has happened."""

    def answer(exchange: Exchange) -> None:
        while not event.is_set():
            exchange.pause(0.05)
        then(exchange)

    return answer


def unless(event: threading.Event) -> Answer:
    """Return an endpoint that is broken until something has happened."""

    def answer(exchange: Exchange) -> None:
        reply(status=204 if event.is_set() else 500)(exchange)

    return answer


def done(darkroom: Darkroom, request_id: str) -> int:
    return darkroom.status(request_id, limit=1).counts.completed


def webhook_ids(origin: Origin, path: str) -> set[str]:
    return {call.headers["webhook-id"] for call in origin.requests_to(path)}


def serve(origin: Origin, backed_up: threading.Event, restored: threading.Event) -> list[str]:
    """Serve two endpoints and the pictures: a third at once, a third after the backup, a third after the restore."""
    for path in ("/earlier", "/hook"):
        origin.route(path, unless(restored))
    urls = []
    for number in range(IMAGES):
        picture = reply(jpeg(seed=number))
        answers = [picture, after(backed_up, picture), after(restored, picture)]
        urls.append(origin.route(f"/{number}.jpg", answers[number // THIRD]))
    return urls


def check_results(darkroom: Darkroom, request_id: str, before: Product) -> None:
    """Check that the results of a request of one row are as they were before."""
    (product,) = darkroom.products(request_id)
    assert (product.processing_status, product.images) == ("failed", before.images)
    assert f"{request_id}/2/0.jpg" in b"".join(darkroom.results(request_id)).decode()
    assert httpx.get(str(product.output_image_urls[0]), trust_env=False).status_code == 200


def test_a_lost_machine_is_replaced_and_accepted_work_is_finished(
    machines: list[Machine], elsewhere: Path, origin: Origin
) -> None:
    to_back_up, to_restore = procedures()
    one, other = machines
    backed_up, restored = threading.Event(), threading.Event()
    urls = serve(origin, backed_up, restored)

    one.type("darkroom up --detach")
    with one.service().client() as darkroom:
        rows = catalogue([f"{origin.url}/0.jpg", f"{origin.url}/missing.jpg"])
        earlier = darkroom.submit(rows, webhook_url=f"{origin.url}/earlier").request_id
        darkroom.wait(earlier, timeout_seconds=60)
        (product_before,) = darkroom.products(earlier)
        wait_until(lambda: bool(origin.requests_to("/earlier")), "its webhook was refused once")
        file, hook = catalogue(*[[url] for url in urls]), f"{origin.url}/hook"
        unfinished = darkroom.submit(file, webhook_url=hook, options=OPTIONS).request_id
        wait_until(lambda: done(darkroom, unfinished) == THIRD, "some images are done")
        for command in to_back_up:
            one.type(command)
        backed_up.set()
        wait_until(lambda: done(darkroom, unfinished) > THIRD, "some more are done after the backup")
        lost = darkroom.submit(catalogue([f"{origin.url}/0.jpg"])).request_id
    one.lose()
    one.home.seaweedfs.rename(elsewhere / "safe" / "seaweedfs")

    for command in to_restore:
        other.type(command)
    service = other.service()
    assert service.token == one.home.api_key_file.read_text().strip()
    with service.client() as darkroom:
        assert darkroom.status(unfinished, limit=1).counts.completed >= THIRD
        (pending,) = darkroom.deliveries(earlier)
        restored.set()
        status = darkroom.wait(unfinished, timeout_seconds=60)
        assert (status.status, status.counts.completed, status.counts.failed) == ("completed", IMAGES, 0)
        products = list(darkroom.products(unfinished))
        assert [each.processing_status for each in products] == ["completed"] * IMAGES
        check_outputs(products)
        check_results(darkroom, earlier, product_before)
        with pytest.raises(ApiError) as caught:
            darkroom.status(lost)
        assert caught.value.status == 404
        sent = [delivered(darkroom, each) for each in (earlier, unfinished)]
        assert [each.state for (each,) in sent] == ["delivered"] * 2
    ids = [webhook_ids(origin, path) for path in ("/earlier", "/hook")]
    assert ids == [{each.delivery_id} for (each,) in sent]
    assert ids[0] == {pending.delivery_id}
    expected = {f"{earlier}/2/0.jpg", *(f"{unfinished}/{row}/0.jpg" for row in range(2, IMAGES + 2))}
    # A start on a busy machine may leave the object by which it sees that S3 takes some.
    assert service.object_keys("") - {f"{lost}/2/0.jpg", READY_KEY} == expected
