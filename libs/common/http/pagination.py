"""Pages of lists: cursors that were given out here, and where the next page is."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from libs.common.errors import Malformed
from libs.common.signed_tokens import InvalidSignature, Purpose, TokenSigner


class Cursors:
    """Of one service's lists. A cursor is good for the list that it was made for."""

    def __init__(self, secret: str, purpose: Purpose) -> None:
        self._signer = TokenSigner(secret)
        self._purpose = purpose

    def make_cursor(self, listing: str, last: Any) -> str:
        """For the page behind `last`, a JSON value."""
        return self._signer.sign(self._purpose, [listing, last])

    def read_cursor(self, listing: str, cursor: str) -> Any:
        """What the page begins behind. Raises Malformed for a cursor that was not given out for this list."""
        try:
            made_for, last = self._signer.verify(self._purpose, cursor)
        except InvalidSignature as error:
            raise Malformed("this cursor is not one that was given out; start again without it") from error
        if made_for != listing:
            raise Malformed("this cursor belongs to another listing")
        return last


def next_page_link(path: str, query: bytes, cursor: str | None) -> dict[str, str]:
    """The `Link` header of a page whose next one begins at `cursor`; none when it is the last.

    `path` is the list's public one, decoded; `query` is that of this page: all in it but its cursor is kept.
    """
    if cursor is None:
        return {}
    kept = [(name, value) for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True)]
    asked = urlencode([*(pair for pair in kept if pair[0] != "cursor"), ("cursor", cursor)])
    return {"Link": f'<{quote(path)}?{asked}>; rel="next"'}
