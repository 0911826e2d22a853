from __future__ import annotations

import os
from typing import Any

import pytest

from cluster.settings import Settings
from deployments.local.environment import aws_environment, proxy_environment, settings_environment
from deployments.local.stack import embedded_servers

ALL = {"mongod", "redis", "seaweedfs", "ray"}


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("DARKROOM_")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("given", "left_out"),
    [
        ({}, set()),
        ({"mongo_url": "mongodb://db/?replicaSet=rs0"}, {"mongod"}),
        ({"redis_url": "rediss://cache:6379/0"}, {"redis"}),
        ({"s3_endpoint_url": "https://minio.example"}, {"seaweedfs"}),
        ({"s3_bucket": "shop-images"}, {"seaweedfs"}),
        ({"s3_region": "eu-central-1"}, set()),
        ({"ray_address": "head:6379"}, {"ray"}),
    ],
)
def test_a_server_that_the_settings_name_is_not_started(given: dict[str, Any], left_out: set[str]) -> None:
    assert embedded_servers(Settings(**given)) == ALL - left_out


def test_aws_credentials_alone_do_not_send_pictures_to_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of another project")
    assert "seaweedfs" in embedded_servers(Settings())


def test_settings_come_back_from_their_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(
        mongo_url="mongodb://127.0.0.1:27018/?replicaSet=darkroom",
        secret_key="k" * 32,
        allowed_networks="10.0.0.0/8, fd00::/8",
        webhook_retry_seconds=(1, 2.5),
        allow_http_webhooks=True,
        max_rows=5,
        s3_public_url=None,
    )
    for name, value in settings_environment(settings).items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings


def test_the_environment_holds_the_given_settings_without_those_of_the_client() -> None:
    settings = Settings(max_rows=7, api_key="dk_1_x", url="http://127.0.0.1:1")
    assert settings_environment(settings) == {"DARKROOM_MAX_ROWS": "7"}


def test_a_session_token_of_the_operators_does_not_meet_our_credentials() -> None:
    assert aws_environment("A", "S")["AWS_SESSION_TOKEN"] == ""


def test_loopback_goes_past_a_proxy() -> None:
    assert proxy_environment({})["no_proxy"] == "127.0.0.1,localhost"
    assert proxy_environment({"NO_PROXY": "corp.example, localhost"})["NO_PROXY"] == "corp.example,localhost,127.0.0.1"
