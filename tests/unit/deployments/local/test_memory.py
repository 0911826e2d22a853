from __future__ import annotations

import pytest

from deployments.local.memory import ray_part


@pytest.mark.parametrize(
    ("command_line", "part"),
    [
        ("/venv/ray/core/src/ray/gcs/gcs_server --log_dir=/x", "gcs"),
        ("/venv/ray/core/src/ray/raylet/raylet --raylet_socket_name=/x/dashboard", "raylet"),
        ("/venv/bin/python -u /venv/ray/dashboard/dashboard.py --host=127.0.0.1", "dashboard and agents"),
        ("ray-dashboard-ServeHead-0 (/venv/bin/python -c from multiprocessing)", "dashboard and agents"),
        ("ray::IDLE", "idle workers"),
        ("ray::ServeReplica:status:Status", "ServeReplica:status:Status"),
        ("ray::ServeController.listen_for_change", "serve controller"),
        ("ray::RequestCoordinator.run", "RequestCoordinator"),
        ("ray::process_images()", "process_images"),
        ("/bin/sleep 1", "other"),
    ],
)
def test_a_process_of_rays_is_told_by_its_command_line(command_line: str, part: str) -> None:
    assert ray_part(command_line) == part
