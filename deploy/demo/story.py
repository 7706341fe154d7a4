"""The story: attach a module, push it, train its model, ask it. Each step uses the mesh as anybody can."""

from __future__ import annotations

import secrets
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from deploy.demo import show
from deploy.demo.api import Api, curl
from deploy.demo.digit import PIXELS, WRITTEN
from deploy.demo.mesh import Mesh
from deploy.demo.repository import Repository, announcement
from deploy.demo.show import Failed
from deploy.demo.watched import Watched

APP = "digits"
API = f"/api/v1/apps/{APP}"
LIVE_TIMEOUT_S = 120.0
RUN_TIMEOUT_S = 900.0
"""Most of it for the download of the module's libraries on a slow line."""
HEALTHY_TIMEOUT_S = 120.0
LOOK_INTERVAL_S = 0.02
CALLS = 50
APPLY = """\
apiVersion: mlmesh/v1
kind: PlatformApp
metadata: {{name: {app}}}
spec: {{title: Handwritten digits, moduleKind: mlops}}
---
apiVersion: mlmesh/v1
kind: Repository
metadata: {{name: {app}, namespace: {app}}}
spec: {{url: "{url}"}}
"""
Found = TypeVar("Found")


@dataclass
class Story:
    """What one step finds out and a later one needs."""

    mesh: Mesh
    api: Api
    repository: Repository
    password: str = field(default_factory=lambda: secrets.token_urlsafe(9))
    hook: str = ""
    run_path: str = ""
    live_s: float = 0.0
    run_s: float = 0.0
    predict_ms: float = 0.0

    @property
    def user(self) -> str:
        return f"alice:{self.password}"


def attach(story: Story) -> None:
    """Who may call and where files go is in Git already; the rest of the module follows with the push."""
    story.repository.commit("Boxes and users", "README.md", "manifests/files.yml", "manifests/users.yml")
    story.repository.push()
    file = story.mesh.folder / "app.yaml"
    file.write_text(APPLY.format(app=APP, url=story.repository.url))
    show.command("mlmesh apply -f app.yaml")
    said = story.mesh.run("apply", "-f", str(file))
    story.hook = said.rpartition("secret  ")[2].strip()
    show.detail(said.replace(story.hook, f"{story.hook[:16]}…"))
    show.command(f"mlmesh secret set {APP} users alice")
    show.detail(story.mesh.run("secret", "set", APP, "users", "alice", given=story.password))
    _until_live(story, f"{API}/deployments")


def push(story: Story) -> None:
    story.repository.commit(
        "Training and recognition", "manifests", "digits", "tests", "requirements.txt", "Dockerfile", ".gitignore"
    )
    show.command("git push origin main")
    began = time.monotonic()
    story.repository.push()
    body, headers = announcement(story.repository, story.hook)
    answer = story.api.send("POST", f"/hooks/{APP}", body, headers=headers, expect=(200, 202))
    show.detail(f"webhook, signed as GitHub: {answer.status}, Location: {answer.headers['Location']}")
    found = _until_live(story, f"{API}/deployments", story.repository.head)
    story.live_s = time.monotonic() - began
    for step in found["steps"]:
        show.detail(f"{step['name']:<12} {step['status']:<10} {step['detail'] or ''}")
    show.detail(f"commit {found['commit'][:10]} is live {story.live_s:.1f} s after the push")


def _until_live(story: Story, path: str, commit: str | None = None) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        newest: dict[str, Any] = story.api.get(path + "?limit=1")["items"][0]
        if newest["status"] == "failed":
            raise Failed("the deployment failed: " + "; ".join(error["message"] for error in newest["errors"]))
        return newest if newest["status"] == "live" and commit in (None, newest["commit"]) else None

    return _eventually(story, "the deployment is live", LIVE_TIMEOUT_S, look)


def wait_for_model(story: Story) -> None:
    show.command(f"mlmesh component show {APP} digits")

    def look() -> bool:
        component = story.api.get(f"{API}/components/digits")
        return (component.get("reason") or {}).get("code") == "model_missing"

    _eventually(story, "the component says that its model is missing", HEALTHY_TIMEOUT_S, look)
    show.detail(story.mesh.run("component", "show", APP, "digits"))
    show.command(curl("POST", f"/{APP}/digits/predict", {"inputs": ["…"]}, user="alice:$PASSWORD"))
    refused = story.api.send("POST", f"/{APP}/digits/predict", question(), user=story.user, expect=(503,))
    show.detail(f"503, Retry-After: {refused.headers['Retry-After']}: {refused.json()['detail']}")


def train(story: Story) -> None:
    wanted = {"inputs": {"options": {"epochs": 30}}, "outputs": {"model": "models/digits/", "report": "reports/first/"}}
    show.command(curl("POST", f"/{APP}/training/runs", wanted, options="-i"))
    answer = story.api.send("POST", f"/{APP}/training/runs", wanted, expect=(202,))
    place = answer.headers["Location"]
    show.detail(f"202, Location: {place}, Retry-After: {answer.headers['Retry-After']}")
    show.command(curl("GET", place))
    story.run_path, watched = place, Watched(story.api, place)
    run = _eventually(story, "the run has ended", RUN_TIMEOUT_S, watched.look)
    if run["status"] != "succeeded":
        raise Failed(f"the run has {run['status']}: {run['reason']}")
    story.run_s = seconds(run)
    show.detail(f"the run has succeeded, {story.run_s:.1f} s after its first stage began")


def results(story: Story) -> None:
    for variable in ("model", "report"):
        path = f"{story.run_path}/outputs/{variable}"
        show.command(curl("GET", path))
        for file in story.api.get(path)["items"]:
            show.detail(f"{variable}: {file['name']}, {file['size']} bytes")
    report = story.api.send("GET", f"/{APP}/files/reports/first/report.md?download=1").body.decode()
    show.detail(report.split("\n\n")[1].strip())
    show.command(curl("GET", f"/{APP}/files/reports/first/confusion.png?download=1", options="-o confusion.png"))
    png = story.api.send("GET", f"/{APP}/files/reports/first/confusion.png?download=1").body
    if not png.startswith(b"\x89PNG"):
        raise Failed("confusion.png is not a PNG")
    (story.mesh.folder / "confusion.png").write_bytes(png)


def predict(story: Story) -> None:
    def look() -> bool:
        found = story.api.get(f"{API}/components/digits")
        if found["status"] != "healthy":
            return False
        asked = story.api.send("POST", f"/{APP}/digits/predict", question(), user=story.user, expect=(200, 503))
        return asked.status == 200  # 503 with Retry-After: the gateway has not heard of it yet

    _eventually(story, "the component is healthy", HEALTHY_TIMEOUT_S, look)
    show.detail(show.picture(PIXELS))
    show.command(curl("POST", f"/{APP}/digits/predict", question(), user="alice:$PASSWORD"))
    times = []
    for _ in range(CALLS):
        began = time.perf_counter()
        answer = story.api.send("POST", f"/{APP}/digits/predict", question(), user=story.user).json()
        times.append(time.perf_counter() - began)
    found = {item["name"]: item["data"] for item in answer["outputs"]}
    story.predict_ms = statistics.median(times) * 1000
    show.detail(f"it is a {found['digit'][0]}, by {max(found['probabilities']):.1%}")
    show.detail(f"{CALLS} calls on one connection, {story.predict_ms:.1f} ms each (median)")
    if found["digit"] != [WRITTEN]:
        raise Failed(f"the written digit is a {WRITTEN}, the answer {found['digit']}")


def question() -> dict[str, Any]:
    return {"inputs": [{"name": "image", "datatype": "FP32", "shape": [64], "data": PIXELS}]}


def _eventually(story: Story, what: str, limit_s: float, look: Callable[[], Found | None]) -> Found:
    deadline = time.monotonic() + limit_s
    while not (found := look()):
        story.mesh.check()
        if time.monotonic() > deadline:
            raise Failed(f"{what}: not within {limit_s:.0f} s")
        time.sleep(LOOK_INTERVAL_S)
    return found


def seconds(run: dict[str, Any]) -> float:
    """From the begin of the first stage to the end of the last."""
    began = min(datetime.fromisoformat(stage["started_at"]) for stage in run["stages"])
    return (datetime.fromisoformat(run["finished_at"]) - began).total_seconds()
