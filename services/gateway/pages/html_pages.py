"""Small pages for people with a browser: what runs here and where to go, what an API takes, why something is refused.

Plain HTML that needs nothing from elsewhere; every text from outside is escaped.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from mlmesh_component.api import docs_page as of_function

from libs.common.errors import MeshError, NotFound, Unauthorized
from services.gateway.http_errors import NotACaller
from services.gateway.routing.route_table import Api, App, Component, Table

WHERE = {"files": "files/&lt;box&gt;/", "pipelines": "runs"}
HOME = '<a href="/">What runs here</a>'
Document = Mapping[str, Any]
WHAT = {"ml": "function", "pipeline": "pipeline", "files": "files", "pipelines": "runs of all pipelines"}


def home(table: Table, url: str, *, everything: bool) -> str:
    """What runs here: all of it for who is on this machine, for others what anybody may call."""
    apps = [_app(app, apis) for _, app in sorted(table.apps.items()) if (apis := _shown(app, everything))]
    more = "" if everything else "<p>What is not for everybody is not listed here.</p>"
    listed = "\n".join(apps) or "<p>Nothing that anybody may call.</p>" if not everything else "\n".join(apps) or EMPTY
    body = f"<p>A mesh of functions, pipelines and files.</p>\n{listed}\n{more}{_way_in(url)}"
    return _page("mlmesh", body)


def of_app(app: App, url: str, *, everything: bool) -> str:
    """Raises NotFound when nothing of it is for this visitor."""
    if not (apis := _shown(app, everything)):
        raise NotFound()
    return _page(app.ns, f"{_list(app, apis)}<p>{HOME}</p>{_way_in(url, f'mlmesh app show {app.ns}')}")


def refusal(error: MeshError, request_id: str, url: str, path: str) -> str:
    """The same sentence as in the problem document, and for who needs credentials how to get in.

    A browser asks for passwords by itself; in place of a page that only keys open stands a field for one.
    """
    more = _way_in(url) if isinstance(error, Unauthorized) else f"<p>{HOME}</p>"
    if isinstance(error, NotACaller) and error.scheme == "Bearer" and path.endswith("/docs"):
        more = KEY_FORM + more
    why = error.members.get("reason")
    reason = f"<p>{escape(_reason(why))}</p>" if isinstance(why, Mapping) else ""
    body = f"<p>{escape(error.detail)}</p>{reason}{more}<p><small>Request {escape(request_id)}</small></p>"
    return _page(f"{error.status} {error.title}", body)


def description(described: Document) -> str:
    """What a function takes and answers, with a form; of anything else its operations."""
    try:
        return of_function.render(dict(described))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):  # not in the form that our runtime writes
        return operations(described)


def operations(described: Document) -> str:
    info = _mapping(described.get("info"))
    servers = described.get("servers")
    server = _mapping(servers[0] if isinstance(servers, list) and servers else None)
    sections = [
        _operation(str(method), str(path), operation)
        for path, methods in _mapping(described.get("paths")).items()
        for method, operation in _mapping(methods).items()
        if isinstance(operation, Mapping)
    ]
    about = info.get("description")
    body = (
        (f'<p class="text">{escape(str(about))}</p>' if about else "")
        + f"<p>At <code>{escape(str(server.get('url', '')))}</code>."
        + f' <a href="openapi.json">openapi.json</a> {HOME}</p>\n'
        + "\n".join(sections)
    )
    return _page(str(info.get("title") or "API"), body)


def _shown(app: App, everything: bool) -> list[Api]:
    return [api for api in app.apis if everything or api.none]


def _app(app: App, apis: Iterable[Api]) -> str:
    name = escape(app.ns)
    return f'<h2><a href="/{name}">{name}</a></h2>\n{_list(app, apis)}'


def _list(app: App, apis: Iterable[Api]) -> str:
    return f"<ul>{''.join(_api(app, api) for api in apis)}</ul>\n"


def _api(app: App, api: Api) -> str:
    component = app.components.get(api.name or "") if api.target == "ml" else None
    here, name = f"/{escape(app.ns)}/{escape((api.path or '').strip('/'))}", escape(api.path or WHAT[api.target])
    if api.target in ("files", "pipelines"):
        return f"<li>{WHAT[api.target]}: <code>/{escape(app.ns)}/{WHERE[api.target]}</code></li>"
    if component is not None and component.own_routes:
        return f'<li><a href="{here}/">{name}</a>, a web application{_state(component)}</li>'
    state = _state(component) if component is not None else ""
    return f'<li><a href="{here}/docs">{name}</a>, a {WHAT[api.target]}{state}</li>'


def _state(component: Component) -> str:
    return "" if component.endpoints or not component.reason else f"; {escape(_reason(component.reason))}"


def _reason(reason: Document) -> str:
    return ": ".join(str(reason[key]) for key in ("code", "detail") if reason.get(key))


def _way_in(url: str, then: str = "mlmesh app list") -> str:
    return (
        f"<h2>On the command line</h2>\n<pre>mlmesh login {escape(url)}\n{escape(then)}</pre>\n"
        '<p>Callers show a password or an API key of the app. <a href="/docs">The platform\'s API</a></p>\n'
    )


def _operation(method: str, path: str, operation: Document) -> str:
    request = _mapping(_mapping(_mapping(operation.get("requestBody")).get("content")).get("application/json"))
    properties = _mapping(_mapping(request.get("schema")).get("properties"))
    tables = "".join(_fields(name, _mapping(properties.get(name))) for name in ("inputs", "outputs"))
    example = request.get("example")
    shown = f"<pre>{escape(json.dumps(example, indent=2, ensure_ascii=False))}</pre>" if example else ""
    curl = operation.get("x-curl")
    call = f"<h3>Call</h3><pre>{escape(str(curl))}</pre>" if curl else ""
    summary = escape(str(operation.get("summary") or operation.get("description") or ""))
    return (
        f"<section><h2>{escape(method.upper())} <code>{escape(path)}</code></h2>"
        f"<p>{summary}</p>{tables}{shown}{call}{_answers(operation)}</section>"
    )


def _answers(operation: Document) -> str:
    """What each status means; what is said of all others says nothing of this operation."""
    told = (
        f"<li><code>{escape(str(status))}</code> {escape(str(_mapping(one).get('description') or ''))}</li>"
        for status, one in _mapping(operation.get("responses")).items()
        if status != "default"
    )
    found = "".join(told)
    return f"<h3>Answers</h3><ul>{found}</ul>" if found else ""


def _fields(title: str, schema: Document) -> str:
    required = schema.get("required")
    needed = required if isinstance(required, list) else []
    rows = "".join(
        f"<tr><td><code>{escape(str(name))}</code>{'' if name in needed or title == 'outputs' else ' (optional)'}</td>"
        f"<td>{escape(_kind(_mapping(one)))}</td><td>{escape(str(_mapping(one).get('description') or ''))}</td></tr>"
        for name, one in _mapping(schema.get("properties")).items()
    )
    return f"<h3>{title.capitalize()}</h3><table>{rows}</table>" if rows else ""


def _kind(schema: Document) -> str:
    choices = schema.get("anyOf")
    if isinstance(choices, list):
        return " or ".join(_kind(_mapping(one)) for one in choices)
    return str(schema.get("title") or schema.get("type") or "any")


def _mapping(value: Any) -> Document:
    return value if isinstance(value, Mapping) else {}


def _page(title: str, body: str) -> str:
    return PAGE.format(title=escape(title), body=body)


EMPTY = "<p>Nothing runs here yet. <code>mlmesh init texts</code> makes a module that works at once.</p>"
PAGE = """<!doctype html>
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
    window.fetch = asked;  // the form of the page shows the key, too; it is kept nowhere else
    document.open(); document.write(await answer.text()); document.close();
  } catch (error) { said.textContent = String(error); }
});
</script>
"""
