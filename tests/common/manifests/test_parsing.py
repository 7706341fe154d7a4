# ruff: noqa: E501  -- a case is a line: what is written, and what is answered
import time

import pytest

from libs.common.manifests.parsing import InvalidYaml, parse
from libs.common.manifests.scalars import resolve_plain

BOMB = b"a: &a [x, x, x, x, x, x, x, x, x, x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (name, name, b", ".join([b"*%c" % (name - 1)] * 10)) for name in b"bcdefghi"
)
CHAIN = b"a0: &a0 [x]\n" + b"".join(b"a%d: &a%d [*a%d]\n" % (n, n, n - 1) for n in range(1, 100))

UNREADABLE = [
    (
        b"a: b: c\n",
        '1:5 invalid YAML: mapping values are not allowed here; check the indentation, or quote a value that contains ": "',
    ),
    (
        b"a:\n\tb: 1\n",
        "2:1 invalid YAML: found character '\\t' that cannot start any token; indent with spaces, not with tabs",
    ),
    (b"a: [1, 2\nb: 3\n", "2:2 invalid YAML: expected ',' or ']', but got ':'; while parsing a flow sequence"),
    (b'a: "open\n', "2:1 invalid YAML: found unexpected end of stream; close the quotes"),
    (b"a: 1\n- b\n", "2:1 invalid YAML: expected <block end>, but found '-'; indent the items of one list alike"),
    (
        b"a: 1\n  b: 2\n",
        '2:4 invalid YAML: mapping values are not allowed here; check the indentation, or quote a value that contains ": "',
    ),
    (b"a: @x\n", "1:4 invalid YAML: found character '@' that cannot start any token; quote a value that starts with @"),
    (b"a: 1\nb: 2\na: 3\n", '3:1 duplicate field "a"; the first one is on line 1'),
    (b"[a]: 1\n", "1:1 a field's name must be one word, not a list or a mapping"),
    (b"a: *b\n", '1:4 unknown alias "*b"; define it first with &b'),
    (b"a: &a\n  b: *a\n", '2:6 alias "*a" contains itself; write the value out'),
    (b"a: !secret x\n", '1:4 tag "!secret" is not allowed; remove it'),
    (
        b"a: !!python/object:os.system {}\n",
        '1:4 tag "tag:yaml.org,2002:python/object:os.system" is not allowed; remove it',
    ),
    (b"a: !!int x\n", '1:4 "x" does not fit its tag; remove the tag'),
    (b"a: 1\nb: \xff\n", "2:4 not UTF-8 text; save the file as UTF-8"),
    (b"\xff\xfea\x00:\x00 \x001\x00", "1:1 not UTF-8 text; save the file as UTF-8"),
    (b"a: 1\nb: x\0y\n", "2:5 character U+0000 is not allowed; remove it, or write it as an escape in quotes"),
    (b'a: "x\\0y"\n', "1:4 character U+0000 is not allowed; remove it"),
    (b'a: "\\ud800"\n', "1:4 character U+D800 is not allowed; remove it"),
    (b"a: " + b"[" * 60 + b"]" * 60, "1:53 nested deeper than 50 levels; make it flatter"),
    (b"a: {<<: [1]}\n", '1:9 "<<" takes a mapping or a list of mappings, as an alias'),
    (BOMB, "5:12 more than 30000 values with aliases expanded; split the file, or use fewer aliases"),
    (CHAIN, "49:12 nested deeper than 50 levels; make it flatter"),
]


@pytest.mark.parametrize(("content", "expected"), UNREADABLE)
def test_a_file_that_cannot_be_read_says_where_and_why(content: bytes, expected: str) -> None:
    with pytest.raises(InvalidYaml) as caught:
        parse(content)
    assert f"{caught.value.line}:{caught.value.column} {caught.value}" == expected


@pytest.mark.parametrize(
    "content",
    [
        BOMB,
        CHAIN,
        b"a: " + b"[" * 1_000_000,
        b"{" * 1_000_000,
        b"- " * 500_000,
        b"a: [" + b"x," * 500_000,
        b"&a " * 300_000,
    ],
    ids=["bomb", "chain", "brackets", "braces", "dashes", "items", "anchors"],
)
def test_hostile_files_are_refused_within_seconds(content: bytes) -> None:
    started = time.process_time()
    with pytest.raises(InvalidYaml):
        parse(content)
    assert time.process_time() - started < 5


READABLE = [
    (b"", []),
    (b"# nothing\n---\n---\n", []),
    (b"a: 1\n---\nb: 2\n", [{"a": 1}, {"b": 2}]),
    (b"\xef\xbb\xbfa: 1\r\nb: 2\r\n", [{"a": 1, "b": 2}]),
    (b"on: yes\n1: off\nnull: ~\n", [{"on": "yes", "1": "off", "null": None}]),
    (b"a: &x {b: [1]}\nc: *x\n", [{"a": {"b": [1]}, "c": {"b": [1]}}]),
    (b"a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}\n", [{"a": {"b": 1, "c": 2}, "d": {"c": 3, "b": 1}}]),
    (b"a: {<<: [{b: 1}, {b: 2, c: 3}]}\n", [{"a": {"b": 1, "c": 3}}]),
    (b"a: !!str 1\nb: '2'\nc: !!int 3\n", [{"a": "1", "b": "2", "c": 3}]),
    ("имя: лист 🍃\n".encode(), [{"имя": "лист 🍃"}]),
]


@pytest.mark.parametrize(("content", "expected"), READABLE)
def test_yaml_becomes_plain_values(content: bytes, expected: list[object]) -> None:
    assert [root.to_plain() for root in parse(content)] == expected


WORDS = {
    "": None, "~": None, "null": None, "true": True, "False": False, "yes": "yes", "on": "on", "12": 12, "-3": -3,
    "012": 12, "0o17": 15, "0x1F": 31, "1_000": "1_000", "1.5": 1.5, ".5": 0.5, "1e3": 1000.0, "1.2.3": "1.2.3",
    "2024-01-01": "2024-01-01", ".inf": ".inf", ".nan": ".nan", "1e999": "1e999", "9" * 19: "9" * 19, "12:30": "12:30",
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), WORDS.items())
def test_an_unquoted_word_means_what_yaml_1_2_says(text: str, expected: object) -> None:
    assert (resolve_plain(text), type(resolve_plain(text))) == (expected, type(expected))


def test_a_field_is_located_by_its_value_when_that_is_a_word_else_by_its_key() -> None:
    (root,) = parse(b"a:\n  - b: 1\n    c: [x]\nd: &d {e: f}\ng: *d\nh:\n")
    assert root.locate("a", 0, "b") == (2, 8)
    assert root.locate("a") == (1, 1)
    assert root.locate("a", 0) == (2, 5)
    assert root.locate("a", 0, "c") == (3, 5)
    assert root.locate("a", 0, "c", 0) == (3, 9)
    assert root.locate("g", "e") == (4, 11)
    assert root.locate("h") == (6, 1)
    assert root.locate("a", 7, "missing") == (1, 1)
    assert root.locate_key("a", 0, "b") == (2, 5)
