"""`mlmesh box`: files of an app."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TypedDict

import typer

from libs.common.errors import Malformed
from services.cli import render, times, transfers
from services.cli.cli_errors import Failure, NotReachable, WrongUsage
from services.cli.client import Client, url_path
from services.cli.session import App, Mesh, field, mesh_command

nouns = typer.Typer(help="Files of an app, in its boxes.", no_args_is_help=True)
Place = Annotated[str, typer.Argument(metavar="BOX/GROUP/FILE", help="A trailing / (or no FILE) names the group.")]


@nouns.command("ls")
@mesh_command
def list_files(
    mesh: Mesh,
    app: App,
    place: Annotated[str, typer.Argument(metavar="[BOX[/GROUP]]", help="Default: the boxes themselves.")] = "",
) -> None:
    """Boxes of an app, or files in one."""
    if not place:
        _list_boxes(mesh, app)
        return
    mesh.print_table(
        _list_remote_files(mesh.client, app, place),
        name=field("name"),
        size=lambda file: render.size_text(file.get("size")),
        modified=lambda file: times.format_age(file.get("modified")),
    )


def _list_boxes(mesh: Mesh, app: str) -> None:
    mesh.print_table(
        mesh.client.get("/api/v1/apps" + url_path(app))["boxes"],
        name=field("name"),
        used=lambda box: render.size_text(box.get("used")),
        capacity=lambda box: render.size_text(box.get("capacity")),
        detached=field("detached"),
    )


@nouns.command("put")
@mesh_command
def put_files(
    mesh: Mesh,
    app: App,
    source: Annotated[
        Path, typer.Argument(metavar="PATH", help="A file, a folder for all its files, or - for standard input.")
    ],
    place: Place,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
) -> None:
    """Store a file, or every file of a folder."""
    sent = [_upload_file(mesh.client, app, file, target, overwrite) for file, target in _plan_uploads(source, place)]
    mesh.print_sentence(sent, "\n".join(f"{file['path']}  {render.size_text(file['size'])}" for file in sent))


def _plan_uploads(source: Path, place: str) -> list[tuple[Path, str]]:
    _require_group(place)
    if source != transfers.STANDARD_STREAM and not source.exists():
        raise WrongUsage(f"there is no file or folder {source}")
    if source.is_dir():
        files = transfers.list_files(source)
        return [(file, f"{place.rstrip('/')}/{file.relative_to(source).as_posix()}") for file in files]
    group = _is_group(place)
    if group and not transfers.has_name(source):
        raise WrongUsage(f"{place} names a group, and {source} has no name for a file in it; write BOX/GROUP/FILE")
    return [(source, f"{place.rstrip('/')}/{source.name}" if group else place)]


class UploadedFile(TypedDict):
    path: str
    size: int
    etag: str | None


def _upload_file(client: Client, app: str, file: Path, target: str, overwrite: bool) -> UploadedFile:
    params = {"overwrite": overwrite or None, "upload": 1}
    headers = {"Content-Type": "application/octet-stream"}
    with transfers.open_content(file) as content, render.transfer_progress(target, content.size) as advance:
        if content.size is not None:
            headers["Content-Length"] = str(content.size)
        pieces = content.read_pieces(advance)
        try:
            with client.open_response(
                "PUT", _file_url(app, target), pieces, headers=headers, params=params
            ) as response:
                return {"path": target, "size": content.sent, "etag": response.headers.get("ETag")}
        except Malformed as error:
            if "presigned_put_url" in error.extensions:
                raise Failure(f"{target} exists; --overwrite replaces it") from error
            raise


@nouns.command("get")
@mesh_command
def get_files(
    mesh: Mesh,
    app: App,
    place: Place,
    target: Annotated[
        Path,
        typer.Argument(metavar="[PATH]", help="A file, a folder, or - for standard output; default: here."),
    ] = Path("."),
) -> None:
    """Fetch a file, or every file of a group."""
    paths = [
        _download_file(mesh.client, app, source, path)
        for source, path in _plan_downloads(mesh.client, app, place, target)
    ]
    if target != transfers.STANDARD_STREAM:  # standard output holds the file's content
        mesh.print_sentence([str(path) for path in paths], "\n".join(map(str, paths)))


def _plan_downloads(client: Client, app: str, place: str, target: Path) -> list[tuple[str, Path]]:
    if not _is_group(place):
        return [(place, target / place.rpartition("/")[2] if target.is_dir() else target)]
    group = place.rstrip("/")
    if target == transfers.STANDARD_STREAM:
        raise WrongUsage(f"{place} names a group; standard output takes one file, BOX/GROUP/FILE")
    downloads = [
        (f"{group}/{file['name']}", _safe_join(target, file["name"])) for file in _list_remote_files(client, app, place)
    ]
    if not downloads:
        raise Failure(f"there is no file in {group}")
    return downloads


def _safe_join(folder: Path, name: str) -> Path:
    """The local path of a listed file. Raises Failure if its name, which is not trusted, leads out of the folder."""
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise Failure(f"the listed name {name!r} leads out of {folder}")
    return path


def _download_file(client: Client, app: str, source: str, target: Path) -> Path:
    if target.is_dir():
        raise Failure(f"{target} is a folder of this machine; name the file that is to be written")
    headers = {"Accept": "application/octet-stream"}
    with client.open_response("GET", _file_url(app, source), headers=headers, params={"download": 1}) as response:
        total, received = int(response.headers.get("Content-Length") or 0), 0
        with transfers.open_target(target) as content, render.transfer_progress(source, total) as advance:
            while piece := response.stream.read(transfers.CHUNK_BYTES):
                content.write(piece)
                received += len(piece)
                advance(len(piece))
            if received < total:
                raise NotReachable(f"{source} was cut off after {received} of {total} bytes; try again")
    return target


@nouns.command("rm")
@mesh_command
def remove_files(
    mesh: Mesh, app: App, place: Place, yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False
) -> None:
    """Delete a file, or a group after a question."""
    _require_group(place)
    if _is_group(place):
        place = f"{place.rstrip('/')}/"
        count = len(_list_remote_files(mesh.client, app, place))
        if not count:
            raise Failure(f"there is no file in {place}")
        if not yes:
            typer.confirm(f"delete {place} with {count} file{'s' if count > 1 else ''}?", abort=True, err=True)
    else:
        mesh.client.get(_file_url(app, place))  # fail if the file does not exist
    mesh.client.delete(_file_url(app, place))
    mesh.print_sentence({"deleted": place}, f"{place} is deleted")


def _list_remote_files(client: Client, app: str, place: str) -> list[Any]:
    return list(client.iterate_pages(_file_url(app, place.rstrip("/") + "/")))


def _is_group(place: str) -> bool:
    return place.endswith("/") or place.count("/") == 1


def _require_group(place: str) -> None:
    if "/" not in place.strip("/"):
        raise WrongUsage(f"{place} names a box alone; write BOX/GROUP/FILE or BOX/GROUP/")


def _file_url(app: str, place: str) -> str:
    return url_path(app, "files", *place.split("/"))
