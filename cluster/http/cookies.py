"""The cookies of one fetch.

Some hosts set a cookie and redirect to the same URL. They send the image only when the cookie comes back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp

if TYPE_CHECKING:
    from cluster.http.url import WebUrl


class FetchCookies:
    """The cookies that the redirects of one fetch have set. Each host gets only its own, also past a `Domain`.

    The answers of one fetch bound their size.
    """

    def __init__(self) -> None:
        self._jars: dict[str, aiohttp.CookieJar] = {}

    def keep(self, source: WebUrl, answer: aiohttp.ClientResponse) -> None:
        """Keep the cookies of a redirect."""
        if not answer.cookies:
            return
        if source.host not in self._jars:
            self._jars[source.host] = aiohttp.CookieJar(unsafe=True, quote_cookie=False)
        self._jars[source.host].update_cookies(answer.cookies, source.without_query)

    def headers(self, target: WebUrl) -> dict[str, str]:
        """Return the header that sends the cookies of a host back. Without cookies there is none."""
        jar = self._jars.get(target.host)
        cookies = [] if jar is None else jar.filter_cookies(target.without_query).values()
        text = "; ".join(f"{cookie.key}={cookie.value}" for cookie in cookies)
        return {"Cookie": text} if text else {}
