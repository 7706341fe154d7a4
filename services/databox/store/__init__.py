"""Where bytes are kept: a folder of this machine (`file://`) or an S3 server (`s3://`).

Knows keys, not boxes or callers. A put is seen whole or not at all; a listing is in the order of the keys' bytes.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Literal, Protocol, Self

from libs.common.errors import PreconditionFailed
from libs.common.http.ranges import Span
from libs.common.settings import Settings
from libs.common.signed_tokens import TokenSigner
from services.databox.links import Link, Method

Audience = Literal["inside", "public"]
"""Who will use a link: another service, or a caller from outside. They reach the store under different addresses."""
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
    """A change is made only while the key has this version; with None only while nothing is there."""

    etag: str | None

    @classmethod
    def from_stat(cls, stat: Stat | None) -> Self:
        return cls(None if stat is None else stat.etag)

    @staticmethod
    def mismatch_error(key: str) -> PreconditionFailed:
        """What a store raises where another version is there."""
        return PreconditionFailed(f"{key} was changed at the same time")


class Store(Protocol):
    @property
    def has_presigned_links(self) -> bool:
        """Whether a PUT by link reaches the store without passing through databox."""

    async def put(
        self, key: str, body: AsyncIterator[bytes], size: int | None = None, *, expected: ExpectedVersion | None = None
    ) -> Stat:
        """Keep `body`, all of it before anybody sees it. What `body` raises passes, and nothing is kept.

        `size` is the exact number of bytes when it is known. Raises PreconditionFailed when another version is there
        than `only` says: of several at once that say the same, one is kept. Raises Conflict when `key` is in the way
        of a folder, or the other way round, Unavailable when the store is away.
        """

    def get(self, stat: Stat, span: Span | None = None) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """The bytes of what `stat` described. Raises NotFound when that is gone, Unavailable when it was replaced."""

    async def stat(self, key: str) -> Stat | None: ...

    def list(self, prefix: str, start_after: str = "", limit: int | None = None) -> AsyncIterator[Stat]:
        """Whose keys begin with `prefix` and are greater than `after`, in order, at most `limit`."""

    async def delete(self, key: str, *, expected: ExpectedVersion | None = None) -> None:
        """It is no error when there is nothing. Raises PreconditionFailed as `put` does.

        Not every S3 server knows conditions of a DELETE: there, what comes in the same moment is not seen.
        """

    async def copy(self, source: Stat, target: str) -> Stat:
        """A copy inside the store. Raises NotFound when the source is gone."""

    async def link(self, method: Method, key: str, expires: int, audience: Audience, size: int | None = None) -> str:
        """A URL that allows `method` on `key` for `expires` seconds to whoever has it.

        One to read from outside says which name the file is to be saved under.
        """

    async def ready(self) -> None:
        """Raises Unavailable unless the store takes files; makes what it needs when that is missing."""


async def list_in_batches(stats: Iterator[Stat], run_in_thread: RunInThread, limit: int | None) -> AsyncIterator[Stat]:
    """What a blocking listing finds, a batch at a time, each in a thread of `run`."""
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
    """The store at `settings.store_url`. One that is away does not fail here: every call, and `ready`, says so."""
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
        from services.databox.store.s3 import open_s3

        databox_url = partial(Link.to_url, base=settings.public_url, signer=signer)
        async with open_s3(settings.store_url, settings.store_public_url, databox_url) as store:
            yield store
    else:
        raise ValueError(f"MLMESH_STORE: {scheme}:// is not known; use file:///… or s3://…")
