"""The hosts of apps, and which requests are for pages."""

from __future__ import annotations

import pytest

from services.gateway.proxy.request import Request
from services.gateway.routing.origins import AppOrigins, is_page_request


@pytest.mark.parametrize(
    ("domain", "host", "app"),
    [
        ("localhost", "texts.localhost:8000", "texts"),
        ("localhost", "TEXTS.localhost", "texts"),
        ("localhost", "localhost:8000", ""),
        ("localhost", "127.0.0.1:8000", ""),
        ("localhost", "a.b.localhost:8000", ""),
        ("localhost", ".localhost:8000", ""),
        ("localhost", "textslocalhost:8000", ""),
        ("apps.lab.example", "texts.apps.lab.example", "texts"),
        ("apps.lab.example", "texts.lab.example", ""),
        ("apps.lab.example:8443", "texts.apps.lab.example:8443", "texts"),
        ("apps.lab.example:8443", "texts.apps.lab.example:9000", ""),
        ("example", "mesh.example", ""),
        (None, "texts.localhost:8000", ""),
        ("localhost", "[::1]:8000", ""),
        ("localhost", "", ""),
    ],
)
def test_an_app_is_found_by_its_own_host(domain: str | None, host: str, app: str) -> None:
    assert AppOrigins(domain, "https://mesh.example").find_app(host.encode()) == app


@pytest.mark.parametrize(
    ("domain", "host", "url"),
    [
        ("localhost", "127.0.0.1:8000", "http://texts.localhost:8000/texts/page/?a=1"),
        ("localhost", "[::1]:8000", "http://texts.localhost:8000/texts/page/?a=1"),
        ("localhost", "[", "http://texts.localhost/texts/page/?a=1"),
        ("localhost", "[::1]", "http://texts.localhost/texts/page/?a=1"),
        ("localhost", "evil.example:80@evil.example", "http://texts.localhost/texts/page/?a=1"),
        ("localhost", "evil.example:80/evil", "http://texts.localhost/texts/page/?a=1"),
        ("apps.lab.example", "lab.example", "http://texts.apps.lab.example/texts/page/?a=1"),
        ("apps.lab.example:8443", "lab.example:80", "http://texts.apps.lab.example:8443/texts/page/?a=1"),
    ],
)
def test_the_address_on_an_apps_own_host_has_the_requested_port(domain: str, host: str, url: str) -> None:
    origins = AppOrigins(domain, "http://127.0.0.1:8000")
    assert origins.build_url("texts", "http", host.encode(), b"/texts/page/?a=1") == url


@pytest.mark.parametrize(
    ("method", "headers", "is_page"),
    [
        ("GET", {b"accept": b"text/html", b"sec-fetch-mode": b"navigate"}, True),
        ("GET", {b"accept": b"text/html,*/*"}, True),
        ("GET", {b"accept": b"text/html", b"sec-fetch-mode": b"cors"}, False),
        ("POST", {b"accept": b"text/html", b"sec-fetch-mode": b"navigate"}, False),
        ("GET", {b"accept": b"*/*"}, False),
        ("GET", {}, False),
    ],
)
def test_browsers_ask_for_pages(method: str, headers: dict[bytes, bytes], is_page: bool) -> None:
    request = Request(method, "/", b"", [*headers.items()], "127.0.0.1", "http", headers)
    assert is_page_request(request) is is_page
