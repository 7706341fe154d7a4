"""Which requests count as coming from this machine."""

import pytest

from services.gateway.pages.local_visitors import is_local
from services.gateway.proxy.request import Request

HERE = "http://127.0.0.1:8000"


def build_request(peer: str = "127.0.0.1", **headers: str) -> Request:
    by_name = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    return Request("GET", "/", b"", list(by_name.items()), peer, "http", by_name)


@pytest.mark.parametrize(
    ("host", "public_url"),
    [
        ("127.0.0.1:8000", HERE), ("127.0.0.1", HERE), ("127.1.2.3:80", HERE), ("localhost:8000", HERE),
        ("LOCALHOST", HERE), ("mesh.localhost", HERE), ("[::1]:8000", HERE), ("127.0.0.1", "http://localhost:8000"),
        ("127.0.0.1", "http://[::1]:8000"),
    ],
)  # fmt: skip
def test_who_typed_an_address_of_this_machine(host: str, public_url: str) -> None:
    assert is_local(build_request(host=host), public_url)
    assert is_local(build_request("::1", host=host), public_url)
    assert not is_local(build_request("192.0.2.7", host=host), public_url)


@pytest.mark.parametrize(
    ("headers", "public_url"),
    [
        ({"host": "mesh.example.org"}, HERE),
        ({"host": "192.0.2.7:8000"}, HERE),
        ({"host": "127.0.0.1.example.org"}, HERE),
        ({"host": "localhost.example.org"}, HERE),
        ({"host": "notlocalhost"}, HERE),
        ({"host": "[::1"}, HERE),
        ({"host": ""}, HERE),
        ({}, HERE),
        ({"host": "127.0.0.1:8000"}, "https://mesh.example.org"),
        *(
            ({"host": "127.0.0.1:8000", name: "192.0.2.7"}, HERE)
            for name in ("forwarded", "via", "x_forwarded_for", "x_forwarded_host", "x_real_ip")
        ),
    ],
)
def test_who_may_have_come_through_a_proxy(headers: dict[str, str], public_url: str) -> None:
    assert not is_local(build_request(**headers), public_url)


def test_a_peer_without_an_address_is_nobody_of_this_machine() -> None:
    assert not is_local(build_request("", host="127.0.0.1"), HERE)
