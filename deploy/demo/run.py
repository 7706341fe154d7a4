"""`make demo`: a module from push to prediction, on this machine, with nothing left afterwards."""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType

from deploy.demo import show, story
from deploy.demo.api import Api
from deploy.demo.mesh import Mesh
from deploy.demo.repository import Repository
from deploy.demo.show import Failed, Show

STEPS = (
    ("attach a Git repository", story.attach),
    ("push: training and recognition go live together", story.push),
    ("recognition waits for its model", story.wait_for_model),
    ("train: an asynchronous run of three stages", story.train),
    ("what the run left", story.results),
    ("recognition has started by itself: predict", story.predict),
)


def main() -> int:
    signal.signal(signal.SIGTERM, _interrupted)
    folder = Path(tempfile.mkdtemp(prefix="mlmesh-demo-"))
    shown, mesh = Show(), Mesh(folder)
    try:
        figures = _told(shown, mesh)
    except KeyboardInterrupt:
        show.line("\ndemo: interrupted")
        return _stopped(shown, mesh, 130)
    except (Failed, OSError) as error:
        show.line(f"\ndemo: failed at: {shown.present}\n  {error}\n  log: {mesh.log}")
        return _stopped(shown, mesh, 1)
    if code := _stopped(shown, mesh, 0):
        return code
    shutil.rmtree(folder)
    show.line(f"demo: ok ({figures})")
    return 0


def _told(shown: Show, mesh: Mesh) -> str:
    """The whole story; the measured figures."""
    with shown.step("start the mesh: five services in one process"):
        show.command(f"mlmesh up --port 0 --data {mesh.data} --runtime process")
        mesh.start()
        show.detail(f"ready {mesh.url}")
    told = story.Story(mesh, Api(mesh.url, mesh.token), Repository(mesh.folder / "git"))
    for title, tell in STEPS:
        with shown.step(title):
            tell(told)
    shown.present = "the end"
    figures = f"push to live {told.live_s:.1f} s, run {told.run_s:.1f} s, predict {told.predict_ms:.1f} ms"
    if sys.stdin.isatty() and sys.stdout.isatty():
        _addresses(told)
        _serve(mesh, figures)
    return figures


def _addresses(told: story.Story) -> None:
    show.line(f"\n{show.bold('Try it yourself')}")
    show.detail(f"URL={told.mesh.url} TOKEN={told.mesh.token} PASSWORD={told.password}")
    show.detail(f"predict    {told.mesh.url}/{story.APP}/digits/predict")
    show.detail(f"OpenAPI    {told.mesh.url}/{story.APP}/digits/docs")
    show.detail(f"training   {told.mesh.url}/{story.APP}/training/docs")
    show.detail(f"report     {told.mesh.folder / 'confusion.png'}")
    show.detail(f"module     {told.repository.working} (change it, commit, push)")
    show.line()


def _serve(mesh: Mesh, figures: str) -> None:
    """Until Ctrl-C."""
    show.line(f"demo: ok ({figures})")
    show.line(show.dim("serving; Ctrl-C stops it and removes everything"))
    try:
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
    except KeyboardInterrupt:
        show.line()


def _stopped(shown: Show, mesh: Mesh, code: int) -> int:
    """Nothing runs any more; a stop that goes wrong is a failure of its own."""
    try:
        mesh.stop()
    except Failed as error:
        show.line(f"demo: failed at: stopping the mesh\n  {error}\n  log: {mesh.log}")
        return code or 1
    return code


def _interrupted(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
