import pytest

from libs.common.settings import BadSetting
from services.gateway.proxy.forwarded import TrustedProxies
from services.gateway.proxy.request import Request


def build_request(*headers: tuple[bytes, bytes], peer: str = "10.0.0.9") -> Request:
    scope = {
        "method": "GET", "path": "/", "raw_path": b"/", "query_string": b"", "headers": list(headers),
        "client": (peer, 1), "scheme": "http",
    }  # fmt: skip
    return Request.from_scope(scope)


def test_only_a_trusted_proxy_says_for_whom_it_asks() -> None:
    request = build_request((b"host", b"a"), (b"x-forwarded-for", b"192.0.2.1"), (b"x-forwarded-proto", b"https"))
    assert dict(TrustedProxies(("10.0.0.0/24",)).build_forwarded_headers(request)) == {
        b"x-forwarded-for": b"192.0.2.1, 10.0.0.9", b"x-forwarded-proto": b"https", b"x-forwarded-host": b"a",
        b"forwarded": b'for=10.0.0.9;host="a";proto=https',
    }  # fmt: skip
    assert dict(TrustedProxies(("10.0.1.1",)).build_forwarded_headers(request)) == {
        b"x-forwarded-for": b"10.0.0.9", b"x-forwarded-proto": b"http", b"x-forwarded-host": b"a",
        b"forwarded": b'for=10.0.0.9;host="a";proto=http',
    }  # fmt: skip


FOR = b"x-forwarded-for"
CALLERS: list[tuple[str, tuple[bytes, ...], str]] = [
    ("192.0.2.1", (b"198.51.100.7",), "192.0.2.1"),
    ("10.0.0.9", (), "10.0.0.9"),
    ("10.0.0.9", (b"",), "10.0.0.9"),
    ("10.0.0.9", (b"192.0.2.1",), "192.0.2.1"),
    ("10.0.0.9", (b"198.51.100.7, 192.0.2.1",), "192.0.2.1"),
    ("10.0.0.9", (b"192.0.2.1, 10.0.0.8",), "192.0.2.1"),
    ("10.0.0.9", (b"192.0.2.1", b"10.0.0.8"), "192.0.2.1"),
    ("10.0.0.9", (b"10.0.0.7, 10.0.0.8",), "10.0.0.7"),
    ("10.0.0.9", (b"192.0.2.1:4711",), "192.0.2.1"),
    ("10.0.0.9", (b"192.0.2.1, 10.0.0.8:4711",), "192.0.2.1"),
    ("10.0.0.9", (b"2001:db8::1",), "2001:db8::1"),
    ("10.0.0.9", (b"[2001:db8::1]",), "2001:db8::1"),
    ("10.0.0.9", (b"[2001:db8::1]:4711",), "2001:db8::1"),
    ("10.0.0.9", (b"192.0.2.1, [fd00::8]:4711",), "192.0.2.1"),
    ("10.0.0.9", (b"unknown",), "unknown"),
    ("::ffff:10.0.0.9", (b"192.0.2.1",), "192.0.2.1"),
    ("unix", (b"192.0.2.1",), "unix"),
]


@pytest.mark.parametrize(("peer", "lines", "caller"), CALLERS)
def test_a_caller_is_the_nearest_address_that_is_no_proxy(peer: str, lines: tuple[bytes, ...], caller: str) -> None:
    request = build_request(*((FOR, line) for line in lines), peer=peer)
    assert TrustedProxies(("10.0.0.0/24", "fd00::/16")).get_client_address(request) == caller
    assert TrustedProxies(()).get_client_address(request) == peer


def test_all_lines_of_what_proxies_say_are_passed_on() -> None:
    request = build_request((FOR, b"192.0.2.1"), (FOR, b"10.0.0.8"))
    assert (
        dict(TrustedProxies(("10.0.0.0/24",)).build_forwarded_headers(request))[FOR] == b"192.0.2.1, 10.0.0.8, 10.0.0.9"
    )


def test_a_proxy_that_is_no_address_is_a_bad_setting() -> None:
    with pytest.raises(BadSetting, match="MLMESH_TRUSTED_PROXIES"):
        TrustedProxies(("nobody",))


def test_headers_of_this_connection_and_ours_are_not_passed_on() -> None:
    request = build_request(
        (b"connection", b"close, X-Mine"), (b"x-mine", b"1"), (b"te", b"x"), (b"x-mlmesh-user", b"root"), (b"a", b"1")
    )
    assert request.list_end_to_end_headers() == [(b"a", b"1")]


@pytest.mark.parametrize(("sent_id", "is_kept"), [(b"r-1", True), (b"x" * 129, False), (b"a b", False), (b"", False)])
def test_a_request_id_is_kept_when_it_is_safe(sent_id: bytes, is_kept: bool) -> None:
    assert (build_request((b"x-request-id", sent_id)).id == sent_id.decode()) is is_kept
