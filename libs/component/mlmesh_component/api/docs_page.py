"""The documentation page of a component: self-contained HTML, rendered from its OpenAPI document. Pure."""

from __future__ import annotations

import html
import json

from .openapi import JsonObject


def render(document: JsonObject) -> str:
    """Render the tables of inputs and outputs, and a form to send a request."""
    operation = document["paths"]["/predict"]["post"]
    request = operation["requestBody"]["content"]["application/json"]
    [answer, *_] = operation["responses"]["200"]["content"].values()
    return _PAGE.format(
        title=html.escape(document["info"]["title"]),
        description=html.escape(document["info"]["description"]),
        inputs=_table_rows(request["schema"]["properties"]["inputs"]),
        outputs=_table_rows(answer["schema"]["properties"]["outputs"]),
        example=html.escape(json.dumps(request["example"], indent=2, ensure_ascii=False)),
        call=_curl_section(operation.get("x-curl")),
    )


def _curl_section(curl: str | None) -> str:
    """A curl command, if the document has one: only the gateway knows the public URL."""
    return f"<h2>On the command line</h2><pre>{html.escape(curl)}</pre>" if curl else ""


def _table_rows(items: JsonObject) -> str:
    item = items.get("items", {})
    item_schemas: list[JsonObject] = item.get("anyOf", [item] if item else [])
    return "".join(
        f"<tr><td><code>{html.escape(item_schema['title'])}</code></td><td>{html.escape(_format_datatypes(item_schema))}</td>"
        f"<td>{html.escape(item_schema.get('description', ''))}</td></tr>"
        for item_schema in item_schemas
    )


def _format_datatypes(item_schema: JsonObject) -> str:
    return " or ".join(_format_datatype(schema["properties"]) for schema in item_schema.get("oneOf", [item_schema]))


def _format_datatype(properties: JsonObject) -> str:
    """Name lists of texts and objects as such; numbers always come in a list."""
    name: str = properties["datatype"].get("const", "any")
    is_list = name in ("str", "dict") and properties["data"].get("type") == "array"
    return f"list of {name}" if is_list else name


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem; }}
table {{ border-collapse: collapse; width: 100%; }}
td, th {{ text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #ccc; }}
textarea, pre {{ width: 100%; box-sizing: border-box; font: 14px/1.4 ui-monospace, monospace; }}
textarea {{ height: 16rem; }} pre {{ background: #f4f4f4; padding: .8rem; overflow: auto; min-height: 3rem; }}
.text {{ white-space: pre-wrap; }}
@media (prefers-color-scheme: dark) {{ body {{ background: #181818; color: #ddd; }} pre {{ background: #252525; }} }}
</style></head><body>
<h1>{title}</h1>
<p class="text">{description}</p>
<h2>Inputs</h2><table><tr><th>name</th><th>datatype</th><th></th></tr>{inputs}</table>
<h2>Outputs</h2><table><tr><th>name</th><th>datatype</th><th></th></tr>{outputs}</table>
<h2>Try it</h2>
<form id="try"><label for="body">POST predict</label><textarea id="body" spellcheck="false">{example}</textarea>
<p><button>Send</button> <a href="openapi.json">openapi.json</a></p></form>
<pre id="answer" aria-live="polite"></pre>
{call}
<script>
document.getElementById("try").addEventListener("submit", async (event) => {{
  event.preventDefault();
  const answer = document.getElementById("answer");
  answer.textContent = "…";
  try {{
    const response = await fetch("predict", {{method: "POST", headers: {{"content-type": "application/json"}},
      body: document.getElementById("body").value}});
    answer.textContent = response.status + "\\n";
    if (response.headers.get("content-type").includes("json")) {{
      answer.textContent += JSON.stringify(await response.json(), null, 2);
      return;
    }}
    const pieces = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let piece = await pieces.read(); !piece.done; piece = await pieces.read()) answer.textContent += piece.value;
  }} catch (error) {{ answer.textContent = String(error); }}
}});
</script></body></html>
"""
