"""Where the APIs of an app are called."""

from __future__ import annotations

from services.registry.checks.catalog import check_manifests
from services.registry.published_apis import list_apis


def test_the_addresses_of_an_app_are_those_that_answer() -> None:
    """A web application has no predict URL; files have one URL for each box."""
    api = "apiVersion: mlmesh/v1\nkind: APIComponent\nmetadata: {{name: {0}}}\nspec: {{{1}, restfulApi: {{{2}}}}}\n"
    auth = "auth: {none: {}}"
    component = (
        "apiVersion: mlmesh/v1\nkind: MLComponent\nmetadata: {{name: {0}}}\n"
        "spec: {{image: {{existingImageName: x}}, mlService: {{{1}}}}}\n"
    )
    box = (
        "apiVersion: mlmesh/v1\nkind: DataBox\nmetadata: {{name: {0}}}\nspec: {{s3DefaultStorage: {{capacity: 1G}}}}\n"
    )
    documents = [
        component.format("board", 'app: "board:app"'),
        component.format("digits", 'inference: "digits:predict"'),
        box.format("a"),
        box.format("b"),
        api.format("one", "mlComponent: {name: board}", f"path: board, {auth}"),
        api.format("two", "mlComponent: {name: digits}", f"path: digits, {auth}"),
        api.format("three", "files: {}", auth),
    ]
    catalog, problems = check_manifests({"manifests/all.yml": "---\n".join(documents).encode()}, namespace=None)
    assert [item for item in problems if item.severity == "error"] == []
    assert catalog is not None
    assert list_apis("http://m", "x", catalog.to_json()) == [
        {"name": "one", "target": "ml", "url": "http://m/x/board/"},
        {"name": "three", "target": "files", "url": "http://m/x/files/a/"},
        {"name": "three", "target": "files", "url": "http://m/x/files/b/"},
        {"name": "two", "target": "ml", "url": "http://m/x/digits/predict", "docs": "http://m/x/digits/docs"},
    ]
