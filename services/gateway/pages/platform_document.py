"""The OpenAPI document of the platform: the gateway's own operations and the public ones of the services. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy

from libs.common.http.api_document import (
    OPENAPI_VERSION,
    Document,
    complete_document,
    list_operations,
    select_schemas,
)
from services.gateway.pages.gateway_operations import list_gateway_operations, list_gateway_schemas
from services.gateway.routing.paths import Kind, find_public_path, parse_path

DESCRIPTION = """\
The API of the platform. `{ns}` is the namespace of an app, `{path}` the path of one of its APIs.

What an API itself takes is in its own document, at `/{ns}/{path}/openapi.json`; web applications take every path below
`/{ns}/{path}/`.
"""
SECURITY_SCHEMES: Mapping[str, Document] = {
    "token": {"type": "http", "scheme": "bearer", "description": "A token of an owner, a developer or an operator."},
    "basic": {"type": "http", "scheme": "basic", "description": "A user of the app with a password."},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key of the app."},
    "signature": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Hub-Signature-256",
        "description": "The signature of the webhook's body, in the header of the forge that sends it.",
    },
}
SECURITY: Mapping[Kind, tuple[str, ...]] = {"api": ("token",), "metrics": ("token",), "hooks": ("signature", "token")}
"""Names of schemes by kind of route; any one of them is sufficient."""
CALLER_SECURITY = ("basic", "key", "token")
CALLER_KINDS: frozenset[Kind] = frozenset({"predict", "submit", "describe", "page", "web_app", "v2", "runs", "files"})


def build_platform_document(services: Mapping[str, Document], url: str) -> Document:
    """`services`: the document of each service, by its name."""
    document: Document = {
        "openapi": OPENAPI_VERSION,
        "info": {"title": "mlmesh", "version": "1", "description": DESCRIPTION},
        "servers": [{"url": url}],
        "components": {"securitySchemes": dict(SECURITY_SCHEMES), "schemas": list_gateway_schemas()},
        "paths": {},
    }
    for method, path, operation in list_gateway_operations():
        document["paths"].setdefault(path, {})[method] = operation
    for name, described in services.items():
        document["components"]["schemas"] |= described.get("components", {}).get("schemas", {})
        for method, path, operation in list_operations(described):
            if (public := find_public_path(name, path)) is not None:
                _add_operation(document["paths"].setdefault(public, {}), method, operation)
    for _method, path, operation in list_operations(complete_document(document)):
        operation["security"] = _list_security(path)
    document["paths"] = dict(sorted(document["paths"].items()))
    return select_schemas(document)


def _add_operation(item: Document, method: str, operation: Document) -> None:
    """A route of a service at this path, or a further response of the gateway's own, such as a run for a prediction."""
    if method in item:
        item[method]["responses"] |= operation["responses"]
        return
    parameters = [parameter for parameter in operation.get("parameters", ()) if parameter["name"] != "user"]
    item[method] = {**deepcopy(operation), "parameters": parameters}


def _list_security(path: str) -> list[Document]:
    """No requirement where everybody may call; an API of an app may be open to everybody, too."""
    route = parse_path(path)
    if route is None or route.open:
        return []
    if route.kind in CALLER_KINDS:
        return [*({name: []} for name in CALLER_SECURITY), {}]
    return [{name: []} for name in SECURITY.get(route.kind, ())]
