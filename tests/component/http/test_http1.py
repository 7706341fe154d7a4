"""Both HTTP parsers on the same bytes: same requests, same errors."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlmesh_component.http.framing import Limits, ProtocolError, Request
from mlmesh_component.http.http1 import Http1Parser
from mlmesh_component.http.llhttp import LlhttpParser, select_parser

LIMITS = Limits(body=1000)
PARSERS = [Http1Parser, LlhttpParser]
MakeParser = Callable[[Limits], Any]

pytestmark = pytest.mark.parametrize("parser", PARSERS)

GET = b"GET /a?b=c HTTP/1.1\r\nHost: x\r\nX-One:  two \r\n\r\n"
POST = b"POST /p HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello"
CHUNKED = (
    b"POST /p HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5;name=value\r\nhello\r\n1\r\n!\r\n0\r\nTrailer: t\r\n\r\n"
)


def requests(make: MakeParser, *parts: bytes) -> list[Request]:
    parser = make(LIMITS)
    parsed = []
    for part in parts:
        parser.feed(part)
        while (request := parser.next_request()) is not None:
            parsed.append(request)
    return parsed


def refusal(make: MakeParser, data: bytes, limits: Limits = LIMITS) -> int | None:
    parser = make(limits)
    parser.feed(data)
    try:
        while parser.next_request() is not None:
            pass
    except ProtocolError as error:
        return error.status
    return None


def test_a_request_is_read_with_its_headers_in_lower_case(parser: MakeParser) -> None:
    (request,) = requests(parser, GET)
    assert (request.method, request.target, request.minor, request.body) == (b"GET", b"/a?b=c", 1, b"")
    assert request.headers == {b"host": b"x", b"x-one": b"two"}
    assert request.keep_alive


def test_a_body_ends_with_its_length(parser: MakeParser) -> None:
    assert [request.body for request in requests(parser, POST)] == [b"hello"]


def test_chunks_become_one_body_without_extensions_and_trailer(parser: MakeParser) -> None:
    (request,) = requests(parser, CHUNKED)
    assert request.body == b"hello!"
    assert b"trailer" not in request.headers


def test_pipelined_requests_come_in_order(parser: MakeParser) -> None:
    parsed = requests(parser, POST + GET + CHUNKED + GET)
    assert [(request.method, request.body) for request in parsed] == [
        (b"POST", b"hello"),
        (b"GET", b""),
        (b"POST", b"hello!"),
        (b"GET", b""),
    ]


@pytest.mark.parametrize("message", [GET, POST, CHUNKED, CHUNKED + POST + GET])
def test_it_does_not_matter_where_the_bytes_are_cut(parser: MakeParser, message: bytes) -> None:
    expected = [
        (request.method, request.target, request.headers, request.body) for request in requests(parser, message)
    ]
    one_by_one = requests(parser, *(message[i : i + 1] for i in range(len(message))))
    assert [(request.method, request.target, request.headers, request.body) for request in one_by_one] == expected


@given(cuts=st.lists(st.integers(0, len(POST + CHUNKED + GET)), max_size=6))
def test_no_choice_of_cuts_changes_what_is_read(parser: MakeParser, cuts: list[int]) -> None:
    message = POST + CHUNKED + GET
    edges = [0, *sorted(cuts), len(message)]
    parsed = requests(parser, *(message[a:b] for a, b in itertools.pairwise(edges) if a != b))
    assert [request.body for request in parsed] == [b"hello", b"hello!", b""]


def test_empty_lines_before_a_request_are_skipped(parser: MakeParser) -> None:
    assert len(requests(parser, b"\r\n\r\n" + GET)) == 1


def test_a_repeated_header_is_joined(parser: MakeParser) -> None:
    (request,) = requests(parser, b"GET / HTTP/1.1\r\nHost: x\r\nA: 1\r\nA: 2\r\n\r\n")
    assert request.headers[b"a"] == b"1, 2"


def test_an_offer_to_upgrade_is_ignored(parser: MakeParser) -> None:
    offer = b"Host: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n"
    post = b"POST /p HTTP/1.1\r\n" + offer + b"Content-Length: 2\r\n\r\nhi"
    parsed = requests(parser, b"GET /a HTTP/1.1\r\n" + offer + b"\r\n", post, GET)
    assert [(request.target, request.body) for request in parsed] == [(b"/a", b""), (b"/p", b"hi"), (b"/a?b=c", b"")]


@pytest.mark.parametrize(
    ("version", "connection", "keep_alive"),
    [
        (b"1.1", b"", True),
        (b"1.1", b"Connection: close\r\n", False),
        (b"1.0", b"", False),
        (b"1.0", b"Connection: Keep-Alive\r\n", True),
    ],
)
def test_the_connection_header_and_the_version_say_what_becomes_of_it(
    parser: MakeParser, version: bytes, connection: bytes, keep_alive: bool
) -> None:
    (request,) = requests(parser, b"GET / HTTP/" + version + b"\r\nHost: x\r\n" + connection + b"\r\n")
    assert request.keep_alive is keep_alive


def test_a_peer_that_expects_our_word_gets_it_once(parser: MakeParser) -> None:
    http_parser = parser(LIMITS)
    http_parser.feed(b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    assert http_parser.next_request() is None
    assert http_parser.expects_continue
    assert not http_parser.expects_continue
    http_parser.feed(b"ok")
    request = http_parser.next_request()
    assert request is not None
    assert request.body == b"ok"


def test_between_requests_a_parser_is_idle_and_within_one_it_is_not(parser: MakeParser) -> None:
    http_parser = parser(LIMITS)
    assert http_parser.is_idle
    http_parser.feed(POST[:20])
    assert http_parser.next_request() is None
    assert not http_parser.is_idle
    http_parser.feed(POST[20:])
    assert http_parser.next_request() is not None
    assert http_parser.is_idle


BAD = [
    (b"rubbish\r\n\r\n", 400),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    (b"GET /\r\n\r\n", 400),
    (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 400),
    (b"GET / HTTP/1.1\nHost: x\n\n", 400),
    (b"GET / HTTP/1.1\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: x\r\nA : 1\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: x\r\nA: 1\r\n folded\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: x\r\nA: \x00\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na", 400),
    (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na", 400),
    (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 1\r\n\r\na", 400),
    (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\na", 400),
    (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0x1\r\n\r\na", 400),
    (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n", 413),
    (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" + b"a" * 1001, 413),
    (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 70_000, 431),
    (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 70_000 + b"\r\n\r\n", 431),
    (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431),
    (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: 1\r\n" * 20_000 + b"\r\n", 431),
    (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: 1\r\n" * 200 + b"\r\n", 431),
    (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;" + b"a" * 200_000, 400),
    (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1;" + b"a" * 200_000, 400),
    (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"A: 1\r\n" * 40_000, 431),
]


@pytest.mark.parametrize(("data", "status"), BAD)
def test_what_could_be_read_in_two_ways_is_refused(parser: MakeParser, data: bytes, status: int) -> None:
    assert refusal(parser, data) == status


def test_what_came_before_the_rubbish_is_still_read(parser: MakeParser) -> None:
    http_parser = parser(LIMITS)
    http_parser.feed(POST + b"rubbish\r\n\r\n")
    assert http_parser.next_request().body == b"hello"
    with pytest.raises(ProtocolError):
        http_parser.next_request()


@given(data=st.binary(max_size=300))
def test_no_bytes_whatever_bring_anything_but_a_request_or_a_refusal(parser: MakeParser, data: bytes) -> None:
    assert refusal(parser, data) in (None, 400, 413, 431, 501)


@given(data=st.binary(max_size=80), at=st.integers(0, len(CHUNKED)))
def test_rubbish_within_a_request_is_no_way_around_the_rules(parser: MakeParser, data: bytes, at: int) -> None:
    assert refusal(parser, CHUNKED[:at] + data + CHUNKED[at:]) in (None, 400, 413, 431, 501)


def test_the_fastest_parser_is_the_one_of_httptools_where_it_is_installed(parser: MakeParser) -> None:
    assert select_parser() is LlhttpParser
