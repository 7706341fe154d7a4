"""The reservation of an upload: bytes of the box's quota that grow with the upload."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self
from uuid import uuid4

from libs.common import log
from libs.common.errors import MeshError
from services.databox.files.quota import Quota, ReservationRequest, file_version, link_reservation_id
from services.databox.store import Stat

RESERVATION_LIFETIME_S = 120.0
"""How long the bytes of an upload stay reserved if databox dies in the middle of it."""
RESERVATION_RENEW_S = 40.0


class UploadReservation:
    """Reserved bytes that grow with an upload; released when the context ends without `commit`."""

    def __init__(self, quota: Quota, app: str, box: str, key: str, old: Stat | None) -> None:
        self._quota = quota
        self._owner = app, box
        self._id = f"upload:{uuid4().hex}"
        self._key = key
        self._link_id = link_reservation_id(key)
        self._replaced_bytes = old.size if old else 0
        self._old_version = file_version(old)
        self._granted = -1
        self._requested_at = 0.0
        self._committed = False

    async def ensure(self, min_bytes: int, max_bytes: int) -> None:
        """Reserve at least `min_bytes`. Raises TooLarge if they do not fit."""
        if min_bytes <= self._granted and time.monotonic() - self._requested_at < RESERVATION_RENEW_S:
            return
        request = ReservationRequest(
            *self._owner,
            id=self._id,
            min_bytes=min_bytes,
            max_bytes=max(max_bytes, self._granted),
            lifetime=RESERVATION_LIFETIME_S,
            replaced_bytes=self._replaced_bytes,
            replaces=(self._link_id,),
            key=self._key,
            old_version=self._old_version,
        )
        self._granted = await self._quota.reserve(request)
        self._requested_at = time.monotonic()

    async def commit(self, size: int) -> None:
        self._committed = True
        await self._quota.commit(*self._owner, (self._id, self._link_id), size - self._replaced_bytes)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._committed or self._granted <= 0:
            return
        try:
            await self._quota.release([self._id])
        except MeshError as release_error:
            log.get("databox").warning(
                "Failed to release upload reservation; it expires by itself",
                why=release_error.detail,
                seconds=RESERVATION_LIFETIME_S,
            )
