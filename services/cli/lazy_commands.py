"""The commands of `mlmesh` by name; the module of a command is imported when that command is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_group

from services.cli.import_interrupt import end_on_interrupt

COMMANDS = {
    "up": "up:up",
    "down": "down:down",
    "gateway": "gateway_processes:gateway",
    "registry": "service_process:registry",
    "scheduler": "service_process:scheduler",
    "databox": "service_process:databox",
    "migrate": "service_process:migrate",
    "init": "init:init",
    "validate": "validate:validate",
    "diff": "diff:diff",
    "apply": "apply:apply",
    "promote": "promote:promote",
    "login": "login:login",
    "logout": "login:logout",
    "me": "people:show_me",
    "git-credential": "git_credential:git_credential",
    "predict": "predict:predict",
}
"""`module:function` of each."""
COMMAND_GROUPS = {
    "serve": "serve_local:nouns",
    "app": "apps:nouns",
    "template": "templates:nouns",
    "deployment": "deployments:nouns",
    "component": "components:nouns",
    "run": "runs:nouns",
    "box": "boxes:nouns",
    "secret": "secrets:nouns",
    "key": "tokens:keys",
    "token": "tokens:tokens",
    "personal-token": "tokens:personal_tokens",
    "user": "people:users",
    "member": "people:members",
    "worker": "workers:workers",
    "queue": "workers:queues",
    "schedule": "schedules:nouns",
}
"""`module:Typer` of each. The service `worker` is a command of its group."""


def import_command(name: str) -> Any:
    """The function of a command, or the Typer of a group. Raises KeyError."""
    module, _, attribute = {**COMMANDS, **COMMAND_GROUPS}[name].partition(":")
    return getattr(import_module(f"services.cli.{module}"), attribute)


def build_command(name: str, command: Any) -> Any:
    """What Typer makes of a function, or of a group."""
    parent = typer.Typer(rich_markup_mode=None)
    if isinstance(command, typer.Typer):
        parent.add_typer(command, name=name)
    else:
        parent.command(name)(command)
    return get_group(parent).commands[name]


def list_subcommands(name: str) -> list[str]:
    """`deployment rollback` of `rollback`: the commands of this name in groups."""
    groups = {group: build_command(group, import_command(group)) for group in COMMAND_GROUPS}
    return [f"{group} {name}" for group, commands in groups.items() if name in commands.commands]


class LazyCommands(Mapping[str, Any]):
    """Typer's commands; each is built when it is read."""

    def __getitem__(self, name: str) -> Any:
        with end_on_interrupt():
            return build_command(name, import_command(name))

    def __iter__(self) -> Iterator[str]:
        return iter((*COMMANDS, *COMMAND_GROUPS))

    def __len__(self) -> int:
        return len(COMMANDS) + len(COMMAND_GROUPS)


class LazyGroup(TyperGroup):
    """The group `mlmesh`, which imports only the command that it runs, and all of them for its help."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = LazyCommands()  # type: ignore[assignment]  # typer only reads it
