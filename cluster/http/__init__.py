"""Guarded HTTP: every fetch and every webhook connects through one guard."""

from cluster.http.download import Download, download
from cluster.http.guard import Guard
from cluster.http.transport import GuardedTransport, NameResolutionError, guarded_client
from cluster.http.url import MAX_URL_CHARACTERS, parse_url, url_problem

__all__ = [
    "MAX_URL_CHARACTERS",
    "Download",
    "Guard",
    "GuardedTransport",
    "NameResolutionError",
    "download",
    "guarded_client",
    "parse_url",
    "url_problem",
]
