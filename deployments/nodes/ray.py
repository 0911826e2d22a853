"""The `ray` command for nodes: `python -m deployments.nodes.ray start --block --head ...`.

Ray starts a client server beside each head, on the address of the node. No option of `ray start` leaves it out. Here it
is started only by `--ray-client-server-port`.
"""

from __future__ import annotations

from ray.scripts import scripts

_NOT_ASKED_FOR = ImportError("the client server of Ray was not asked for")


def main() -> None:
    """Run the command line of Ray. It takes a port for the client server from the option alone.

    `ray start` chooses a port by itself when the packages of the client server are there. The check of a port that was
    given does not come by this name.
    """
    scripts.get_ray_client_dependency_error = lambda: _NOT_ASKED_FOR  # type: ignore[attr-defined] # a name that it imports
    scripts.main()


if __name__ == "__main__":
    main()
