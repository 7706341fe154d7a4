"""Object store: a directory of this machine (`file://`) or an S3 server (`s3://`).

Knows keys, not boxes or callers. A put is atomic; a listing is in the byte order of the keys.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Protocol, Self

from libs.common.errors import PreconditionFailed
from libs.common.http.ranges import Span
from libs.common.protocol.staging import Audience
from libs.common.settings import Settings
from libs.common.signed_tokens import TokenSigner
from services.databox.links import Link, Method

LIST_BATCH = 1000
CHUNK_BYTES = 256 * 1024

RunInThread = Callable[[Callable[[], tuple["Stat", ...]]], Awaitable[tuple["Stat", ...]]]


@dataclass(frozen=True)
class Stat:
    key: str
    size: int
    etag: str
    """Changes with the content; without quotes."""
    modified: float
    """Epoch seconds on the store's clock."""


@dataclass(frozen=True)
class ExpectedVersion:
    """Precondition of a change: the key must have this version; with None it must not exist."""

    etag: str | None

    @classmethod
    def from_stat(cls, stat: Stat | None) -> Self:
        return cls(None if stat is None else stat.etag)

    @staticmethod
    def mismatch_error(key: str) -> PreconditionFailed:
        """The error of a store if the precondition fails."""
        return PreconditionFailed(f"{key} was changed at the same time")


class Store(Protocol):
    @property
    def has_presigned_links(self) -> bool:
        """Whether a PUT by link goes to the store directly, without passing through databox."""

    async def put(
        self, key: str, body: AsyncIterator[bytes], size: int | None = None, *, expected: ExpectedVersion | None = None
    ) -> Stat:
        """Store `body` atomically. Errors of `body` propagate, and nothing is stored.

        `size` is the exact number of bytes if it is known. Raises PreconditionFailed if the key has another version
        than `expected`; of concurrent puts with the same `expected`, one succeeds. Raises Conflict if `key` would be
        both a file and a folder, Unavailable if the store does not respond.
        """

    def get(self, stat: Stat, span: Span | None = None) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """The content of the version `stat`. Raises NotFound if it was deleted, Unavailable if it was replaced."""

    async def stat(self, key: str) -> Stat | None: ...

    def list(self, prefix: str, start_after: str = "", limit: int | None = None) -> AsyncIterator[Stat]:
        """Files whose keys begin with `prefix` and are greater than `start_after`, in order, at most `limit`."""

    async def delete(self, key: str, *, expected: ExpectedVersion | None = None) -> None:
        """A missing key is no error. Raises PreconditionFailed as `put` does.

        Not every S3 server supports a conditional DELETE; on the others a concurrent put may be deleted.
        """

    async def copy(self, source: Stat, target: str) -> Stat:
        """Copy inside the store. Raises NotFound if the source was deleted."""

    async def link(self, method: Method, key: str, expires: int, audience: Audience, size: int | None = None) -> str:
        """A presigned URL that allows `method` on `key` for `expires` seconds.

        A public GET link also sets the file name of the download.
        """

    async def ready(self) -> None:
        """Readiness check: creates a missing folder or bucket. Raises Unavailable if the store cannot be written."""


async def list_in_batches(stats: Iterator[Stat], run_in_thread: RunInThread, limit: int | None) -> AsyncIterator[Stat]:
    """Iterate a blocking listing; each batch is read in a thread by `run_in_thread`."""
    remaining = limit if limit is not None else sys.maxsize
    while remaining > 0:
        batch_size = min(LIST_BATCH, remaining)
        batch = await run_in_thread(partial(_next_batch, stats, batch_size))
        for stat in batch:
            yield stat
        remaining -= batch_size
        if len(batch) < batch_size:
            return


def _next_batch(stats: Iterator[Stat], size: int) -> tuple[Stat, ...]:
    return tuple(islice(stats, size))


@asynccontextmanager
async def open_store(settings: Settings, signer: TokenSigner) -> AsyncIterator[Store]:
    """The store at `settings.store_url`. An unreachable one fails at each call and in `ready`, not here."""
    scheme, _, folder = settings.store_url.partition("://")
    if scheme == "file":
        from services.databox.store.directory import DirectoryStore

        yield DirectoryStore(
            folder,
            signer,
            internal_url=settings.databox_url,
            public_url=settings.public_url,
            reserve=settings.disk_reserve,
        )
    elif scheme == "s3":
        from services.databox.store.s3.store import open_s3

        databox_url = partial(Link.to_url, base=settings.public_url, signer=signer)
        async with open_s3(settings.store_url, settings.store_public_url, databox_url) as store:
            yield store
    else:
        raise ValueError(f"MLMESH_STORE: unknown scheme {scheme}://; use file:///… or s3://…")
