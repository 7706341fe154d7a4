"""A small application for tests from the outside: attached, pushed and called like any other."""

from __future__ import annotations

import json
import time
import urllib.request
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from deploy.demo.api import Answer, Api
from deploy.demo.mesh import Mesh
from deploy.demo.repository import Repository, announcement
from deploy.demo.show import Unanswered

PASSWORD = "correct horse"
ALICE = f"alice:{PASSWORD}"
LOOK_INTERVAL_S = 0.05
LIVE_TIMEOUT_S = 60.0
RUN_TIMEOUT_S = 120.0
ENDED = ("succeeded", "failed", "canceled", "expired")
Found = TypeVar("Found")
Files = Mapping[str, str | bytes | None]

BOXES = """\
apiVersion: mlmesh/v1
kind: DataBox
metadata: {name: results}
spec: {s3DefaultStorage: {capacity: 10M}}
---
apiVersion: mlmesh/v1
kind: Secret
metadata: {name: users}
spec: {keys: [alice]}
---
apiVersion: mlmesh/v1
kind: APIComponent
metadata: {name: files}
spec: {files: {}, restfulApi: {auth: {basic: {credentials: users}}}}
"""
COMPONENT = """\
apiVersion: mlmesh/v1
kind: MLComponent
metadata: {name: shout}
spec:
  image: {existingImageName: "mlmesh-test/python:1"}
  mlService: {inference: service:shout}
---
apiVersion: mlmesh/v1
kind: APIComponent
metadata: {name: shout}
spec:
  mlComponent: {name: shout}
  restfulApi: {path: shout, auth: {basic: {credentials: users}}}
"""
FUNCTION = 'def shout(text: str, times: int = 1) -> dict:\n    return {"said": (text.upper() + "!") * times}\n'
PIPELINE = """\
apiVersion: mlmesh/v1
kind: ExperimentPipeline
metadata: {name: copy}
spec:
  vars: [{name: options}, {name: first}, {name: second}]
  stages:
    - name: one
      image: {existingImageName: "mlmesh-test/python:1"}
      entryPoint: python3 -u stages.py one
      inputs: [{name: options}]
      outputs: [{name: first}]
    - name: two
      image: {existingImageName: "mlmesh-test/python:1"}
      entryPoint: python3 -u stages.py two
      inputs: [{name: options}, {name: first}]
      outputs: [{name: second}]
  connectedBoxes: [{name: results}]
---
apiVersion: mlmesh/v1
kind: APIComponent
metadata: {name: copy}
spec:
  experimentPipeline: {name: copy}
  restfulApi: {path: copy, auth: {basic: {credentials: users}}}
  apiSpec:
    inputs: [{name: options, required: false, type: {datatypes: [dict]}}]
    outputs: [{name: second}]
"""
STAGES = """\
import json, os, pathlib, sys, time, uuid

given = os.environ.get("UNIP_PIPELINE_OPTIONS")
options = json.loads(pathlib.Path(given).read_text()) if given else {}
name = sys.argv[1]
if "trace" in options:
    with open(options["trace"], "a") as trace:
        trace.write(name + "\\n")
print("stage", name, "begins", flush=True)
time.sleep(options.get("seconds", {}).get(name, 0))
if name in options.get("exit", {}):
    print("stage", name, "gives up", flush=True)
    sys.exit(options["exit"][name])
mark = uuid.uuid4().hex
if name == "one":
    pathlib.Path(os.environ["UNIP_PIPELINE_FIRST"], "mark").write_text(mark)
else:
    earlier = pathlib.Path(os.environ["UNIP_PIPELINE_FIRST"], "mark").read_text()
    pathlib.Path(os.environ["UNIP_PIPELINE_SECOND"], "marks").write_text(earlier + " " + mark)
"""
FILES = {
    "manifests/boxes.yml": BOXES,
    "manifests/shout.yml": COMPONENT,
    "manifests/copy.yml": PIPELINE,
    "service.py": FUNCTION,
    "stages.py": STAGES,
}


class Application:
    """`name` is new each time, so that several live in one mesh."""

    def __init__(self, mesh: Mesh, api: Api, name: str = "") -> None:
        self.mesh, self.api = mesh, api
        self.name = name or f"app-{uuid.uuid4().hex[:6]}"
        self.path = f"/api/v1/apps/{self.name}"
        self.repository = Repository(mesh.folder / "git" / self.name)
        self.hook = ""

    def attach(self, url: str = "", branch: str = "main", users: tuple[str, ...] = ("alice",)) -> None:
        """Declared to the mesh, with the users' password; the mesh fetches what is pushed by then."""
        address = url or self.repository.url
        declared = [
            {"kind": "PlatformApp", "metadata": {"name": self.name}, "spec": {"title": "Test", "moduleKind": "base"}},
            {"kind": "Repository", "metadata": {"name": self.name, "namespace": self.name},
             "spec": {"url": address, "branch": branch}},
        ]  # fmt: skip
        file = self.mesh.folder / f"{self.name}.yaml"
        file.write_text("\n---\n".join(json.dumps({"apiVersion": "mlmesh/v1", **one}) for one in declared))
        said = self.mesh.run("apply", "-f", str(file))
        self.hook = said.rpartition("secret  ")[2].strip()
        for user in users:
            self.mesh.run("secret", "set", self.name, "users", user, given=PASSWORD)

    def write(self, files: Files) -> None:
        """Into the working copy; None removes."""
        for name, text in files.items():
            target = self.repository.working / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if text is None:
                target.unlink(missing_ok=True)
            else:
                target.write_bytes(text.encode() if isinstance(text, str) else text)

    def push(self, files: Files) -> None:
        """One commit with these changes, pushed."""
        self.write(files)
        self.repository.commit("Change")
        self.repository.push()

    def announce(self) -> Answer:
        """The webhook's delivery, signed as GitHub."""
        body, headers = announcement(self.repository, self.hook)
        return self.api.send("POST", f"/hooks/{self.name}", body, headers=headers, expect=(200, 202))

    def start(self, files: Files = FILES) -> None:
        """From nothing to a healthy component and a pipeline that may be called."""
        self.push(files)
        self.attach()
        deployment = self.settled()
        assert deployment["status"] == "live", deployment
        if "manifests/shout.yml" in files:
            self.eventually("predictions are answered", lambda: self.shout().status == 200)

    def deployed(self, files: Files) -> dict[str, Any]:
        """The deployment of a commit with these changes, live or failed."""
        self.push(files)
        self.announce()
        return self.settled()

    def settled(self) -> dict[str, Any]:
        """The deployment of the repository's head, live or failed."""

        def look() -> dict[str, Any] | None:
            items = self.api.get(f"{self.path}/deployments?limit=1")["items"]
            newest: dict[str, Any] = items[0] if items else {}
            ended = newest.get("status") in ("live", "failed")
            return newest if ended and newest["commit"] in (None, self.repository.head) else None

        return self.eventually("the deployment is live or failed", look, LIVE_TIMEOUT_S)

    def call(
        self, method: str, path: str, body: Any = None, user: str = ALICE, api: Api | None = None, **more: Any
    ) -> Answer:
        """Any status is an answer; `api`: over a connection of the caller's own."""
        return (api or self.api).send(
            method, f"/{self.name}{path}", body, user=user, expect=tuple(range(200, 600)), **more
        )

    def shout(self, text: str = "hello", api: Api | None = None) -> Answer:
        inputs = [{"name": "text", "datatype": "str", "data": text}]
        return self.call("POST", "/shout/predict", {"inputs": inputs}, api=api)

    def submit(self, options: Mapping[str, Any] | None = None, **headers: str) -> Answer:
        body = {"inputs": {"options": options} if options else {}}
        return self.call("POST", "/copy/runs", body, headers=headers)

    def ended(self, place: str, limit_s: float = RUN_TIMEOUT_S) -> dict[str, Any]:
        """The run at this address, when it has ended."""

        def look() -> dict[str, Any] | None:
            answer = self.api.send("GET", place, user=ALICE, expect=(200, 503))  # 503: a part is away, ask again
            run: dict[str, Any] = answer.json()
            return run if answer.status == 200 and run["status"] in ENDED else None

        return self.eventually(f"{place} has ended", look, limit_s)

    def outputs(self, place: str, variable: str = "second") -> dict[str, bytes]:
        """The files of an output variable, by name."""
        listed = self.api.send("GET", f"{place}/outputs/{variable}", user=ALICE).json()["items"]
        return {file["name"]: fetched(file["url"]) for file in listed}

    def processes(self, component: str) -> set[int]:
        """Those that serve a component on this host, in containers or not."""
        own = {f"MLMESH_NAMESPACE={self.name}".encode(), f"MLMESH_COMPONENT_NAME={component}".encode()}
        found = set()
        for entry in Path("/proc").iterdir():
            try:
                command = (entry / "cmdline").read_bytes().split(b"\0")
                environ = (entry / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if command[1:2] and command[1].endswith(b"serve.py") and own <= set(environ):
                found.add(int(entry.name))
        return found

    def eventually(self, what: str, look: Callable[[], Found | None], limit_s: float = RUN_TIMEOUT_S) -> Found:
        """What `look` finds. A mesh that does not answer is asked again, as by any client that polls."""
        deadline = time.monotonic() + limit_s
        while not (found := _looked(look)):
            assert time.monotonic() < deadline, f"{what}: not within {limit_s:.0f} s"
            time.sleep(LOOK_INTERVAL_S)
        return found


def _looked(look: Callable[[], Found | None]) -> Found | None:
    try:
        return look()
    except Unanswered:
        return None


def fetched(link: str) -> bytes:
    """A link needs no credentials."""
    with urllib.request.urlopen(link, timeout=30.0) as answer:  # noqa: S310  the mesh gave it
        body: bytes = answer.read()
        return body
