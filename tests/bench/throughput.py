"""Images per second of Darkroom and its peers, side by side: one source, one bucket, the same images, in turns."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from tests.bench import codec
from tests.bench.contestants import Coding, Contestant, Done, Site
from tests.bench.meter import Meter, Part
from tests.bench.peer_redis import peer_redis
from tests.bench.peers.ceiling import Ceiling
from tests.bench.peers.celery_prefork import CeleryPrefork
from tests.bench.peers.node_bullmq import NodeBullMQ, has_node
from tests.bench.pictures import product_photographs
from tests.bench.report import Line, print_report
from tests.bench.source import Source
from tests.bench.whole import DarkroomWhole, standing_still
from tests.support.service import running_service, s3_client

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

WARM_UP_IMAGES = 128


@dataclass
class _Record:
    """The measurements of one contestant in one race."""

    contestant: Contestant
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[dict[Part, float]] = field(default_factory=list)
    codec_seconds: list[float] = field(default_factory=list)
    """CPU of an image, measured right after each round: the machine's pace changes with its neighbours."""
    peak_bytes: int = 0
    bytes_out: int = 0
    outputs: list[bytes] = field(default_factory=list)
    """One output of each photograph."""


def run(*, images: int, rounds: int, codings: Sequence[Coding]) -> None:
    """Print a report for each coding."""
    photographs = product_photographs()
    with (
        Source(photographs) as source,
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        tempfile.TemporaryDirectory(prefix="bench-redis-") as redis_folder,
        running_service(Path(folder)) as service,
        peer_redis(Path(redis_folder)) as redis,
    ):
        site = Site(service, source, redis)
        contestants: list[Contestant] = [
            *(Ceiling(site, processes) for processes in (1, 2)),
            DarkroomWhole(site),
            *(CeleryPrefork(site, concurrency) for concurrency in (2, 4)),
        ]
        if has_node():
            contestants += [NodeBullMQ(site, processes) for processes in (1, 2)]
        else:
            print("Node is not on this machine: no BullMQ and sharp.\n")
        for coding in codings:
            with standing_still(site):
                records = _race(site, contestants, coding, images=images, rounds=rounds)
                lines = list(_lines(records, photographs, images))
                curve = codec.darkroom_curve(photographs, coding)
            print_report(coding, lines, curve, images=images, rounds=rounds)


def _race(site: Site, contestants: Sequence[Contestant], coding: Coding, *, images: int, rounds: int) -> list[_Record]:
    """Race in rounds, each begun by another contestant. After the timed rounds, one weighs the memory."""
    records = [_Record(contestant) for contestant in contestants]
    for number in range(rounds + 1):
        first = number % len(records)
        for record in records[first:] + records[:first]:
            _run_once(site, record, coding, images=images, timed=number < rounds)
    return records


def _run_once(site: Site, record: _Record, coding: Coding, *, images: int, timed: bool) -> None:
    contestant = record.contestant
    with contestant.running(coding) as running:
        running.run(site.source.urls(WARM_UP_IMAGES))
        urls = site.source.urls(images)
        with Meter(running.members, weighed=frozenset() if timed else contestant.own) as meter:
            done = running.run(urls)
    if timed:
        record.seconds.append(done.seconds)
        record.cpu_seconds.append(meter.usage.cpu_seconds)
        record.codec_seconds.append(codec.cpu_seconds(contestant.codec, product_photographs(), coding))
        note = f"{images / done.seconds:.1f} images/s"
    else:
        record.peak_bytes = meter.usage.peak_bytes
        note = f"{record.peak_bytes / 1e6:.0f} MB"
    _check_outputs(site, record, done, images)
    print(f"{coding}, {contestant.name}: {note}", file=sys.stderr, flush=True)


def _check_outputs(site: Site, record: _Record, done: Done, images: int) -> None:
    """Check that all outputs are in the bucket, and keep those of the first round for a later look."""
    s3 = s3_client(site.service.stack)
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=site.bucket, Prefix=f"{done.prefix}/")
    sizes = {each["Key"]: each["Size"] for page in pages for each in page.get("Contents", [])}
    if len(sizes) != images:
        raise RuntimeError(f"{record.contestant.name} left {len(sizes)} of {images} images")
    record.bytes_out = sum(sizes.values())
    if not record.outputs:
        keys = sorted(sizes, key=lambda key: int(key.removeprefix(f"{done.prefix}/").partition("/")[0]))
        photographs = keys[: len(product_photographs())]
        record.outputs = [s3.get_object(Bucket=site.bucket, Key=key)["Body"].read() for key in photographs]


def _lines(records: Sequence[_Record], photographs: Sequence[Path], images: int) -> Iterator[Line]:
    """Yield the medians of each contestant."""
    for record in records:
        used = record.cpu_seconds
        yield Line(
            family=record.contestant.family,
            name=record.contestant.name,
            images_per_second=images / median(record.seconds),
            slowest=images / max(record.seconds),
            fastest=images / min(record.seconds),
            cpu_ms={part: 1000 * median(each.get(part, 0) for each in used) / images for part in used[0]},
            codec_ms=1000 * median(record.codec_seconds),
            peak_bytes=record.peak_bytes,
            bytes_per_image=record.bytes_out / images,
            point=codec.point(photographs, record.outputs),
        )
