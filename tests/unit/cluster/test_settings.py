from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network

import pytest
from pydantic import ValidationError

from cluster.settings import Settings, unknown_settings


def test_lists_are_written_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARKROOM_ALLOWED_NETWORKS", "10.0.0.0/8, fd00::/8")
    monkeypatch.setenv("DARKROOM_WEBHOOK_RETRY_SECONDS", "1,2.5")
    settings = Settings()
    assert settings.allowed_networks == (IPv4Network("10.0.0.0/8"), IPv6Network("fd00::/8"))
    assert settings.webhook_retry_seconds == (1, 2.5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DARKROOM_ALLOWED_NETWORKS", "10.0.0.1/8"),
        ("DARKROOM_MAX_ATTEMPTS", "0"),
        ("DARKROOM_PUBLIC_URL", "darkroom.example"),
        ("DARKROOM_PORT", "70000"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError, match=name.removeprefix("DARKROOM_").lower()) as caught:
        Settings()
    assert caught.value.error_count() == 1


def test_a_misspelt_setting_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARKROOM_MONGO_URL", "mongodb://db.example")
    assert unknown_settings() == []
    monkeypatch.setenv("DARKROOM_MONGODB_URL", "mongodb://db.example")
    assert unknown_settings() == ["DARKROOM_MONGODB_URL"]


def test_secrets_are_not_printed() -> None:
    assert "hunter2" not in repr(Settings.model_validate({"secret_key": "hunter2", "api_key": "hunter2"}))
