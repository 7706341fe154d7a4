"""Which secrets a catalog uses, and which lack values."""

from typing import Any

import pytest

from libs.common.manifests.catalog import Catalog
from services.registry.checks.catalog import check_manifests
from services.registry.checks.secret_usage import list_missing_values, list_password_secrets, list_used_secrets
from tests.registry.working_copy import PROTECTED_API

COMPONENT = """\
apiVersion: mlmesh/v1
kind: MLComponent
metadata: {name: digits}
spec:
  image: {existingImageName: digits:1}
  envFrom: [{secretRef: {name: keys}}]
  mlService: {inference: "digits.predict:predict"}
---
apiVersion: mlmesh/v1
kind: ExperimentPipeline
metadata: {name: train}
spec:
  vars: [{name: model}]
  stages:
    - name: fit
      image: {existingImageName: "digits:1"}
      outputs: [{name: model}]
      envFrom: [{secretRef: {name: stage-keys}}]
"""


def test_secrets_are_used_by_apis_components_images_and_stages() -> None:
    files = {"m/a.yaml": PROTECTED_API.encode(), "m/b.yaml": COMPONENT.encode()}
    checked, problems = check_manifests(files, "leafscan", ("keys", "stage-keys", "unused"))
    assert checked is not None, problems
    document: Any = checked.to_json()
    document["components"]["digits"]["spec"]["image"]["credentials"] = "image-login"
    catalog = Catalog.from_json(document)
    assert list_password_secrets(catalog) == ["api-users"]
    assert list_used_secrets(catalog) == {
        "api-users": "APIComponent digits-api",
        "image-login": "image of MLComponent digits",
        "keys": "MLComponent digits",
        "stage-keys": "stage fit of train",
    }


@pytest.mark.parametrize(
    ("declared", "present", "sentences"),
    [
        ((), (), ['secret "users" (API) has no value yet; set it with: mlmesh secret set a users KEY']),
        ((), ("bob",), []),
        (("alice",), ("alice",), []),
        (
            ("alice", "bob"),
            ("alice",),
            ['secret "users" (API) has no value for bob; set it with: mlmesh secret set a users bob'],
        ),
        (
            ("alice", "bob"),
            (),
            ['secret "users" (API) has no value for alice, bob; set them with: mlmesh secret set a users alice bob'],
        ),
    ],
)
def test_a_secret_waits_for_its_declared_keys_or_for_any(
    declared: tuple[str, ...], present: tuple[str, ...], sentences: list[str]
) -> None:
    keys_set = {"users": frozenset(present)}
    assert list_missing_values("a", {"users": "API"}, {"users": declared}, keys_set, {}) == sentences


def test_a_secret_with_a_source_says_where_its_values_are_looked_for() -> None:
    sources = {"a/users": "file:/run/users", "b/users": "env:B_"}
    assert list_missing_values("a", {"users": "API"}, {"users": ("bob",)}, {}, sources) == [
        'secret "users" (API) has no value for bob; the mesh reads it from file:/run/users on its host'
    ]
