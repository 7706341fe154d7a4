"""ConfigMap: plain values in Git, for `envFrom`. It has the format of Kubernetes, without `spec`."""

from collections.abc import Iterator, Mapping
from typing import ClassVar, Final, Literal

from libs.common.manifests.fields import Header, Pattern
from libs.common.manifests.problems import Finding

KEY: Final = Pattern(r"[A-Za-z0-9._-]{1,253}", "must be at most 253 letters, digits and . _ -")
MAX_VALUES: Final = 64 * 1024  # bytes in total: every run and every instance gets a copy

Values = Mapping[str, str]
ConfigMaps = Mapping[str, Values]


class ConfigMap(Header):
    rejected_fields: ClassVar[Mapping[str, str]] = {
        "spec": 'a ConfigMap has no "spec"; its values stand in "data", beside "metadata"',
        "binaryData": '"binaryData" cannot be environment variables; keep files in the repository or in a DataBox',
    }

    kind: Literal["ConfigMap"]
    data: Mapping[str, str] = {}

    def list_findings(self) -> Iterator[Finding]:
        for key in self.data:
            if not KEY.matches(key):
                yield Finding(("data", key), f'key "{key[:40]}" {KEY.expected}; rename it')
        if sum(len(key.encode()) + len(value.encode()) for key, value in self.data.items()) > MAX_VALUES:
            yield Finding(("data",), f"more than {MAX_VALUES // 1024} KB of values; keep files in the repository")
