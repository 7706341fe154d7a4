"""What databox holds at locations, and links to read and write files: `POST …/sources` and `…/targets`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from libs.common.protocol.message import LocationField, Message

Audience = Literal["inside", "public"]
"""Who opens a link: a service, or a caller outside. They reach the store at different addresses."""


class SourcesRequest(Message):
    """Asks for the files at each location, and whether outputs could be published to each target."""

    locations: tuple[LocationField, ...]
    links: bool = False
    """With a link to each file."""
    reader: Audience = "inside"
    """Who opens the links; they last 6 h inside, 1 h in public."""
    targets: tuple[LocationField, ...] = ()
    """Folders that outputs will be published to later."""


class StoredFile(Message):
    """A file of a box or of an internal area."""

    name: str
    """Relative to the folder that was asked for."""
    size: int
    etag: str
    modified: str
    url: str = ""
    """The link to GET it, when links were asked for."""


class SourcesResponse(Message):
    """Answers in the order of the request."""

    sources: tuple[tuple[StoredFile, ...], ...]
    """One list for each location: one entry for a file, all for a folder, none when there is nothing."""
    refusals: tuple[str | None, ...] = ()
    """Why nothing could be published to each target as things are."""


class TargetFile(Message):
    """A file that is about to be uploaded."""

    location: LocationField
    size: int = Field(ge=0)


class TargetsRequest(Message):
    """Reserves the bytes of the files, and asks for a link to upload each."""

    files: tuple[TargetFile, ...]


class UploadLink(Message):
    """Where one file is PUT."""

    url: str


class TargetsResponse(Message):
    """Links in the order of the request."""

    targets: tuple[UploadLink, ...]
