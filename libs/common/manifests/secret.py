"""Secret: declares a secret and its keys. Values are never in a manifest."""

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Final, Literal

from libs.common.manifests.container import check_unique_names
from libs.common.manifests.fields import Header, Pattern, Section
from libs.common.manifests.problems import Finding

NO_VALUES: Final = "values of a Secret do not belong in a file; remove them here and set them with: mlmesh secret set"
Key = Annotated[str, Pattern(r"[A-Za-z0-9._@-]{1,253}", "must be letters, digits and . _ @ -")]


class SecretSpec(Section):
    keys: tuple[Key, ...] = ()


class Secret(Header):
    rejected_fields: ClassVar[Mapping[str, str]] = {"data": NO_VALUES, "stringData": NO_VALUES}

    kind: Literal["Secret"]
    spec: SecretSpec

    def list_findings(self) -> Iterator[Finding]:
        yield from check_unique_names(list(self.spec.keys), ("spec", "keys"), field=None)
