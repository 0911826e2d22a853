"""The servers for one machine: MongoDB, Redis, SeaweedFS and a Ray head, all on loopback, all under one folder.

`stack.start` brings them up, `stopping.stop` ends them, `serve.Serve` deploys the applications, `memory.memory` says
what they take. Only the folder's layout is exported here, because clients need nothing else and start fast without.
"""

from deployments.local.home import Home

__all__ = ["Home"]
