from __future__ import annotations

import os
import random
import signal
from typing import TYPE_CHECKING

import pytest

from tests.unit.actors.imaging.hostile import cuts, jpegs
from tests.unit.actors.imaging.hostile.case import CORRUPT, READABLE, WAYS
from tests.unit.actors.imaging.hostile.files import FILES
from tests.unit.actors.imaging.hostile.opened import Ending, Worker
from tests.unit.actors.imaging.hostile.strangers import POLYGLOTS, STOWAWAY
from tests.unit.actors.imaging.pace import slowdown
from tests.unit.actors.imaging.pictures import flat, look, photo, run, save

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_FILE_CPU_SECONDS = 2.0
"""The limit for one file on a machine of usual pace."""
TRIES = 3
"""The attempts, of which the fastest counts. Other work on a shared machine only makes a file seem slower."""
MAX_PEAK_MEBIBYTES = 500.0
SAMPLE, SAMPLE_SEED = 60, 2026
"""The number of files that are opened every time, and the seed that chooses them. The long run opens all."""


pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    """Start the one process that opens all files."""
    with Worker() as process:
        yield process


def wrong_ending(ending: Ending, expected: Iterable[str]) -> list[str]:
    found = []
    if ending.code not in expected:
        found.append(f"ended in {ending.code} ({ending.message}), not in {' or '.join(sorted(expected))}")
    if ending.code != READABLE and not (ending.message.endswith(".") and "\n" not in ending.message):
        found.append(f"said {ending.message!r}")
    return found


def slowness(worker: Worker, data: bytes, way: str, cpu_seconds: float) -> list[str]:
    """Return the complaint about the CPU time of a file, if every attempt takes too long."""
    tries = 1
    while cpu_seconds > MAX_FILE_CPU_SECONDS and cpu_seconds > MAX_FILE_CPU_SECONDS * slowdown():
        if tries == TRIES:
            return [f"took {cpu_seconds:.1f} s"]
        cpu_seconds = min(cpu_seconds, worker.open(data, **WAYS[way]).cpu_seconds)
        tries += 1
    return []


def problems(worker: Worker, data: bytes, expected: Iterable[str], way: str = "kept") -> list[str]:
    ending = worker.open(data, **WAYS[way])
    found = wrong_ending(ending, expected) + slowness(worker, data, way, ending.cpu_seconds)
    return found + hunger(worker, data, way, ending.peak_mebibytes)


def hunger(worker: Worker, data: bytes, way: str, peak_mebibytes: float) -> list[str]:
    """Return the complaint about the memory of a file, if it takes too much in a process of its own."""
    if peak_mebibytes > MAX_PEAK_MEBIBYTES:
        worker.start_afresh()
        peak_mebibytes = worker.open(data, **WAYS[way]).peak_mebibytes
    return [f"took {peak_mebibytes:.0f} MB"] if peak_mebibytes > MAX_PEAK_MEBIBYTES else []


def problems_of_all(
    worker: Worker, files: Iterable[tuple[str, bytes]], expected: Iterable[str]
) -> dict[str, list[str]]:
    found = {name: problems(worker, data, expected) for name, data in files}
    return {name: listed for name, listed in found.items() if listed}


def marked_files() -> list[pytest.ParameterSet]:
    """Return the names of all files. Those outside the sample are marked as long."""
    sample = set(random.Random(SAMPLE_SEED).sample(list(FILES), SAMPLE))  # noqa: S311 - must repeat
    return [pytest.param(name, marks=() if name in sample else pytest.mark.long) for name in FILES]


@pytest.mark.parametrize("name", marked_files())
def test_a_hostile_file_ends_in_a_code_soon_and_cheaply(worker: Worker, name: str) -> None:
    file = FILES[name]
    data = file.make()
    found = {way: problems(worker, data, file.expected, way) for way in file.ways}
    assert {way: listed for way, listed in found.items() if listed} == {}


@pytest.mark.parametrize("name", cuts.LARGE_NAMES)
def test_a_picture_cut_at_any_kilobyte_is_damaged(worker: Worker, name: str) -> None:
    assert problems_of_all(worker, cuts.truncations(name), {CORRUPT}) == {}


def test_random_changes_end_in_a_result_or_a_code(worker: Worker) -> None:
    assert problems_of_all(worker, cuts.mutations(), cuts.HARM) == {}


def test_no_file_has_ended_the_worker(worker: Worker) -> None:
    assert worker.deaths == 0


def test_there_are_as_many_as_promised() -> None:
    families = (jpegs.CASES, POLYGLOTS)
    assert len(FILES) > 470
    assert all(name in FILES for family in families for name in family)
    assert all(len(list(cuts.truncations(name))) >= 10 for name in cuts.LARGE_NAMES)
    assert len(list(cuts.mutations())) == cuts.MUTATIONS


def test_random_changes_are_the_same_every_time() -> None:
    assert list(cuts.mutations()) == list(cuts.mutations())


@pytest.mark.parametrize("name", POLYGLOTS)
@pytest.mark.parametrize("way", WAYS)
def test_a_stowaway_in_a_picture_does_not_go_out(name: str, way: str) -> None:
    data = POLYGLOTS[name].make()
    assert STOWAWAY in data
    output = run(data, **WAYS[way])
    assert STOWAWAY not in output.data
    assert look(output.data).size == (output.width, output.height)


def test_a_death_would_be_seen() -> None:
    small = save(flat(9, "L"), "PNG")
    with Worker() as worker:
        os.kill(worker.pid, signal.SIGKILL)
        assert worker.open(small).code == "died"
        assert worker.open(small).code == READABLE
        assert worker.deaths == 1


def test_memory_and_time_are_those_of_one_file() -> None:
    small, heavy, slow = b"small", b"heavy" * 30_000_000, save(photo(1_200, 1_000), "PNG")
    with Worker() as worker:
        before, between, after, long = (worker.open(data) for data in (small, heavy, small, slow))
    assert between.peak_mebibytes > before.peak_mebibytes + 100
    assert between.peak_mebibytes > after.peak_mebibytes + 100
    assert long.cpu_seconds > 0.1
    assert max(before.cpu_seconds, after.cpu_seconds) < 0.1
