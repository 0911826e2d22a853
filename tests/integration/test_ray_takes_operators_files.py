"""Ray takes the files that operators hand to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
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
