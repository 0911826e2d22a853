"""Settings as environment variables, by which other processes get the same settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import SecretStr

from cluster.settings import Settings
from deployments.local.ports import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "DARKROOM_"
_CLIENT_SETTINGS = frozenset({"settings_file", "home", "url", "api_key"})
_UNUSED_PREFIX = "DARKROOM__"  # no variable begins with it


def settings_environment(settings: Settings) -> dict[str, str]:
    """Return the variables from which `Settings()` reads these settings, without defaults and client settings."""
    return {f"{PREFIX}{name.upper()}": value for name, value in settings_values(settings).items()}


def settings_values(settings: Settings) -> dict[str, str]:
    """Return these settings as texts by their own names, without defaults and client settings."""
    chosen = {name: getattr(settings, name) for name in sorted(settings.model_fields_set - _CLIENT_SETTINGS)}
    return {name: _text(value) for name, value in chosen.items() if value is not None}


def settings_from(environment: Mapping[str, str]) -> Settings:
    """Return the settings of an earlier `settings_environment`. The environment of now has no part in them."""
    given = {name.removeprefix(PREFIX).lower(): value for name, value in environment.items()}
    return Settings(_env_prefix=_UNUSED_PREFIX, **given)  # type: ignore[arg-type] # texts, as in an environment


def without_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without any setting, for a process that gets its settings from elsewhere."""
    return {name: value for name, value in environment.items() if not name.startswith(PREFIX)}


def changed_settings(before: Mapping[str, str], settings: Settings) -> list[str]:
    """Return the names of the variables that have changed, for a message."""
    now = settings_environment(settings)
    return sorted(name for name in {*before, *now} if before.get(name) != now.get(name))


def aws_environment(access_key: str, secret_key: str) -> dict[str, str]:
    """Return credentials for boto3, and empty values for the tokens that you may have set for another account."""
    return {
        "AWS_ACCESS_KEY_ID": access_key,
        "AWS_SECRET_ACCESS_KEY": secret_key,
        "AWS_SESSION_TOKEN": "",
        "AWS_SECURITY_TOKEN": "",
    }


def proxy_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that keep calls to this machine's own servers off a proxy."""
    hosts = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    listed = [host.strip() for host in hosts.split(",") if host.strip()]
    text = ",".join([*listed, *(host for host in (LOOPBACK, "localhost") if host not in listed)])
    return {"no_proxy": text, "NO_PROXY": text}


def _text(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value)
