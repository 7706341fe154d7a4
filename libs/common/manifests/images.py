"""Image references in the OCI distribution grammar: `[host[:port]/]path[:tag][@sha256:digest]`."""

import re
from dataclasses import dataclass
from typing import Final

COMPONENT: Final = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
HOST: Final = (
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*(?::[0-9]{1,5})?"
)
REFERENCE: Final = re.compile(
    rf"(?P<name>(?:{HOST}/)?{COMPONENT}(?:/{COMPONENT})*)(?::(?P<tag>\w[\w.-]{{0,127}}))?(?:@(?P<digest>sha256:[0-9a-f]{{64}}))?",
    re.ASCII,
)
MAX_LENGTH: Final = 512
BUILT: Final = re.compile(r"(?:(?:index\.)?docker\.io/)?mlmesh-[0-9a-f]{12}/")
"""Begins the names that workers give to what they build, of any app."""
BUILT_MESSAGE: Final = "images that a mesh has built are not used by name; let it build one: image: {build: {}}"
IMAGE_MESSAGE: Final = "must be an image reference such as team/app:1.0 (lower case, no spaces, no https://)"


@dataclass(frozen=True, slots=True)
class ImageReference:
    name: str
    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> "ImageReference":
        """`ValueError` with a message unless the text is an image reference."""
        match = REFERENCE.fullmatch(text) if len(text) <= MAX_LENGTH else None
        if match is None:
            raise ValueError(IMAGE_MESSAGE)
        if BUILT.match(text):
            raise ValueError(BUILT_MESSAGE)
        return cls(match["name"], match["tag"], match["digest"])

    def __str__(self) -> str:
        return self.name + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def check_image(text: str) -> str:
    ImageReference.parse(text)
    return text
