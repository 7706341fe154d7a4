"""Which built images an engine has, and which of them it may remove: `POST /internal/images`."""

from __future__ import annotations

from pydantic import Field

from libs.common.http.tolerant_list import TolerantList
from libs.common.protocol.claim import MAX_ENGINE
from libs.common.protocol.message import Message


class EngineImage(Message):
    """An image on an engine that was built for an app."""

    app: str
    key: str
    """Of its build."""
    image: str
    """Its id."""


class ImageInventory(Message):
    """All built images of one engine."""

    engine: str = Field(max_length=MAX_ENGINE)
    is_full: bool = False
    """Its disk is nearly full: images are removed that would otherwise be kept for a while."""
    images: TolerantList[EngineImage] = ()


class RemovableImages(Message):
    """Images that nothing will run; nobody is given a task for them any more."""

    images: TolerantList[str] = ()
    """Ids."""
