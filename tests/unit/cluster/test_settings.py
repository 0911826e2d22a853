from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from cluster.settings import Settings, unknown_settings

if TYPE_CHECKING:
    from pathlib import Path


def test_lists_are_written_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARKROOM_ALLOWED_NETWORKS", "10.0.0.0/8, fd00::/8")
    monkeypatch.setenv("DARKROOM_ALLOWED_PORTS", "443, 9000")
    monkeypatch.setenv("DARKROOM_WEBHOOK_RETRY_SECONDS", "1,2.5")
    settings = Settings()
    assert settings.allowed_networks == (IPv4Network("10.0.0.0/8"), IPv6Network("fd00::/8"))
    assert settings.allowed_ports == (443, 9000)
    assert settings.webhook_retry_seconds == (1, 2.5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DARKROOM_ALLOWED_NETWORKS", "10.0.0.1/8"),
        ("DARKROOM_ALLOWED_PORTS", "70000"),
        ("DARKROOM_MAX_ATTEMPTS", "0"),
        ("DARKROOM_PUBLIC_URL", "darkroom.example"),
        ("DARKROOM_MONGO_URL", "db.example:27017"),
        ("DARKROOM_REDIS_URL", "http://cache.example"),
        ("DARKROOM_SECRET_KEY", "short"),
        ("DARKROOM_PORT", "70000"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError, match=name.removeprefix("DARKROOM_").lower()) as caught:
        Settings()
    assert caught.value.error_count() == 1


def test_a_file_has_more_settings_and_the_environment_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    file.write_text('{"secret_key": "' + "k" * 32 + '", "max_rows": 7, "max_frames": 8}')
    monkeypatch.setenv("DARKROOM_SETTINGS_FILE", str(file))
    monkeypatch.setenv("DARKROOM_MAX_ROWS", "9")
    settings = Settings()
    assert (settings.secret_key.get_secret_value(), settings.max_rows, settings.max_frames) == ("k" * 32, 9, 8)
    assert unknown_settings() == []


def test_a_misspelt_setting_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARKROOM_MONGO_URL", "mongodb://db.example")
    assert unknown_settings() == []
    monkeypatch.setenv("DARKROOM_MONGODB_URL", "mongodb://db.example")
    assert unknown_settings() == ["DARKROOM_MONGODB_URL"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read"),
        ("{", "cannot be read as JSON"),
        ("[1]", "is not a JSON object"),
        ('{"prot": 1}', "has prot, which are no settings"),
    ],
)
def test_a_settings_file_that_cannot_be_used_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None, said: str
) -> None:
    file = tmp_path / "settings.json"
    if content is not None:
        file.write_text(content)
    monkeypatch.setenv("DARKROOM_SETTINGS_FILE", str(file))
    with pytest.raises(ValueError, match=said) as caught:
        Settings()
    assert str(file) in str(caught.value)


def test_secrets_are_not_printed() -> None:
    assert "hunter2" not in repr(Settings.model_validate({"secret_key": "hunter2" * 5, "api_key": "hunter2"}))
