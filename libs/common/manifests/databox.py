"""DataBox: a file area in the platform's storage."""

from typing import Annotated, Literal

from pydantic import Field

from libs.common.manifests.fields import Header, MinQuantity, Section, Size


class Storage(Section):
    capacity: Annotated[Size, MinQuantity(1, "1 byte")] = 10**9  # bytes


class DataBoxSpec(Section):
    s3_default_storage: Annotated[Storage, Field(alias="s3DefaultStorage")]


class DataBox(Header):
    kind: Literal["DataBox"]
    spec: DataBoxSpec
