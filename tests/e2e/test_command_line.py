"""The commands, as you or a script run them."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from tests.support.catalogues import catalogue
from tests.support.command import printed, run
from tests.support.origin import Origin, reply
from tests.support.pictures import jpeg

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.service import Service

pytestmark = pytest.mark.timeout(120)


def at(service: Service) -> dict[str, str]:
    """Return the environment in which commands find the service."""
    return {"DARKROOM_URL": service.url, "DARKROOM_API_KEY": service.token}


def test_submit_watch_status_and_results(service: Service, origin: Origin, tmp_path: Path) -> None:
    good = origin.route("/a.jpg", reply(jpeg()))
    (tmp_path / "catalogue.csv").write_bytes(catalogue([good], [good, origin.url + "/missing.jpg"]))
    watched = run(tmp_path, "submit", "catalogue.csv", "--watch", "--json", **at(service))
    assert watched.returncode == 3, watched.stderr  # completed, but some images failed
    request_id = printed(watched)["requestId"]
    assert printed(watched)["counts"]["failed"] == 1

    shown = run(tmp_path, "status", request_id, **at(service))
    assert shown.returncode == 3
    assert "2 of 3 done" in shown.stdout
    assert "1 not_found" in shown.stdout
    listed = run(tmp_path, "status", "--json", **at(service))
    assert request_id in {request["requestId"] for request in printed(listed)["requests"]}

    saved = run(tmp_path, "results", request_id, "-o", "results.csv", **at(service))
    assert saved.returncode == 0
    streamed = run(tmp_path, "results", request_id, **at(service))
    assert (tmp_path / "results.csv").read_text().splitlines()[0] == streamed.stdout.splitlines()[0]
    assert len(streamed.stdout.splitlines()) == 3
    again = run(tmp_path, "results", request_id, "--only", "failed", **at(service))
    assert "missing.jpg" in again.stdout
    assert "a.jpg," not in again.stdout


def test_a_failed_request_has_an_exit_code_of_its_own(service: Service, origin: Origin, tmp_path: Path) -> None:
    (tmp_path / "catalogue.csv").write_bytes(catalogue([origin.url + "/missing.jpg"]))
    sent = run(tmp_path, "submit", "catalogue.csv", "--json", **at(service))
    assert sent.returncode == 0
    watched = run(tmp_path, "watch", printed(sent)["requestId"], **at(service))
    assert watched.returncode == 4
    assert "failed (all_images_failed)" in watched.stdout


def test_errors_of_a_catalogue_are_listed(service: Service, tmp_path: Path) -> None:
    (tmp_path / "catalogue.csv").write_bytes(catalogue(["htp://x"]))
    refused = run(tmp_path, "submit", "catalogue.csv", **at(service))
    assert refused.returncode == 5
    assert "invalid_catalogue" in refused.stderr
    assert "htp://x" in refused.stderr
    as_json = run(tmp_path, "submit", "catalogue.csv", "--json", **at(service))
    assert [error["code"] for error in printed(as_json)["error"]["errors"]] == ["invalid_url"]


def test_a_service_that_is_not_there_is_told(tmp_path: Path, unused_tcp_port: int) -> None:
    away = run(tmp_path, "status", DARKROOM_URL=f"http://127.0.0.1:{unused_tcp_port}")
    assert away.returncode == 6
    assert "darkroom up" in away.stderr
    assert "Traceback" not in away.stderr


def test_a_wrong_key_is_told(service: Service, tmp_path: Path) -> None:
    refused = run(tmp_path, "status", DARKROOM_URL=service.url, DARKROOM_API_KEY="dk_no_no")
    assert refused.returncode == 5
    assert "invalid_api_key" in refused.stderr


def test_keys_are_made_listed_and_revoked(service: Service, tmp_path: Path) -> None:
    stores = {name: value for name, value in service.stack.environment.items() if name.startswith("DARKROOM_")}
    made = printed(run(tmp_path, "keys", "create", "web shop", "--read-only", "--json", **stores))
    assert made["key"].startswith(f"dk_{made['keyId']}_")
    assert made["webhookSecret"].startswith("whsec_")
    used = {"DARKROOM_URL": service.url, "DARKROOM_API_KEY": made["key"]}
    assert run(tmp_path, "status", **used).returncode == 0
    listed = run(tmp_path, "keys", "list", **stores).stdout
    assert "web shop" in listed
    assert made["key"] not in listed
    assert run(tmp_path, "keys", "revoke", made["keyId"], **stores).returncode == 0
    assert run(tmp_path, "keys", "revoke", made["keyId"], **stores).returncode == 1
    assert run(tmp_path, "status", **used).returncode == 5


def test_the_secret_of_the_first_key_can_be_seen(service: Service, tmp_path: Path) -> None:
    shown = run(tmp_path, "keys", "secret", "--home", str(service.stack.home.path))
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.strip() == service.webhook_secret


def test_a_key_beside_another_sees_its_requests(service: Service, origin: Origin, tmp_path: Path) -> None:
    (tmp_path / "catalogue.csv").write_bytes(catalogue([origin.url + "/missing.jpg"]))
    request_id = printed(run(tmp_path, "submit", "catalogue.csv", "--json", **at(service)))["requestId"]
    first = service.token.split("_")[1]
    home = ("--home", str(service.stack.home.path), "--json")
    made = printed(run(tmp_path, "keys", "create", "board", "--read-only", "--beside", first, *home))
    seen = run(tmp_path, "status", request_id, DARKROOM_URL=service.url, DARKROOM_API_KEY=made["key"])
    assert request_id in seen.stdout
    refused = run(tmp_path, "submit", "catalogue.csv", DARKROOM_URL=service.url, DARKROOM_API_KEY=made["key"])
    assert refused.returncode == 5
    assert "missing_scope" in refused.stderr


def test_named_stores_are_backed_up_and_restored_once(service: Service, tmp_path: Path) -> None:
    stores = {name: value for name, value in service.stack.environment.items() if name.startswith("DARKROOM_")}
    made = run(tmp_path, "backup", "backup", **stores)
    assert made.returncode == 0, made.stderr
    assert "processing_requests" in made.stdout
    again = printed(run(tmp_path, "backup", "backup", "--json", **stores))
    assert again["error"]["code"] == "target_exists"

    new = stores | {"DARKROOM_MONGO_DATABASE": "restored"}
    restored = printed(run(tmp_path, "restore", "backup", "--json", **new))
    assert restored == json.loads((tmp_path / "backup" / "backup.json").read_text())
    keys = [printed(run(tmp_path, "keys", "list", "--json", **each)) for each in (stores, new)]
    assert keys[0] == keys[1] != []
    twice = run(tmp_path, "restore", "backup", "--json", **new)
    assert twice.returncode == 1
    assert printed(twice)["error"]["code"] == "database_not_empty"


def test_a_restore_wants_a_service_that_was_stopped_and_the_secret_key(service: Service, tmp_path: Path) -> None:
    (tmp_path / "backup").mkdir()
    beside = run(tmp_path, "restore", "backup", "--json", "--home", str(service.stack.home.path))
    assert printed(beside)["error"]["code"] == "service_not_stopped"
    without = run(tmp_path, "restore", "backup", "--json")
    assert printed(without)["error"]["code"] == "other_secret_key"
    assert not (tmp_path / ".darkroom").exists()
    assert run(tmp_path, "restore", "nothing").returncode == 2


def test_doctor_finds_all_in_order(service: Service, tmp_path: Path) -> None:
    done = run(tmp_path, "doctor", "--json", **at(service))
    checks = {check["name"]: check for check in printed(done)["checks"]}
    assert done.returncode == 0, checks
    assert {"python", "pyvips", "mongod", "redis", "seaweedfs", "ray", "disk", "service", "mongodb", "s3"} <= set(
        checks
    )


def test_doctor_prints_the_fix_for_what_is_missing(tmp_path: Path) -> None:
    # A mongod on PATH wins, and this one does not run.
    program = tmp_path / "mongod"
    text = "mongod: error while loading shared libraries: libcurl.so.4: cannot open shared object file"
    program.write_text(f"#!/bin/sh\necho '{text}' >&2\nexit 127\n")
    program.chmod(0o755)
    done = run(tmp_path, "doctor", PATH=f"{tmp_path}:{os.environ['PATH']}", DARKROOM_MAX_ATEMPTS="3")
    assert done.returncode == 1
    assert "sudo apt install libcurl4" in done.stdout
    assert "DARKROOM_MAX_ATEMPTS" in done.stdout


def test_doctor_and_up_look_at_the_stores_that_were_named(tmp_path: Path, unused_tcp_port: int) -> None:
    named = {"DARKROOM_MONGO_URL": f"mongodb://127.0.0.1:{unused_tcp_port}"}
    looked = run(tmp_path, "doctor", **named)
    assert looked.returncode == 1
    assert "DARKROOM_MONGO_URL" in looked.stdout
    refused = run(tmp_path, "up", "--detach", **named)
    assert refused.returncode == 1
    assert "DARKROOM_MONGO_URL" in refused.stderr
    assert not (tmp_path / ".darkroom" / "state.json").exists()


def test_up_refuses_a_misspelt_setting(tmp_path: Path) -> None:
    refused = run(tmp_path, "up", "--detach", DARKROOM_REDIS="redis://cache.example")
    assert refused.returncode == 1
    assert "DARKROOM_REDIS" in refused.stderr
    assert not (tmp_path / ".darkroom").exists()


def test_wrong_usage_is_explained(tmp_path: Path) -> None:
    assert run(tmp_path, "submit", "nothing.csv").returncode == 2
    assert run(tmp_path, "watch").returncode == 2
