"""Secret: that there is one, and the names in it. Values are never in a manifest."""

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Final, Literal

from libs.common.manifests.container import repeated
from libs.common.manifests.fields import Form, Header, Section
from libs.common.manifests.problems import Finding

NO_VALUES: Final = "values of a Secret do not belong in a file; remove them here and set them with: mlmesh secret set"
Key = Annotated[str, Form(r"[A-Za-z0-9._@-]{1,253}", "must be letters, digits and . _ @ -")]


class SecretSpec(Section):
    keys: tuple[Key, ...] = ()


class Secret(Header):
    refused: ClassVar[Mapping[str, str]] = {"data": NO_VALUES, "stringData": NO_VALUES}

    kind: Literal["Secret"]
    spec: SecretSpec

    def findings(self) -> Iterator[Finding]:
        yield from repeated(list(self.spec.keys), ("spec", "keys"), field=None)
