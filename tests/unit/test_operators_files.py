"""The files that operators hand to Ray and to systemd say what Darkroom needs."""

from __future__ import annotations

import os
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import yaml

from deployments.local.ray_head import TUNING_ENVIRONMENT

ROOT = Path(__file__).parents[2]


def test_a_worker_restarts_ray_only_after_a_setup(tmp_path: Path) -> None:
    """The head's autoscaler gives these commands again when it has not heard of a worker for a while."""
    config: dict[str, Any] = yaml.safe_load((ROOT / "ray-cluster.yaml").read_text())
    systemctl = tmp_path / "systemctl"
    systemctl.write_text('#!/bin/sh\necho "$@" >> "$HOME/told"\n')
    systemctl.chmod(0o755)
    environment = {**os.environ, "HOME": str(tmp_path), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    start = config["worker_start_ray_commands"][1]
    for command in (config["setup_commands"][-1], start, start):
        subprocess.run(["/bin/sh", "-c", command], env=environment, check=True, timeout=10)
    assert (tmp_path / "told").read_text().splitlines() == ["--user restart ray", "--user start ray"]


def test_every_node_gets_the_wheel_that_was_built_here() -> None:
    """By its name alone, pip would install the package of a stranger from PyPI."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    wheel = f"darkroom-{version}-py3-none-any.whl"
    config: dict[str, Any] = yaml.safe_load((ROOT / "ray-cluster.yaml").read_text())
    assert config["file_mounts"][f"~/{wheel}"] == f"./dist/{wheel}"
    installed = [command.split()[-1] for command in config["setup_commands"] if "pip install" in command]
    assert installed == ["~/requirements.txt", f"~/{wheel}"]


def test_systemd_keeps_every_node_running_with_the_settings_that_were_tested() -> None:
    lines = (ROOT / "cluster" / "ray.service").read_text().splitlines()
    environment = dict(
        line.removeprefix("Environment=").split("=") for line in lines if line.startswith("Environment=")
    )
    assert environment == {
        **TUNING_ENVIRONMENT,
        "RAY_AUTH_MODE": "token",
        "RAY_external_storage_namespace": "darkroom",
    }
    assert "Restart=always" in lines
    assert "ExecStart=/bin/sh %h/ray-node.sh /bin/sh %h/ray-start.sh" in lines
