"""`mlmesh box`: files of an app."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from libs.common.errors import Malformed
from services.cli import render, times, transfers
from services.cli.cli_errors import Failure, NotReachable, WrongUsage
from services.cli.client import Client
from services.cli.client import path as joined
from services.cli.session import App, Mesh, field, talks

nouns = typer.Typer(help="Files of an app, in its boxes.", no_args_is_help=True)
Place = Annotated[str, typer.Argument(metavar="BOX/GROUP/FILE", help="A trailing / (or no FILE) names the group.")]


@nouns.command("ls")
@talks
def listed(
    mesh: Mesh,
    app: App,
    place: Annotated[str, typer.Argument(metavar="[BOX[/GROUP]]", help="Default: the boxes themselves.")] = "",
) -> None:
    """Boxes of an app, or files in one."""
    if not place:
        _boxes(mesh, app)
        return
    mesh.table(
        _files(mesh.client, app, place),
        name=field("name"),
        size=lambda file: render.size(file.get("size")),
        modified=lambda file: times.age(file.get("modified")),
    )


def _boxes(mesh: Mesh, app: str) -> None:
    mesh.table(
        mesh.client.get("/api/v1/apps" + joined(app))["boxes"],
        name=field("name"),
        used=lambda box: render.size(box.get("used")),
        capacity=lambda box: render.size(box.get("capacity")),
        detached=field("detached"),
    )


@nouns.command("put")
@talks
def put(
    mesh: Mesh,
    app: App,
    source: Annotated[
        Path, typer.Argument(metavar="PATH", help="A file, a folder for all its files, or - for standard input.")
    ],
    place: Place,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
) -> None:
    """Store a file, or every file of a folder."""
    sent = [_put(mesh.client, app, file, target, overwrite) for file, target in _uploads(source, place)]
    mesh.say(sent, "\n".join(f"{one['path']}  {render.size(one['size'])}" for one in sent))


def _uploads(source: Path, place: str) -> list[tuple[Path, str]]:
    _box(place)
    if source != transfers.DASH and not source.exists():
        raise WrongUsage(f"there is no file or folder {source}")
    if source.is_dir():
        found = transfers.files_below(source)
        return [(file, f"{place.rstrip('/')}/{file.relative_to(source).as_posix()}") for file in found]
    group = _is_group(place)
    if group and not transfers.has_name(source):
        raise WrongUsage(f"{place} names a group, and {source} has no name for a file in it; write BOX/GROUP/FILE")
    return [(source, f"{place.rstrip('/')}/{source.name}" if group else place)]


def _put(client: Client, app: str, file: Path, target: str, overwrite: bool) -> dict[str, Any]:
    params = {"overwrite": overwrite or None, "upload": 1}
    headers = {"Content-Type": "application/octet-stream"}
    with transfers.content_of(file) as content, render.transfer(target, content.size) as advance:
        if content.size is not None:
            headers["Content-Length"] = str(content.size)
        pieces = content.pieces(advance)
        try:
            with client.open("PUT", _url(app, target), pieces, headers=headers, params=params) as answer:
                return {"path": target, "size": content.sent, "etag": answer.headers.get("ETag")}
        except Malformed as error:
            if "presigned_put_url" in error.extensions:
                raise Failure(f"{target} exists; --overwrite replaces it") from error
            raise


@nouns.command("get")
@talks
def get(
    mesh: Mesh,
    app: App,
    place: Place,
    target: Annotated[
        Path,
        typer.Argument(metavar="[PATH]", help="A file, a folder, or - for standard output; default: here."),
    ] = Path("."),
) -> None:
    """Fetch a file, or every file of a group."""
    got = [_get(mesh.client, app, source, path) for source, path in _downloads(mesh.client, app, place, target)]
    if target != transfers.DASH:  # the file's own bytes are there
        mesh.say([str(path) for path in got], "\n".join(map(str, got)))


def _downloads(client: Client, app: str, place: str, target: Path) -> list[tuple[str, Path]]:
    if not _is_group(place):
        return [(place, target / place.rpartition("/")[2] if target.is_dir() else target)]
    group = place.rstrip("/")
    if target == transfers.DASH:
        raise WrongUsage(f"{place} names a group; standard output takes one file, BOX/GROUP/FILE")
    found = [(f"{group}/{file['name']}", _inside(target, file["name"])) for file in _files(client, app, place)]
    if not found:
        raise Failure(f"there is no file in {group}")
    return found


def _inside(folder: Path, name: str) -> Path:
    """Where a listed file goes; its name is another's word, so it must stay in the folder."""
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise Failure(f"the listed name {name!r} leads out of {folder}")
    return path


def _get(client: Client, app: str, source: str, target: Path) -> Path:
    if target.is_dir():
        raise Failure(f"{target} is a folder of this machine; name the file that is to be written")
    headers = {"Accept": "application/octet-stream"}
    with client.open("GET", _url(app, source), headers=headers, params={"download": 1}) as answer:
        total, got = int(answer.headers.get("Content-Length") or 0), 0
        with transfers.opened_target(target) as content, render.transfer(source, total) as advance:
            while piece := answer.stream.read(transfers.CHUNK):
                content.write(piece)
                got += len(piece)
                advance(len(piece))
            if got < total:
                raise NotReachable(f"{source} was cut off after {got} of {total} bytes; try again")
    return target


@nouns.command("rm")
@talks
def remove(
    mesh: Mesh, app: App, place: Place, yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False
) -> None:
    """Delete a file, or a group after a question."""
    _box(place)
    if _is_group(place):
        place = f"{place.rstrip('/')}/"
        count = len(_files(mesh.client, app, place))
        if not count:
            raise Failure(f"there is no file in {place}")
        if not yes:
            typer.confirm(f"delete {place} with {count} file{'s' if count > 1 else ''}?", abort=True, err=True)
    else:
        mesh.client.get(_url(app, place))  # nobody is told that what was never there is deleted
    mesh.client.delete(_url(app, place))
    mesh.say({"deleted": place}, f"{place} is deleted")


def _files(client: Client, app: str, place: str) -> list[Any]:
    return list(client.pages(_url(app, place.rstrip("/") + "/")))


def _is_group(place: str) -> bool:
    return place.endswith("/") or place.count("/") == 1


def _box(place: str) -> None:
    if "/" not in place.strip("/"):
        raise WrongUsage(f"{place} names a box alone; write BOX/GROUP/FILE or BOX/GROUP/")


def _url(app: str, place: str) -> str:
    return joined(app, "files", *place.split("/"))
