"""Pagination: signed cursors, and the `Link` header of the next page."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from libs.common.errors import Malformed
from libs.common.signed_tokens import InvalidSignature, Purpose, TokenSigner


class Cursors:
    """Cursors of one service. A cursor is valid only for the list that it was created for."""

    def __init__(self, secret: str, purpose: Purpose) -> None:
        self._signer = TokenSigner(secret)
        self._purpose = purpose

    def make_cursor(self, listing: str, last: Any) -> str:
        """The cursor of the page after the item `last`, a JSON value."""
        return self._signer.sign(self._purpose, [listing, last])

    def read_cursor(self, listing: str, cursor: str) -> Any:
        """The last item of the previous page. Raises Malformed for a cursor of another list, or a forged one."""
        try:
            cursor_listing, last = self._signer.verify(self._purpose, cursor)
        except InvalidSignature as error:
            raise Malformed("invalid cursor; start again without a cursor") from error
        if cursor_listing != listing:
            raise Malformed("this cursor belongs to another listing")
        return last


def next_page_link(path: str, query: bytes, cursor: str | None) -> dict[str, str]:
    """The `Link` header of a page whose next page begins at `cursor`; empty for the last page.

    `path` is the public path of the list, decoded; the link keeps the parameters of `query`, except the cursor.
    """
    if cursor is None:
        return {}
    params = [pair for pair in parse_qsl(query.decode("latin-1"), keep_blank_values=True) if pair[0] != "cursor"]
    next_query = urlencode([*params, ("cursor", cursor)])
    return {"Link": f'<{quote(path)}?{next_query}>; rel="next"'}
