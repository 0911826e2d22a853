"""Ray takes the files that operators hand to it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private import util
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.serve.schema import ServeDeploySchema

ROOT = Path(__file__).parents[2]


def test_ray_takes_the_cluster_file() -> None:
    config: dict[str, Any] = yaml.safe_load((ROOT / "ray-cluster.yaml").read_text())
    validate_config(prepare_config(config))
    for node in ("head", "worker"):
        assert "ray start --block" in config[f"{node}_start_ray_commands"][0]
    assert config["head_start_ray_commands"][1] == "systemctl --user restart ray"
    # Without it the head knows of no workers, and starts none.
    assert "--autoscaling-config=$HOME/ray_bootstrap_config.yaml" in config["head_start_ray_commands"][0]
    assert config["file_mounts"]["~/.config/systemd/user/ray.service"].endswith("cluster/ray.service")


def test_ray_refuses_a_cluster_file_with_an_unknown_key() -> None:
    config: dict[str, Any] = yaml.safe_load((ROOT / "ray-cluster.yaml").read_text())
    with pytest.raises(Exception, match="nodes"):
        validate_config(prepare_config({**config, "nodes": 3}))


def test_serve_takes_the_applications() -> None:
    config = ServeDeploySchema.model_validate(yaml.safe_load((ROOT / "cluster" / "serve.yaml").read_text()))
    routes = {application.route_prefix: application.import_path for application in config.applications}
    assert routes == {"/api/upload": "deployments.serve:upload", "/": "deployments.serve:status"}
    for application in config.applications:
        (deployment,) = application.deployments
        # The cores belong to the image tasks: a replica that reserved one could leave none for them.
        assert deployment.ray_actor_options.num_cpus == 0
        # Two replicas on one node would die together.
        assert deployment.max_replicas_per_node == 1


# It gives the port of the client server, as `ray start` hands it to the new node, and starts nothing.
CLIENT_PORT = """
import runpy, sys
from ray._private import parameter

class Told(parameter.RayParams):
    def __init__(self, **given):
        super().__init__(**given)
        print(self.ray_client_server_port)
        sys.exit()

parameter.RayParams = Told
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize(
    ("module", "options", "port"),
    [
        ("deployments.nodes.ray", [], "None"),
        ("deployments.nodes.ray", ["--ray-client-server-port=10001"], "10001"),
        ("ray.scripts.scripts", [], "10001"),  # or Darkroom's own command is not needed any more
    ],
)
def test_a_head_has_no_client_server_unless_it_is_asked_for(module: str, options: list[str], port: str) -> None:
    command = [sys.executable, "-c", CLIENT_PORT, module, "start", "--head", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.splitlines()[-1:] == [port], done.stderr


# The state of the autoscaler, as its own provider keeps it. It prints the path and which nodes run.
STATE = """
import sys
from ray.autoscaler._private.local.node_provider import LocalNodeProvider

provider = LocalNodeProvider({"head_ip": "127.0.0.1", "worker_ips": ["127.0.0.2"]}, "darkroom")
print(provider.state.save_path, *provider.non_terminated_nodes({}))
provider.create_node({}, {"ray-node-type": "worker"}, 1)
"""


def started_head(home: Path) -> list[str]:
    """Start the head by the commands of the cluster file. Return its arguments, and what a provider tells there.

    In place of Python, the node has a script that tells its arguments and runs the provider in its environment.
    """
    program = home / "darkroom" / "bin" / "python"
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(f'#!/bin/sh\necho "$@"\nexec {sys.executable} -c "$STATE"\n')
    program.chmod(0o755)
    config: dict[str, Any] = yaml.safe_load((ROOT / "ray-cluster.yaml").read_text())
    environment = {**os.environ, "HOME": str(home), "STATE": STATE, "SSH_CONNECTION": "10.0.0.1 50000 10.0.0.2 22"}
    command = f"{config['head_start_ray_commands'][0]}; exec /bin/sh ~/ray-start.sh"
    done = subprocess.run(
        ["/bin/sh", "-c", command], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.splitlines()


def test_the_autoscaler_knows_its_workers_after_a_boot_that_clears_tmp(tmp_path: Path) -> None:
    arguments, first = started_head(tmp_path)
    assert "--temp-dir=/tmp/ray" in arguments.split()  # sessions have sockets, and a boot may clear them
    path = str(tmp_path / ".local/state/darkroom/ray/cluster-darkroom.state")
    assert first == path
    assert started_head(tmp_path)[1] == f"{path} 127.0.0.2"


def test_a_head_has_the_address_that_ssh_reached(tmp_path: Path) -> None:
    """Without a default route, Ray would take 127.0.0.1, and no worker would find it."""
    assert "--node-ip-address=10.0.0.2" in started_head(tmp_path)[0].split()


def test_an_edit_on_the_head_sets_up_no_worker_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    config: dict[str, Any] = yaml.safe_load((ROOT / "ray-cluster.yaml").read_text())
    mounts = dict.fromkeys(config["file_mounts"])
    for each in (*mounts, "~/darkroom.env", "~/serve.yaml"):
        file = Path(each).expanduser()
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(each)

    def wanted() -> str:
        """The hash that every worker must have. The autoscaler computes it when it starts."""
        monkeypatch.setattr(util, "_hash_cache", {})
        return str(util.hash_runtime_conf({each: each for each in mounts}, None, [])[0])

    before = wanted()
    for each in ("darkroom.env", "serve.yaml"):
        (tmp_path / each).write_text("edited")
    assert wanted() == before
    (tmp_path / "ray-node.sh").write_text("edited")
    assert wanted() != before


def test_every_node_is_started_without_a_client_server() -> None:
    config: dict[str, Any] = yaml.safe_load((ROOT / "ray-cluster.yaml").read_text())
    for node in ("head", "worker"):
        start = config[f"{node}_start_ray_commands"][0]
        assert "python -m deployments.nodes.ray start --block" in start
        assert "client" not in start
