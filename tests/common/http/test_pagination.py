from __future__ import annotations

from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.errors import Malformed
from libs.common.http.pagination import Cursors, next_page_link

CURSORS = Cursors("secret", "scheduler cursor")
PAIRS = st.lists(st.tuples(st.text(min_size=1), st.text()).filter(lambda pair: pair[0] != "cursor"))


def test_a_cursor_is_good_for_its_list_alone() -> None:
    made = CURSORS.make_cursor("a", [1.5, "r_x"])
    assert CURSORS.read_cursor("a", made) == [1.5, "r_x"]
    with pytest.raises(Malformed, match="another listing"):
        CURSORS.read_cursor("b", made)
    for others in (Cursors("other", "scheduler cursor"), Cursors("secret", "registry cursor")):
        with pytest.raises(Malformed, match="invalid cursor"):
            others.read_cursor("a", made)


@given(st.text())
def test_no_other_text_is_a_cursor(text: str) -> None:
    with pytest.raises(Malformed):
        CURSORS.read_cursor("a", text)


@given(PAIRS)
def test_the_next_page_is_asked_for_as_this_one_was(pairs: list[tuple[str, str]]) -> None:
    query = urlencode([*pairs, ("cursor", "old")], errors="replace").encode()
    kept = parse_qsl(query.decode(), keep_blank_values=True)[:-1]
    link = next_page_link("/a b/\u00e9", query, "new")["Link"]
    assert link.endswith('>; rel="next"')
    target = urlsplit(link[1:].partition(">")[0])
    assert target.path == "/a%20b/%C3%A9"
    assert parse_qsl(target.query, keep_blank_values=True) == [*kept, ("cursor", "new")]


def test_the_last_page_has_no_next() -> None:
    assert next_page_link("/a", b"limit=1", None) == {}
