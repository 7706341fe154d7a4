"""docs/settings.md, made from the Settings' fields: `python -m tests.docs.settings_page > docs/settings.md`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from libs.common.settings import PREFIX, Settings

HEAD = """\
# Settings

Read once from the environment. `MLMESH_X_FILE` names a file that holds the value of `MLMESH_X`. A variable that starts
with `MLMESH_` and is not in this table is a warning; a bad value is an error that names it. `mlmesh up` sets what its
options say and makes the tokens and the key itself.

| variable | default | meaning |
|---|---|---|
"""
TAIL = """
The command line's client reads `MLMESH_URL` and `MLMESH_TOKEN` (else what `mlmesh up` or `mlmesh login` wrote into the
user's configuration folder), and honours `NO_COLOR`.

Durations are written `15s`, `500ms`, `2m`, or as a number of seconds; sizes `500M`, `100G`, `1GiB`, or as a number of
bytes.
"""


def page() -> str:
    return HEAD + "".join(_row(name, field) for name, field in Settings.model_fields.items()) + TAIL


def _row(name: str, field: FieldInfo) -> str:
    return f"| `{PREFIX}{name.upper()}` | {_default(field.default)} | {field.description} |\n"


def _default(value: Any) -> str:
    if value is PydanticUndefined or value in (None, "", (), {}):
        return ""
    if isinstance(value, Path | int | float | str):
        return f"`{value}`"
    return f"`{','.join(map(str, value))}`"


if __name__ == "__main__":
    sys.stdout.write(page())
