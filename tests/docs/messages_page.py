"""docs/internal-messages.md, made from libs/common/protocol: `python -m tests.docs.messages_page > …`."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import libs.common.protocol

FOLDER = Path(libs.common.protocol.__file__).parent
MODULES = (
    *(
        "claim",
        "container",
        "stage",
        "instance",
        "image",
        "build",
        "image_inventory",
        "heartbeat",
        "report",
        "load_report",
    ),
    *("staging", "publication", "box", "route_table", "access", "deployment", "app_status", "credential"),
)
"""In the order in which a reader meets them."""
HEAD = """\
# Messages between services

Made from [libs/common/protocol](../libs/common/protocol): one frozen class for each message, used by its sender and its
receiver. A receiver ignores fields that it does not know; a field with a default may be missing. Which route carries
which message is in [internal-api.md](internal-api.md).
"""
TABLE_HEAD = "| field | type | default | meaning |\n|---|---|---|---|\n"


def page() -> str:
    return HEAD + "".join(_module(FOLDER / f"{name}.py") for name in MODULES)


def _module(path: Path) -> str:
    tree = ast.parse(path.read_text())
    title = (ast.get_docstring(tree) or "").splitlines()[0]
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    return f"\n## {title.rstrip('.')}\n" + "".join(_class(node) for node in classes)


def _class(node: ast.ClassDef) -> str:
    bases = [base.id for base in node.bases if isinstance(base, ast.Name) and base.id not in ("Message", "TypedDict")]
    also = f" Its fields, and those of `{bases[0]}`." if bases else ""
    rows = "".join(
        f"| `{name}` | `{kind}` | {default} | {meaning} |\n" for name, kind, default, meaning in _fields(node)
    )
    return f"\n### {node.name}\n\n{ast.get_docstring(node)}{also}\n\n{TABLE_HEAD}{rows}"


def _fields(node: ast.ClassDef) -> Iterator[tuple[str, str, str, str]]:
    for statement, following in pairwise([*node.body, ast.Pass()]):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            kind = ast.unparse(statement.annotation).replace("|", "\\|")
            yield _wire_name(statement), kind, _default(statement.value), _docstring(following)


def _wire_name(field: ast.AnnAssign) -> str:
    """The name that is sent."""
    calls = [node for node in ast.walk(field) if isinstance(node, ast.Call)]
    keywords = {keyword.arg: keyword.value for call in calls for keyword in call.keywords}
    alias = keywords.get("serialization_alias", keywords.get("alias"))
    return ast.literal_eval(alias) if alias else ast.unparse(field.target)


def _default(value: ast.expr | None) -> str:
    """Of `Field(...)` its default; empty where the field is required."""
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "Field":
        named = {keyword.arg: keyword.value for keyword in value.keywords}
        if "default_factory" in named:
            return f"`{ast.unparse(named['default_factory'])}()`"
        return f"`{ast.unparse(named['default'])}`" if "default" in named else ""
    return f"`{ast.unparse(value)}`" if value is not None else ""


def _docstring(statement: ast.stmt) -> str:
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return " ".join(str(statement.value.value).split()).replace("|", "\\|")
    return ""


if __name__ == "__main__":
    sys.stdout.write(page())
