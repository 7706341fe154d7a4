"""docs/command-line.md, made from the commands: `python -m tests.docs.command_page > docs/command-line.md`."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from typing import Any, get_args

from typer.main import get_command

from services.cli.command_tree import build_command_tree

HEAD = """\
# The command line

One command, `mlmesh`. `mlmesh COMMAND --help` says what is here, too.

## Which mesh, and as whom

| | first | then | then |
|---|---|---|---|
| address | `--url` | `MLMESH_URL` | what `mlmesh up` or `mlmesh login URL` wrote down, else `http://127.0.0.1:8000` |
| token | `MLMESH_TOKEN` | what was written down with this address | none |

It is written into `~/.config/mlmesh/config.json` (below `XDG_CONFIG_HOME` when that is set), for you alone: each mesh
that is known with its token, and which of them is spoken to. A second `mlmesh up` leaves that as it is while the
first one answers, and says so. The token of a mesh that `mlmesh up` started is also in `admin-token` in its data
folder (`~/.local/share/mlmesh/admin-token`); `MLMESH_ADMIN_TOKEN` presets it. It has every scope;
`mlmesh token create` makes others.

With an owner's token you act as the user `developer` of the app: the files of `mlmesh box`, and the runs that you
start, are that user's, and so are models and schedules. With a caller's API key in `MLMESH_TOKEN`
(`mlmesh key create APP --user NAME`, shown once) you are that user: `mlmesh predict`, `mlmesh run` and
`mlmesh box` work on your own runs and files.

## What it prints, and how it ends

Data goes to standard output, remarks and progress to standard error. `--json` prints what the mesh said (of a list
its `items`, those of all pages), with times in ISO 8601. Colours and progress bars appear on a terminal only, without
colours when `NO_COLOR` is set. Characters that command a terminal are printed as escapes (`\\u001b`), also by `logs`
and into a file or a pipe; the API gives a log as the program wrote it. An error is one sentence on standard error.

| exit code | what it means |
|---|---|
| 0 | done |
| 1 | failed: the sentence says why |
| 2 | wrong usage: the sentence says how it is written; of `mlmesh diff --exit-code`: there are changes |
| 3 | no mesh answers at the address |
| 4 | refused: no credentials, or not allowed with these |
| 130 | Ctrl-C; what was started on the mesh goes on |
| 141 | what read the output went away, such as `head` |

## When `mlmesh up` refuses its folder

Before anything is written it looks at the files of its folder (`--data`). What it cannot work with is one sentence,
exit code 1, and stays as it is; so do the services when each is started by itself, and `mlmesh migrate`.

| what it says | what to do |
|---|---|
| `mlmesh.db` is damaged, or missing or empty beside a mesh's files | restore it, or move the folder away: a new mesh |
| `secret-key` is empty, missing, or holds no key | restore it: nothing else opens the secrets in the database |
| `admin-token` or `internal-token` is empty or holds no key | restore it, or remove it: a new one is made |
| a folder, file, pipe or lost link is where something else belongs | move it away; mount the disk that it leads to |
| something cannot be read and written | the `chmod` that it names; run as its owner; mount the disk writable |

What can be made again: `lock`, `cache`, `scratch`, `gateway/table.json`. To have a backup, stop the mesh and copy
`mlmesh.db` (with its `-wal`, if there is one), `store` and the three keys. Damage that no start meets is told by the
same sentence, in the log and in answers with status 500, when it is read.

## Commands
"""


def page() -> str:
    return HEAD + "".join(_sections(get_command(build_command_tree()), "mlmesh"))


def _sections(command: Any, name: str) -> Iterator[str]:
    children = getattr(command, "commands", None)
    if not children:
        yield _section(command, name)
        return
    if name != "mlmesh" and getattr(command, "invoke_without_command", False):
        yield _section(command, name)
    for child, found in children.items():
        yield from _sections(found, f"{name} {child}")


def _section(command: Any, name: str) -> str:
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [
        one for one in command.params if one.param_type_name == "option" and not one.hidden and one.name != "help"
    ]
    words = " ".join([name, *(_written(one) for one in arguments)])
    text = " ".join(inspect.cleandoc(command.help or "").split())
    rows = [f"| `{_written(one)}` | {one.help} |" for one in arguments if one.help]
    rows += [f"| `{_option(one)}` | {one.help or ''} |" for one in options]
    table = (
        "\n| | |\n|---|---|\n" + "\n".join(rows).replace("off|read|refresh", "off\\|read\\|refresh") + "\n"
        if rows
        else ""
    )
    return f"\n### `{words}`\n\n{text}\n{table}"


def _written(argument: Any) -> str:
    name = str(argument.metavar or argument.name.upper())
    return name if argument.required or name.startswith("[") else f"[{name}]"


def _option(option: Any) -> str:
    names = ", ".join([*option.opts, *option.secondary_opts])
    value = option.metavar or ("" if option.is_flag else _kind(option))
    return f"{names} {value}".strip()


def _kind(option: Any) -> str:
    choices = get_args(option.type_descriptor.annotation)
    return "\\|".join(map(str, choices)) if choices else str(option.name).upper()


if __name__ == "__main__":
    sys.stdout.write(page())
