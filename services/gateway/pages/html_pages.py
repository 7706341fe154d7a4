"""HTML pages for browsers: home, app, API documentation and errors.

Plain HTML without external resources; every text from outside is escaped.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from html import escape
from typing import Any

from mlmesh_component.api import docs_page as of_function

from libs.common.errors import MeshError, NotFound, Unauthorized
from libs.common.protocol.route_table import Api
from services.gateway.http_errors import InvalidAppCredentials
from services.gateway.routing.route_table import App, Component, RouteTable

TARGET_PATHS = {"files": "files/&lt;box&gt;/", "pipelines": "runs"}
COMMON_RESPONSES = ("default", "4XX", "5XX")
HOME_LINK = '<a href="/">What runs here</a>'
Document = Mapping[str, Any]
TARGET_NAMES = {"ml": "function", "pipeline": "pipeline", "files": "files", "pipelines": "runs of all pipelines"}


def render_home(table: RouteTable, url: str, *, show_all: bool) -> str:
    """The apps and their APIs: all of them (`show_all`), or only APIs without credentials."""
    apps = [
        _render_app_section(app, apis)
        for _, app in sorted(table.apps.items())
        if (apis := _list_visible_apis(app, show_all))
    ]
    note = "" if show_all else "<p>Only APIs that need no credentials are listed.</p>"
    listed = "\n".join(apps) or "<p>No API without credentials.</p>" if not show_all else "\n".join(apps) or NO_APPS
    body = f"<p>A mesh of functions, pipelines and files.</p>\n{listed}\n{note}{_render_cli_hint(url)}"
    return _fill_template("mlmesh", body)


def render_app(app: App, url: str, *, show_all: bool) -> str:
    """The APIs of one app. Raises NotFound when none is visible."""
    if not (apis := _list_visible_apis(app, show_all)):
        raise NotFound()
    return _fill_template(
        app.ns, f"{_render_api_list(app, apis)}<p>{HOME_LINK}</p>{_render_cli_hint(url, f'mlmesh app show {app.ns}')}"
    )


def render_error(error: MeshError, request_id: str, url: str, path: str) -> str:
    """The error's message as in the problem document, and how to log in where credentials are missing.

    Browsers ask for passwords by themselves; documentation that needs an API key gets a form for the key.
    """
    hint = _render_cli_hint(url) if isinstance(error, Unauthorized) else f"<p>{HOME_LINK}</p>"
    if isinstance(error, InvalidAppCredentials) and error.scheme == "Bearer" and path.endswith("/docs"):
        hint = KEY_FORM + hint
    reason = error.extensions.get("reason")
    paragraph = f"<p>{escape(_format_reason(reason))}</p>" if isinstance(reason, Mapping) else ""
    body = f"<p>{escape(error.detail)}</p>{paragraph}{hint}<p><small>Request {escape(request_id)}</small></p>"
    return _fill_template(f"{error.status} {error.title}", body)


def render_api_docs(document: Document) -> str:
    """Inputs and outputs of a function with a form to try it; for other APIs the list of operations."""
    try:
        return of_function.render(dict(document))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):  # not written by our component runtime
        return render_operations(document)


def render_operations(document: Document) -> str:
    info = _as_mapping(document.get("info"))
    servers = document.get("servers")
    server = _as_mapping(servers[0] if isinstance(servers, list) and servers else None)
    sections = [
        _render_operation(str(method), str(path), operation)
        for path, methods in _as_mapping(document.get("paths")).items()
        for method, operation in _as_mapping(methods).items()
        if isinstance(operation, Mapping)
    ]
    description = info.get("description")
    body = (
        (f'<p class="text">{escape(str(description))}</p>' if description else "")
        + f"<p>At <code>{escape(str(server.get('url', '')))}</code>."
        + f' <a href="openapi.json">openapi.json</a> {HOME_LINK}</p>\n'
        + "\n".join(sections)
    )
    return _fill_template(str(info.get("title") or "API"), body)


def _list_visible_apis(app: App, show_all: bool) -> list[Api]:
    return [api for api in app.apis if show_all or api.auth.none]


def _render_app_section(app: App, apis: Iterable[Api]) -> str:
    name = escape(app.ns)
    return f'<h2><a href="/{name}">{name}</a></h2>\n{_render_api_list(app, apis)}'


def _render_api_list(app: App, apis: Iterable[Api]) -> str:
    return f"<ul>{''.join(_render_api_item(app, api) for api in apis)}</ul>\n"


def _render_api_item(app: App, api: Api) -> str:
    component = app.components.get(api.name or "") if api.target == "ml" else None
    base, name = (
        f"/{escape(app.ns)}/{escape((api.path or '').strip('/'))}",
        escape(api.path or TARGET_NAMES[api.target]),
    )
    if api.target in ("files", "pipelines"):
        return f"<li>{TARGET_NAMES[api.target]}: <code>/{escape(app.ns)}/{TARGET_PATHS[api.target]}</code></li>"
    if component is not None and component.is_web_app:
        return f'<li><a href="{base}/">{name}</a>, a web application{_render_state(component)}</li>'
    state = _render_state(component) if component is not None else ""
    return f'<li><a href="{base}/docs">{name}</a>, a {TARGET_NAMES[api.target]}{state}</li>'


def _render_state(component: Component) -> str:
    if component.endpoints or component.reason is None:
        return ""
    return f"; {escape(_format_reason(asdict(component.reason)))}"


def _format_reason(reason: Mapping[str, object]) -> str:
    return ": ".join(str(reason[key]) for key in ("code", "detail") if reason.get(key))


def _render_cli_hint(url: str, command: str = "mlmesh app list") -> str:
    return (
        f"<h2>On the command line</h2>\n<pre>mlmesh login {escape(url)}\n{escape(command)}</pre>\n"
        '<p>Callers show a password or an API key of the app. <a href="/docs">The platform\'s API</a></p>\n'
    )


def _render_operation(method: str, path: str, operation: Document) -> str:
    request = _as_mapping(_as_mapping(_as_mapping(operation.get("requestBody")).get("content")).get("application/json"))
    properties = _as_mapping(_as_mapping(request.get("schema")).get("properties"))
    tables = "".join(_render_fields(name, _as_mapping(properties.get(name))) for name in ("inputs", "outputs"))
    example = request.get("example")
    example_block = f"<pre>{escape(json.dumps(example, indent=2, ensure_ascii=False))}</pre>" if example else ""
    curl = operation.get("x-curl")
    call = f"<h3>Call</h3><pre>{escape(str(curl))}</pre>" if curl else ""
    summary = escape(str(operation.get("summary") or operation.get("description") or ""))
    return (
        f"<section><h2>{escape(method.upper())} <code>{escape(path)}</code></h2>"
        f"<p>{summary}</p>{tables}{example_block}{call}{_render_responses(operation)}</section>"
    )


def _render_responses(operation: Document) -> str:
    """The documented statuses, without those that say nothing of this operation."""
    items = (
        f"<li><code>{escape(str(status))}</code> {escape(str(_as_mapping(response).get('description') or ''))}</li>"
        for status, response in _as_mapping(operation.get("responses")).items()
        if status not in COMMON_RESPONSES and _as_mapping(response).get("description") != "OK"
    )
    joined = "".join(items)
    return f"<h3>Answers</h3><ul>{joined}</ul>" if joined else ""


def _render_fields(title: str, schema: Document) -> str:
    required = schema.get("required")
    required_names = required if isinstance(required, list) else []
    rows = "".join(
        _render_field(str(name), _as_mapping(field), optional=name not in required_names and title != "outputs")
        for name, field in _as_mapping(schema.get("properties")).items()
    )
    return f"<h3>{title.capitalize()}</h3><table>{rows}</table>" if rows else ""


def _render_field(name: str, schema: Document, *, optional: bool) -> str:
    description = str(schema.get("description") or "")
    return (
        f"<tr><td><code>{escape(name)}</code>{' (optional)' if optional else ''}</td>"
        f"<td>{escape(_name_type(schema))}</td><td>{escape(description)}</td></tr>"
    )


def _name_type(schema: Document) -> str:
    choices = schema.get("anyOf")
    if isinstance(choices, list):
        return " or ".join(_name_type(_as_mapping(choice)) for choice in choices)
    return str(schema.get("title") or schema.get("type") or "any")


def _as_mapping(value: Any) -> Document:
    return value if isinstance(value, Mapping) else {}


def _fill_template(title: str, body: str) -> str:
    return TEMPLATE.format(title=escape(title), body=body)


NO_APPS = "<p>Nothing runs here yet. <code>mlmesh init texts</code> makes a module that works at once.</p>"
TEMPLATE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem;overflow-wrap:anywhere}}
h2{{font-size:1.1rem;margin-top:1.5rem}}h3{{font-size:1rem}}section{{border-top:1px solid #ccc}}
code,pre{{background:#f3f3f3;padding:.1em .3em}}pre{{padding:.8rem;overflow:auto;overflow-wrap:normal}}
table{{border-collapse:collapse}}td{{padding:.2rem .8rem .2rem 0;vertical-align:top;overflow-wrap:break-word}}
.text{{white-space:pre-wrap}}
@media (prefers-color-scheme:dark){{body{{background:#181818;color:#ddd}}code,pre{{background:#252525}}
a{{color:#8ab4f8}}}}
</style></head>
<body><h1>{title}</h1>
{body}
</body></html>
"""


KEY_FORM = """<form id="with"><p><label>API key <input name="key" type="password" autocomplete="off" required></label>
<button>Open</button></p></form><p id="said" aria-live="polite"></p>
<script>
document.getElementById("with").addEventListener("submit", async (event) => {
  event.preventDefault();
  const key = event.target.elements.key.value, plain = window.fetch, said = document.getElementById("said");
  const asked = (address, options = {}) =>
    plain(address, {...options, headers: {...options.headers, "X-API-Key": key}});
  try {
    const answer = await asked(location.href);
    if (!answer.ok) { said.textContent = (await answer.json()).detail; return; }
    window.fetch = asked;  // the form on the page sends the key, too; it is stored nowhere else
    document.open(); document.write(await answer.text()); document.close();
  } catch (error) { said.textContent = String(error); }
});
</script>
"""
