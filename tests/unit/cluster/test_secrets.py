from __future__ import annotations

import base64

import pytest

from cluster.errors import RefusedError
from cluster.secrets import Secrets, check_webhook_secret
from cluster.settings import Settings


def secrets_with(key: str) -> Secrets:
    return Secrets(Settings.model_validate({"secret_key": key}))


def test_a_secret_can_be_read_with_the_same_key_only() -> None:
    token = secrets_with("a" * 32).encrypt("whsec_x")
    assert "whsec" not in token
    assert secrets_with("a" * 32).decrypt(token) == "whsec_x"
    with pytest.raises(Exception, match=r"^$"):
        secrets_with("b" * 32).decrypt(token)


def test_each_api_key_has_a_webhook_secret_of_its_own() -> None:
    secrets = secrets_with("a" * 32)
    assert secrets.webhook_secret("one") == secrets.webhook_secret("one")
    assert secrets.webhook_secret("one") != secrets.webhook_secret("two")
    assert check_webhook_secret(secrets.webhook_secret("one"))


def test_a_key_is_told_from_others_without_being_told() -> None:
    assert secrets_with("a" * 32).fingerprint == secrets_with("a" * 32).fingerprint
    assert secrets_with("a" * 32).fingerprint != secrets_with("b" * 32).fingerprint
    assert len(secrets_with("a" * 32).fingerprint) == 16


@pytest.mark.parametrize(("key", "said"), [("", "must be set"), ("a" * 31, "at least 32 characters")])
def test_a_key_that_is_missing_or_short_is_refused(key: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        secrets_with(key)


@pytest.mark.parametrize("size_bytes", [24, 64])
def test_a_secret_of_the_standard_passes(size_bytes: int) -> None:
    secret = "whsec_" + base64.b64encode(bytes(size_bytes)).decode()
    assert check_webhook_secret(secret) == secret


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "hunter2",
        base64.b64encode(bytes(32)).decode(),
        "whsec_",
        "whsec_" + base64.b64encode(bytes(23)).decode(),
        "whsec_" + base64.b64encode(bytes(65)).decode(),
        "whsec_!" + base64.b64encode(bytes(32)).decode(),
    ],
)
def test_any_other_secret_is_refused(secret: str) -> None:
    with pytest.raises(RefusedError) as caught:
        check_webhook_secret(secret)
    assert caught.value.code == "invalid_webhook_secret"
