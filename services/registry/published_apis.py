"""The addresses at which an app's live revision is published."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from libs.common.http.response_shapes import response_shape
from libs.common.manifests.catalog import Catalog, CatalogJson


class AddressJson(TypedDict):
    """Where a published API is called."""

    target: Literal["ml", "pipeline", "files", "pipelines"]
    url: Annotated[str, Field(examples=["https://mesh.example/texts/toxic/predict"])]
    docs: NotRequired[str]


@response_shape
class ApiJson(AddressJson):
    """A published API of an app."""

    name: Annotated[str, Field(examples=["toxic"])]


def list_apis(public_url: str, app: str, catalog: CatalogJson | None) -> list[ApiJson]:
    """The published APIs with their URLs."""
    if catalog is None:
        return []
    parsed, root = Catalog.from_json(catalog), f"{public_url}/{app}"
    published = ((name, api.spec) for name, api in sorted(parsed.apis.items()) if api.spec.published)
    return [{"name": name, **address} for name, spec in published for address in _list_addresses(root, spec, parsed)]


def _list_addresses(root: str, spec: Any, catalog: Catalog) -> Iterator[AddressJson]:
    """URLs of an API: functions and pipelines have a page of documentation, files one URL for each box."""
    path = f"{root}/{spec.restful_api.path}"
    if spec.ml_component:
        component = catalog.components.get(spec.ml_component.name)
        if component is not None and component.spec.ml_service.app:
            yield {"target": "ml", "url": f"{path}/"}
        else:
            yield {"target": "ml", "url": f"{path}/predict", "docs": f"{path}/docs"}
    elif spec.experiment_pipeline:
        yield {"target": "pipeline", "url": f"{path}/runs", "docs": f"{path}/docs"}
    elif spec.files is not None:
        for box in sorted(catalog.boxes):
            yield {"target": "files", "url": f"{root}/files/{box}/"}
    else:
        yield {"target": "pipelines", "url": f"{root}/runs"}
