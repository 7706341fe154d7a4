"""The origin of each app: a host of its own for its pages in browsers, `{app}.{domain}`. Pure.

A browser lets all pages of one origin read one another's answers and use the passwords that it remembers for it. So a
page of a module is shown only on the host of its app; anywhere else its answers are sandboxed: they get an origin of
their own, which can read nothing.
"""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import urlsplit

from services.gateway.proxy.request import Request


class AppOrigins:
    def __init__(self, domain: str | None, public_url: str) -> None:
        """`domain`: where apps have hosts, in lower case, with a port if it differs; None: they have none."""
        self._suffix = f".{domain}" if domain else ""
        self._public_authority = urlsplit(public_url).netloc.lower()
        self.find_app = lru_cache(maxsize=4096)(self._find_app)

    @property
    def are_separate(self) -> bool:
        """Whether apps have hosts of their own."""
        return bool(self._suffix)

    def _find_app(self, host: bytes) -> str:
        """The app whose own host this is, which need not exist; empty for other hosts. `host` may have a port."""
        authority = host.decode("latin-1").lower()
        if authority == self._public_authority:
            return ""
        name = authority if ":" in self._suffix else authority.rpartition(":")[0] or authority
        app = name.removesuffix(self._suffix)
        return app if app != name and "." not in app else ""

    def build_url(self, app: str, scheme: str, host: bytes, target: bytes) -> str:
        """The address of `target` on the app's own host, on the port of the requested `host`."""
        port = "" if ":" in self._suffix else host.decode("latin-1").rpartition(":")[2]
        authority = f"{app}{self._suffix}" + (f":{port}" if port.isdecimal() else "")
        return f"{scheme}://{authority}{target.decode('latin-1')}"


def is_page_request(request: Request) -> bool:
    """Whether a browser asks for a page to show. Over plain HTTP browsers send no `Sec-Fetch-Mode`."""
    mode = request.by_name.get(b"sec-fetch-mode", b"navigate")
    return request.method == "GET" and mode == b"navigate" and request.wants_html
