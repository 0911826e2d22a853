"""The servers for one machine: MongoDB, Redis, SeaweedFS and a Ray head, all on loopback, all under one folder.

`stack.start_servers` brings them up. `shutdown.stop_all` ends them. `serve_client.ServeClient` deploys the
applications. `memory.memory_by_part` tells how much memory they take. Only the folder's layout is exported here:
clients need nothing else, and start fast without the rest.
"""

from deployments.local.home import Home

__all__ = ["Home"]
