"""`python -m deployments.local.restart HOME`: start again the servers that died since the last `darkroom up`."""

from __future__ import annotations

import logging
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.errors import DarkroomError
from cluster.telemetry import log_as_json
from deployments.local.home import Home
from deployments.local.service import restart_dead

if TYPE_CHECKING:
    from deployments.local.server import Event

logger = logging.getLogger("darkroom.supervisor")


def main() -> None:
    """Exit with 0 when everything runs, and with 1 when something could not be started. The log gives the reason."""
    log_as_json()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the way out stops the servers that this start has begun
    try:
        restart_dead(Home(Path(sys.argv[1])), _tell)
    except (DarkroomError, OSError) as error:
        logger.error("%s", error)  # noqa: TRY400 - the message says all that you need
        sys.exit(1)


def _tell(event: Event) -> None:
    logger.info("%s %s", event.server, event.what, extra={"seconds": round(event.seconds, 1)})


if __name__ == "__main__":
    main()
