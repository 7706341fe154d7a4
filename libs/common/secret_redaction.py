"""Hides values of Secrets in logs and errors: as they are, in Base64, in JSON and in URLs. Pure.

A value is replaced by as many asterisks as it has bytes, so that offsets in a log stay what they are.
"""

from __future__ import annotations

import base64
import json
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import quote, quote_plus

MIN_LENGTH = 6
"""Characters; a shorter value is not hidden: it would hide parts of ordinary words."""
LINE_WIDTHS = (64, 76)
"""A longer form is found piece by piece: PEM and Base64 are written in lines of these widths."""
FEW_FORMS = 100
"""So many are looked for one by one in less time than their beginnings."""
URL_SAFE = ("", "/", "!'()*")
"""Letters that programs leave as they are in a URL: all encoded, Python's default, encodeURIComponent of JavaScript."""
ALIGNMENTS = 3
"""Base64 of a value looks different after one or two other bytes, as in `user:password`."""


class SecretRedactor:
    def __init__(self, values: Iterable[str] = ()) -> None:
        self._forms = sorted({form for value in values for form in list_forms(value)})
        self._beginnings = {form[:MIN_LENGTH] for form in self._forms}
        self._shorter = dict(_find_shorter(self._forms))
        """The longest other form that a form begins with."""

    def redact(self, text: str) -> str:
        if not self._forms:
            return text
        return self.redact_bytes(text.encode(errors="surrogatepass")).decode(errors="replace")

    def redact_bytes(self, content: bytes) -> bytes:
        for form in sorted(self._find_candidates(content), key=len, reverse=True):
            content = content.replace(form, b"*" * len(form))
        return content

    def _find_candidates(self, content: bytes) -> Iterable[bytes]:
        """The forms that are in `content`, and with few of them any. A value of 64 KB has thousands."""
        if len(self._forms) <= FEW_FORMS:
            return self._forms
        starts = range(len(content) - MIN_LENGTH + 1)
        windows = {
            content[start : start + LINE_WIDTHS[-1]]
            for start in starts
            if content[start : start + MIN_LENGTH] in self._beginnings
        }
        return {form for window in windows for form in self._iter_forms_at_start(window)}

    def _iter_forms_at_start(self, window: bytes) -> Iterator[bytes]:
        """What `window` begins with: of the forms before it in order, the last one, or one that that begins with."""
        index = bisect_right(self._forms, window) - 1
        form = self._forms[index] if index >= 0 else None
        while form is not None:
            if window.startswith(form):
                yield form
            form = self._shorter.get(form)

    def find_incomplete(self, content: bytes, start: int) -> int:
        """Where, from `start` on, the end of `content` may be the beginning of a value; its length if nowhere."""
        if not self._forms:
            return len(content)
        for position in range(max(start, len(content) - LINE_WIDTHS[-1] + 1), len(content)):
            end = content[position:]
            index = bisect_left(self._forms, end)
            if any(len(form) > len(end) and form.startswith(end) for form in self._forms[index : index + 2]):
                return position
        return len(content)


class RedactedStream:
    """Redacts a log that comes in chunks: what may be the beginning of a value waits for the next chunk."""

    def __init__(self, redactor: SecretRedactor) -> None:
        self._redactor = redactor
        self._window = b""
        """What waits, after the bytes before it that a value may have begun in."""
        self._passed = 0
        """Bytes of the window that were passed on."""

    def feed(self, chunk: bytes) -> bytes:
        self._window += chunk
        return self._pass_until(self._redactor.find_incomplete(self._window, self._passed))

    def end(self) -> bytes:
        """What still waits."""
        return self._pass_until(len(self._window))

    def _pass_until(self, end: int) -> bytes:
        passed = self._redactor.redact_bytes(self._window)[self._passed : end]
        obsolete = max(0, end - LINE_WIDTHS[-1])
        self._window, self._passed = self._window[obsolete:], end - obsolete
        return passed


def _find_shorter(forms: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Pairs of a form and the longest other one that it begins with. `forms` are in order."""
    beginnings: list[bytes] = []
    for form in forms:
        while beginnings and not form.startswith(beginnings[-1]):
            beginnings.pop()
        if beginnings:
            yield form, beginnings[-1]
        beginnings.append(form)


def list_forms(value: str) -> Iterator[bytes]:
    """The ways in which programs write a value, each at most LINE_WIDTHS[-1] bytes long."""
    for line in {value, *value.splitlines()}:
        if len(line.strip()) >= MIN_LENGTH:
            for form in _encode_line(line.strip()):
                yield from _cut(form)
    if len(value.strip()) >= MIN_LENGTH:
        for text in {value, value.strip()}:
            for form in _encode_base64(text.encode(errors="surrogatepass")):
                yield from _cut(form)


def _encode_line(line: str) -> Iterator[bytes]:
    plain = line.encode(errors="surrogatepass")
    yield plain
    yield json.dumps(line)[1:-1].encode()
    yield json.dumps(line, ensure_ascii=False)[1:-1].encode(errors="surrogatepass")
    yield from (quote(plain, safe=safe).encode() for safe in URL_SAFE)
    yield quote_plus(plain).encode()


def _encode_base64(content: bytes) -> Iterator[bytes]:
    """The letters that depend on `content` alone, after none, one or two other bytes."""
    for before in range(ALIGNMENTS):
        letters = base64.b64encode(bytes(before) + content)
        form = letters[-(-before * 8 // 6) : (before + len(content)) * 8 // 6]
        yield form
        yield form.translate(bytes.maketrans(b"+/", b"-_"))


def _cut(form: bytes) -> Iterator[bytes]:
    if len(form) <= LINE_WIDTHS[0]:
        yield form
        return
    for width in LINE_WIDTHS:
        pieces = (form[start : start + width] for start in range(0, len(form), width))
        yield from (piece for piece in pieces if len(piece) >= MIN_LENGTH)
