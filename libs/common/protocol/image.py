"""What a worker is told to find out about an image of a deployment."""

from __future__ import annotations

from libs.common.protocol.message import Message


class ImageSpec(Message):
    """An image by the name that manifests give it. The worker pulls it if it is missing, and reports what it names."""

    image: str
    image_credentials: str | None = None
    """The Secret with which the image is pulled."""
