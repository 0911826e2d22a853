"""The environment of every test."""

from __future__ import annotations

import logging
import os

for setting in [name for name in os.environ if name.startswith("DARKROOM_")]:
    del os.environ[setting]  # a developer's settings must not decide how a test ends
logging.getLogger("httpx").setLevel(logging.WARNING)  # or polls would be most of what a failed test shows
