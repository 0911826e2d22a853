"""`python -m cluster.embedded.revival HOME`: the last `darkroom up` once more, with the settings of then."""

from __future__ import annotations

import logging
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.embedded.environment import settings_from
from cluster.embedded.home import Home
from cluster.embedded.service import bring_up
from cluster.embedded.state import State
from cluster.errors import DarkroomError
from cluster.telemetry import log_as_json

if TYPE_CHECKING:
    from cluster.embedded.server import Event

logger = logging.getLogger("darkroom.supervisor")


def main() -> None:
    """Exit code 0: everything runs; 1: something could not be started, and the log says why."""
    log_as_json()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was begun is stopped again on the way out
    home = Home(Path(sys.argv[1]))
    settings = settings_from(State.read(home.state_file).settings)
    try:
        bring_up(settings, home, _tell)
    except (DarkroomError, OSError) as error:
        logger.error("%s", error)  # noqa: TRY400 - it says all that an operator needs
        sys.exit(1)


def _tell(event: Event) -> None:
    if event.what != "adopted":
        logger.info("%s %s", event.server, event.what, extra={"seconds": round(event.seconds, 1)})


if __name__ == "__main__":
    main()
