"""The whole service, as `darkroom up` starts it, for all tests of a session."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import TYPE_CHECKING

import boto3
import psutil

from cluster.client import Darkroom
from cluster.mongo.api_keys import ApiKeyStore, key_id_of
from cluster.mongo.connection import Database
from cluster.records import Scope
from cluster.secrets import Secrets
from cluster.settings import Settings
from deployments.local import processes
from deployments.local.home import Home
from deployments.local.serve_client import readiness_problem
from deployments.local.service import bring_up, take_down
from deployments.local.state import State

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

    from deployments.local.processes import ProcessId
    from deployments.local.stack import RunningStack


@dataclass(frozen=True)
class Service:
    """A running service, with all that a test needs to talk to it and to look behind it."""

    given: Settings
    """The settings that it was started with."""
    stack: RunningStack
    token: str

    @property
    def url(self) -> str:
        return self.stack.url

    @property
    def settings(self) -> Settings:
        return self.stack.settings

    @property
    def authorization(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token}"}

    @property
    def webhook_secret(self) -> str:
        """The webhook secret of the first key."""
        return Secrets(self.settings).webhook_secret(key_id_of(self.token))

    def client(self, token: str | None = None) -> Darkroom:
        return Darkroom(self.url, api_key=token or self.token)

    def clients(self) -> list[Darkroom]:
        """Return a client for each address, of which there is one."""
        return [self.client()]

    def new_key(self, *scopes: Scope) -> str:
        """Make another key, and return its token. Without scopes, it has all."""

        async def made() -> str:
            async with Database.open(self.settings) as database:
                _, token = await ApiKeyStore(database).create(name="another", scopes=scopes or list(Scope))
                return token

        return asyncio.run(made())

    def ray_processes(self, name: str) -> list[ProcessId]:
        """Return the processes whose title says that they run an actor or a task of that name."""
        ray = State.read(self.stack.home.state_file).servers.get("ray")
        family = [] if ray is None else processes.process_tree(ray.process, self.stack.home.path)
        return [each for each in family if _title(each.pid).startswith(f"ray::{name}")]

    def object_keys(self, prefix: str) -> set[str]:
        """Return the keys of all objects under a prefix."""
        pages = s3_client(self.stack).get_paginator("list_objects_v2")
        found = pages.paginate(Bucket=self.settings.s3_bucket, Prefix=prefix)
        return {each["Key"] for page in found for each in page.get("Contents", [])}


def is_ready(url: str | None) -> bool:
    """Return whether the service there says that it is ready. None is a service that has not been started."""
    return url is not None and readiness_problem(url) is None


def _title(pid: int) -> str:
    try:
        return " ".join(psutil.Process(pid).cmdline())
    except psutil.NoSuchProcess:  # it has ended meanwhile
        return ""


def s3_client(stack: RunningStack) -> S3Client:
    return boto3.client(
        "s3",
        endpoint_url=stack.settings.s3_endpoint_url,
        region_name=stack.settings.s3_region,
        aws_access_key_id=stack.environment.get("AWS_ACCESS_KEY_ID"),  # of an S3 that was named, the environment's
        aws_secret_access_key=stack.environment.get("AWS_SECRET_ACCESS_KEY"),
    )


def impatient_settings(home: Path) -> Settings:
    """Return settings for tests: loopback is open, and no wait is long."""
    return Settings(
        home=home,
        allowed_networks=(IPv4Network("127.0.0.0/8"),),
        allow_http_webhooks=True,
        download_timeout_seconds=2,
        image_timeout_seconds=4,
        batch_timeout_seconds=30,  # longer than a store is away in any test
        connect_timeout_seconds=2,
        max_image_bytes=2_000_000,
        max_attempts=2,
        retry_base_seconds=0.1,
        webhook_timeout_seconds=2,
        webhook_retry_seconds=(0.2, 0.2, 0.2),
    )


@contextmanager
def running_service(folder: Path, **changes: object) -> Iterator[Service]:
    """Run everything in a folder for the block. `changes` are settings that differ from the impatient ones."""
    settings, home = impatient_settings(folder).model_copy(update=changes), Home(folder)
    try:
        stack = bring_up(settings, home, lambda _event: None)
        yield Service(settings, stack, home.api_key_file.read_text().strip())
    finally:
        take_down(home, lambda _event: None)
