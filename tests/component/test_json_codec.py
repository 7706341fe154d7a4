"""The same results with orjson and without it."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import importlib
import math
import pathlib
import uuid
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies
from mlmesh_component import json_codec

from tests.component.enums import Level, Tone, Word

NAN = float("nan")
DEEP: list[Any] = []
for _ in range(299):
    DEEP = [DEEP]


@dataclasses.dataclass
class Point:
    x: Any


@dataclasses.dataclass
class Hidden:
    _x: int


class Text(str): ...


class Number(int): ...


class Ratio(float): ...


@pytest.fixture(params=["orjson", "standard library"], autouse=True)
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "standard library":
        monkeypatch.setattr(json_codec, "orjson", None)


REFUSED = [
    (b"", "it is empty"),
    (b" ", "Expecting value: line 1 column 2"),
    (b"{", "Expecting property name"),
    (b"nul", "Expecting value"),
    (b"[1,]", "Expecting value|Illegal trailing comma"),
    (b"[01]", "Expecting ',' delimiter"),
    (b"{} {}", "Extra data"),
    (b"{'a': 1}", "Expecting property name"),
    (b'"\t"', "Invalid control character"),
    (b"\xff", "'utf-8' codec can't decode byte 0xff"),
    (b'"\xed\xa0\x80"', "'utf-8' codec can't decode byte 0xed"),
    ("[1]".encode("utf-16"), "'utf-8' codec can't decode"),
    (b"\xef\xbb\xbf{}", "it begins with a byte order mark; leave that out"),
    (b"NaN", "it has NaN, which JSON does not know; the Open Inference Protocol takes it in binary tensors"),
    (b"[Infinity]", "it has Infinity, which"),
    (b'{"a": -Infinity}', "it has -Infinity, which"),
    (b"1e400", "the number 1e400 is too large"),
    (b"[-1E+400]", r"the number -1E\+400 is too large"),
    (b"[1e00400]", "the number 1e00400 is too large"),
    (b"9" * 400, "the number 9{40}… is too large"),
    (b"[-%s]" % (b"9" * 5000), "the number -9{39}… is too large"),
    (b"1%se10" % (b"0" * 300), "the number 10{39}… is too large"),
    (rb'"\ud800"', r"it has a text with \\ud800 alone, half of a pair: that is not Unicode"),
    (rb'{"\uDC00": 1}', r"it has a text with \\uDC00 alone"),
    (rb'["\ud83d\ude00", "\ude00\ud83d"]', r"it has a text with \\ude00 alone"),
    (rb'"\ud800\\udc00"', r"it has a text with \\ud800 alone"),
    (b"[" * 1025 + b"]" * 1025, "it is nested more than 1024 levels deep"),
    (b'{"a":' * 1025 + b"1" + b"}" * 1025, "it is nested more than 1024 levels deep"),
    (b"[" * 100_000, "it is nested more than 1024 levels deep"),
]


@pytest.mark.parametrize(("body", "why"), REFUSED, ids=range(len(REFUSED)))
def test_what_is_not_json_is_refused_in_the_same_words(body: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=f"^{why}"):
        json_codec.decode(body)


READ = [
    ('{"a":[1,2.5,"ü",null,true]}'.encode(), {"a": [1, 2.5, "ü", None, True]}),
    (b" \n[ ]\r\t", []),
    (b'{"a": 1, "a": 2}', {"a": 2}),
    (b"[9223372036854775808, -9223372036854775808]", [2**63, -(2**63)]),
    (b"[18446744073709551615, 18446744073709551616]", [2**64 - 1, 2.0**64]),
    (b"-9223372036854775809", -(2.0**63)),
    (b"[100000000000000000000]", [1e20]),
    (b"9" * 300, 1e300),
    (b"[1e308, 1e-400, 1E+2, -0, -0.0]", [1e308, 0.0, 100.0, 0, -0.0]),
    (b"[0.00012345678901234567, 0.1000000000000000000000001]", [0.00012345678901234567, 0.1]),
    (rb'["\ud83d\ude00", "\\ud800", "\\\\ud800", "\u00e9"]', ["😀", r"\ud800", r"\\ud800", "é"]),
    (b'"\x7f"', "\x7f"),
    (rb'"\u0000"', "\0"),
]


@pytest.mark.parametrize(("body", "value"), READ, ids=range(len(READ)))
def test_json_is_read_alike(body: bytes, value: Any) -> None:
    assert repr(json_codec.decode(body)) == repr(value)


@pytest.mark.parametrize(("opens", "inmost", "closes"), [(b"[", b"[]", b"]"), (b'{"a":', b"{}", b"}")])
def test_1024_levels_are_read(opens: bytes, inmost: bytes, closes: bytes) -> None:
    value = json_codec.decode(opens * 1023 + inmost + closes * 1023)
    for _ in range(1023):
        [value] = value if isinstance(value, list) else value.values()
    assert not value


TOKENS = [
    *(
        "[",
        "]",
        "{",
        "}",
        ",",
        ":",
        " ",
        '"',
        "\\",
        "\\ud8",
        "00",
        "\\udc",
        "-",
        ".",
        "e",
        "E+",
        "1",
        "0" * 20,
        "9" * 19,
    ),
    *("309", "null", "true", "NaN", "\ufeff", "ü", '"a":', "[1]", '"b"'),
]


@given(strategies.lists(strategies.sampled_from(TOKENS), max_size=12).map("".join))
def test_orjson_and_the_standard_library_take_the_same(text: str) -> None:
    assert _result(text.encode(), "orjson") == _result(text.encode(), None)


def _result(body: bytes, library: str | None) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_codec, "orjson", None if library is None else importlib.import_module(library))
        try:
            return repr(json_codec.decode(body))
        except ValueError as error:
            return str(error)


def test_what_is_text_is_read_as_its_bytes() -> None:
    assert json_codec.decode('["ü"]') == ["ü"]
    with pytest.raises(ValueError, match="surrogates not allowed"):
        json_codec.decode('"\ud800"')


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": [1, 2.5, "ü", None, True]}, '{"a":[1,2.5,"ü",null,true]}'),
        ([float("nan"), float("inf"), 1.0], "[null,null,1.0]"),
        ({"p": {3: 0.5}}, '{"p":{"3":0.5}}'),
        (np.array([[1, 2]]), "[[1,2]]"),
        ([np.float64(0.5), np.int32(3), np.bool_(True)], "[0.5,3,true]"),
        ((1, 2), "[1,2]"),
        ({7}, "[7]"),
        (Point(1), '{"x":1}'),
        (datetime.date(2026, 1, 2), '"2026-01-02"'),
        (pathlib.Path("/a"), '"/a"'),
        (
            {"a": NAN, "b": [-math.inf], "c": np.array([NAN]), "d": np.float32("inf")},
            '{"a":null,"b":[null],"c":[null],"d":null}',
        ),
        (Point(NAN), '{"x":null}'),
        ({"p": Point(np.array([1.5]))}, '{"p":{"x":[1.5]}}'),
        ({"p": Hidden(1)}, '{"p":{"_x":1}}'),
        ({np.int64(3): 1, np.float64(0.5): 2, np.str_("a"): 3, np.bool_(True): 4}, '{"3":1,"0.5":2,"a":3,"true":4}'),
        ({3: 1, 0.5: 2, True: 3, None: 4}, '{"3":1,"0.5":2,"true":3,"null":4}'),
        ({NAN: 1}, '{"null":1}'),
        ({Level.HIGH: 1, Tone.WARM: 2, Word.YES: 3}, '{"3":1,"warm":2,"yes":3}'),
        (
            {datetime.date(2026, 1, 2): 1, uuid.UUID(int=0): 2},
            '{"2026-01-02":1,"00000000-0000-0000-0000-000000000000":2}',
        ),
        (
            {pathlib.Path("/a"): 1, decimal.Decimal("1.50"): 2, np.datetime64("2026-01-02"): 3},
            '{"/a":1,"1.50":2,"2026-01-02":3}',
        ),
        ([Level.HIGH, Tone.WARM, Word.YES], '[3,"warm","yes"]'),
        ([Text("a"), Number(3), Ratio(0.5), Ratio("nan")], '["a",3,0.5,null]'),
        ([decimal.Decimal("1.50"), uuid.UUID(int=0)], '["1.50","00000000-0000-0000-0000-000000000000"]'),
        ([{3, 1, 2}, frozenset("ba"), range(2), {"k": 1}.keys()], '[[1,2,3],["a","b"],[0,1],["k"]]'),
        ([collections.ChainMap({"a": 1}), collections.deque([1])], '[{"a":1},[1]]'),
        ([np.datetime64("2026-01-02T03:04", "ns"), np.longdouble(0.5)], '["2026-01-02T03:04:00",0.5]'),
        ([2**70, -(2**70)], "[1180591620717411303424,-1180591620717411303424]"),
        (DEEP, "[" * 300 + "]" * 300),
    ],
)
def test_values_are_written_alike(value: Any, text: str) -> None:
    assert json_codec.encode(value).decode() == text


@pytest.mark.parametrize(
    "value",
    [
        object(),
        {"a": [b"x"]},
        {(1, 2): 3},
        {b"a": 1},
        "\ud800",
        {"\ud800": 1},
        np.timedelta64(3, "s"),
        datetime.timedelta(1),
        1j,
        np.array([1j]),
    ],
)
def test_what_has_no_json_form_is_a_type_error(value: Any) -> None:
    with pytest.raises(TypeError):
        json_codec.encode(value)


def test_a_value_that_contains_itself_is_a_type_error() -> None:
    value: list[Any] = []
    value.append(value)
    for holder in (value, {1: value}, {(1, 2): value}, [np.int64(3), {np.int64(3): value}]):
        with pytest.raises(TypeError):
            json_codec.encode(holder)
