"""`mlmesh me`, `mlmesh user`, `mlmesh member`: people, and their roles in apps."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from services.cli import times
from services.cli.client import url_path
from services.cli.secret_input import read_secret_text
from services.cli.session import App, Mesh, field, mesh_command

users = typer.Typer(help="Accounts of people, for administrators.", no_args_is_help=True)
members = typer.Typer(help="Roles of people in an app.", no_args_is_help=True)
USERS = "/api/v1/users"
Name = Annotated[str, typer.Argument(metavar="NAME", help="The account's name.")]
Member = Annotated[str, typer.Argument(metavar="NAME", help="Of an account, or of a group with --group.")]
Group = Annotated[bool, typer.Option("--group", help="NAME is a group of the identity provider.")]


@mesh_command
def show_me(mesh: Mesh) -> None:
    """Show as whom commands call, and what they may."""
    me = mesh.client.get("/api/v1/me")
    roles = ", ".join(f"{item['role']} of {item['app']} ({item['via']})" for item in me["roles"])
    mesh.print_pairs(
        me,
        [
            ("user", me["name"] or "none, an operator's token"),
            ("token", me["token"]),
            ("administrator", "yes" if me["administrator"] else ""),
            ("roles", roles),
            ("scopes", " ".join(me["scopes"])),
        ],
    )


@users.command("setup")
@mesh_command
def make_first_administrator(mesh: Mesh, name: Name) -> None:
    """Make the first administrator, with the mesh's admin token; the password is asked for."""
    body = {"token": mesh.client.token, "name": name, "password": read_secret_text("new password")}
    opened = mesh.client.post("/api/v1/setup", body)
    sentence = f"{name} is the administrator; sign in with: mlmesh login {mesh.client.url} --user {name}"
    mesh.print_sentence({"user": opened["user"]}, sentence)


@users.command("list")
@mesh_command
def list_users(mesh: Mesh) -> None:
    """All accounts."""
    mesh.print_table(
        list(mesh.client.iterate_pages(USERS)),
        name=field("name"),
        administrator=lambda user: "yes" if user["administrator"] else "",
        status=_status,
        created=lambda user: times.format_age(user["created_at"]),
        by=field("created_by"),
    )


def _status(user: dict[str, Any]) -> str:
    if user["disabled_at"]:
        return "disabled"
    return "active" if user["has_password"] else "invited"


@users.command("invite")
@mesh_command
def invite_user(
    mesh: Mesh,
    name: Name,
    administrator: Annotated[bool, typer.Option("--administrator", help="They may do everything.")] = False,
    new_password: Annotated[
        bool, typer.Option("--new-password", help="For an account that is there; the present one stays until then.")
    ] = False,
) -> None:
    """Make an account; its person chooses a password with what this prints."""
    if new_password:
        invitation = mesh.client.post(f"{USERS}{url_path(name)}/invitation")
    else:
        invitation = mesh.client.post(USERS, {"name": name, "administrator": administrator})
    command = f"mlmesh login {mesh.client.url} --invitation {invitation['token']}"
    mesh.print_sentence(
        invitation, f"give this to {name}; it works once, until {invitation['expires_at']}:\n  {command}"
    )


@users.command("disable")
@mesh_command
def disable_user(mesh: Mesh, name: Name) -> None:
    """Refuse an account everywhere, and end its sessions."""
    user = mesh.client.patch(USERS + url_path(name), {"disabled": True})
    mesh.print_sentence(user, f"{name} is disabled")


@users.command("enable")
@mesh_command
def enable_user(mesh: Mesh, name: Name) -> None:
    """Let a disabled account in again."""
    mesh.print_sentence(mesh.client.patch(USERS + url_path(name), {"disabled": False}), f"{name} may sign in again")


@users.command("delete")
@mesh_command
def delete_user(
    mesh: Mesh, name: Name, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False
) -> None:
    """Delete an account with its tokens and roles; its runs and files stay."""
    if not yes:
        typer.confirm(
            f"delete the account {name}? whoever gets the name later gets its runs and files", abort=True, err=True
        )
    mesh.client.delete(USERS + url_path(name))
    mesh.print_sentence({"deleted": name}, f"{name} is deleted")


@members.command("list")
@mesh_command
def list_members(mesh: Mesh, app: App) -> None:
    """Who has which role."""
    mesh.print_table(
        list(mesh.client.iterate_pages(_members_path(app))),
        name=field("name"),
        kind=field("kind"),
        role=field("role"),
        by=field("added_by"),
        since=lambda member: times.format_age(member["added_at"]),
    )


@members.command("set")
@mesh_command
def set_member(
    mesh: Mesh,
    app: App,
    name: Member,
    role: Annotated[Literal["viewer", "caller", "developer", "owner"], typer.Argument(help="What they may.")],
    group: Group = False,
) -> None:
    """Give a role; another one is replaced."""
    mesh.client.put(_members_path(app, "group" if group else "user", name), {"role": role})
    mesh.print_sentence({"app": app, "name": name, "role": role}, f"{name} is {role} of {app}")


@members.command("remove")
@mesh_command
def remove_member(mesh: Mesh, app: App, name: Member, group: Group = False) -> None:
    """Take a role away."""
    mesh.client.delete(_members_path(app, "group" if group else "user", name))
    mesh.print_sentence({"app": app, "removed": name}, f"{name} has no role in {app} any more")


def _members_path(app: str, *segments: str) -> str:
    return "/api/v1/apps" + url_path(app, "members", *segments)
