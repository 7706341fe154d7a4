"""Cookies of modules and of the console."""

from __future__ import annotations

import pytest

from services.gateway.proxy.cookies import limit_cookie, remove_session_cookie


@pytest.mark.parametrize(
    ("sent", "passed"),
    [
        (b"a=1; b=2", b"a=1; b=2"),
        (b"a=1; mlmesh=secret; b=2", b"a=1; b=2"),
        (b"__Host-Http-mlmesh=secret", b""),
        (b"a=1;__host-MLMESH=secret", b"a=1"),
        (b" mlmesh =secret; a=1", b"a=1"),
        (b"mlmesh", b""),
        (b"mlmesh2=kept; xmlmesh=kept", b"mlmesh2=kept; xmlmesh=kept"),
    ],
)
def test_modules_do_not_get_the_session_of_the_console(sent: bytes, passed: bytes) -> None:
    assert remove_session_cookie(sent) == passed


@pytest.mark.parametrize(
    ("cookie", "folder", "limited"),
    [
        (b"a=1; Path=/", None, b"a=1; Path=/"),
        (b"a=1; Domain=lab.example; Secure", None, b"a=1; Secure"),
        (b"a=1; Path=/", b"/texts", b"a=1; Path=/texts/"),
        (b"a=1", b"/texts", b"a=1; Path=/texts/"),
        (b"a=1; path=/texts/page; HttpOnly", b"/texts", b"a=1; HttpOnly; Path=/texts/page"),
        (b"a=1; Path=/texts-of-others", b"/texts", b"a=1; Path=/texts/"),
        (b"a=1; Path=/texts; Path=/", b"/texts", b"a=1; Path=/texts/"),
        (b"mlmesh=stolen; Path=/", None, None),
        (b"__Host-Http-mlmesh=stolen", b"/texts", None),
        (b"=mlmesh=x", None, None),
        (b" = mlmesh=x; Path=/", b"/texts", None),
    ],
)
def test_a_cookie_of_a_module_reaches_no_other_module(
    cookie: bytes, folder: bytes | None, limited: bytes | None
) -> None:
    assert limit_cookie(cookie, folder) == limited
