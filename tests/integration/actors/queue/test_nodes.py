"""The cores of a node that drains are no capacity, and none of them is free."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys

import pytest

TOLD_SECONDS = 90
# It makes a cluster of two nodes, in a process of its own. It prints slots and free cores, before and after a drain.
DRAINED = """
import asyncio, json, subprocess, sys
import ray
from actors.queue import nodes
from ray.cluster_utils import Cluster
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from tests.support.waiting import wait_until

class Actor:
    def ping(self):
        pass

def told():
    return asyncio.run(nodes.capacity()).slots, asyncio.run(nodes.free_cores())

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
node = cluster.add_node(num_cpus=2)
try:
    ray.init(address=cluster.address, log_to_driver=False)
    wait_until(lambda: told() == (3, 3), "both nodes are there")
    # Like a coordinator it takes no core. Without it, the node would leave as soon as it drains.
    there = NodeAffinitySchedulingStrategy(node.node_id, soft=False)
    actor = ray.remote(Actor).options(num_cpus=0, scheduling_strategy=there).remote()
    ray.get(actor.ping.remote())
    before = told()
    options = [f"--address={cluster.address}", f"--node-id={node.node_id}", "--reason-message=test"]
    command = [sys.executable, "-m", "deployments.nodes.ray", "drain-node", *options]
    subprocess.run([*command, "--reason=DRAIN_NODE_REASON_PREEMPTION"], check=True)
    print(json.dumps([before, told(), ray.available_resources()["CPU"]]))
finally:
    ray.shutdown()
    cluster.shutdown()
"""


@pytest.mark.timeout(TOLD_SECONDS + 30)
def test_a_node_that_drains_has_no_cores_for_tasks() -> None:
    environment = {each: value for each, value in os.environ.items() if not each.startswith("RAY_")}
    environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex()}
    done = subprocess.run(
        [sys.executable, "-c", DRAINED],
        env=environment,
        capture_output=True,
        text=True,
        timeout=TOLD_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    before, draining, free_for_ray = json.loads(done.stdout.splitlines()[-1])
    assert (before, draining) == ([3, 3], [1, 1])
    assert free_for_ray == before[1]  # or Ray leaves them out by itself, and `nodes` need not
