from __future__ import annotations

from typing import Any

from deployments.local.serve_client import configured

CONFIG: dict[str, Any] = {
    "proxy_location": "EveryNode",
    "http_options": {"host": "127.0.0.1", "port": 8000, "request_timeout_s": 60},
    "applications": [
        {"name": "upload", "import_path": "a:b"},
        {"name": "status", "import_path": "a:c", "runtime_env": {"pip": ["x"], "env_vars": {"A": "file"}}},
    ],
}


def test_the_address_is_filled_in_and_the_rest_kept() -> None:
    config = configured(CONFIG, http_host="127.0.0.1", http_port=8001, replica_environment={})
    assert config["http_options"] == {"host": "127.0.0.1", "port": 8001, "request_timeout_s": 60}
    assert config["proxy_location"] == "EveryNode"
    assert config["applications"] == CONFIG["applications"]


def test_on_a_cluster_of_the_operators_the_applications_get_an_environment() -> None:
    config = configured(CONFIG, http_host="", http_port=1, replica_environment={"A": "given", "B": "given"})
    upload, status = config["applications"]
    assert upload["runtime_env"] == {"env_vars": {"A": "given", "B": "given"}}
    assert status["runtime_env"] == {"pip": ["x"], "env_vars": {"A": "file", "B": "given"}}
    assert "runtime_env" not in CONFIG["applications"][0]
