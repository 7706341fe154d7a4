"""S3: MinIO, and versitygw as the second opinion; a fresh bucket for each test."""

import os
import secrets
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from minio import Minio
from minio.error import S3Error
from urllib3 import PoolManager, Retry, Timeout
from urllib3.exceptions import HTTPError

from tests.servers.container import Container, need_engine
from tests.servers.places import LOOPBACK, free_port
from tests.servers.process import Process, Runner, answers, folder_of
from tests.servers.provision import Missing, go_install, program
from tests.servers.server import Server

MINIO = "github.com/minio/minio", "v0.0.0-20260212201848-7aac2a2c5b7c"
MINIO_IMAGE = "minio/minio:RELEASE.2025-09-07T16-13-09Z"
VERSITYGW = "github.com/versity/versitygw/cmd/versitygw", "v1.8.0"
VERSITYGW_IMAGE = "versity/versitygw:v1.8.0"
USER = "mlmesh"
REQUEST_TIMEOUT_S = 10.0


class S3(Server):
    """`url` is `s3://ACCESS:SECRET@HOST:PORT/`, with `?tls=1` for https."""

    @contextmanager
    def bucket(self) -> Iterator[str]:
        """The address of a new empty bucket; emptied and gone afterwards when the server outlives the run."""
        name = f"test-{uuid.uuid4().hex[:12]}"
        client = self._client()
        client.make_bucket(name)
        try:
            yield urlsplit(self.url)._replace(path=f"/{name}").geturl()
        finally:
            if self.runner is None:
                # what is below `a` is listed when the object `a` is gone
                while entries := list(client.list_objects(name, recursive=True)):
                    for entry in entries:
                        client.remove_object(name, str(entry.object_name))
                client.remove_bucket(name)

    def answers(self) -> bool:
        if not answers(urlsplit(self.url).port or 0):
            return False
        try:
            self._client().list_buckets()
        except (S3Error, HTTPError):
            return False
        return True

    def _client(self) -> Minio:
        address = urlsplit(self.url)
        return Minio(
            f"{address.hostname}:{address.port}",
            access_key=address.username,
            secret_key=address.password,
            secure="tls" in parse_qs(address.query),
            http_client=PoolManager(timeout=Timeout(REQUEST_TIMEOUT_S), retries=Retry(0)),
        )


def start_minio(parent: Path) -> S3:
    port, secret = free_port(), secrets.token_hex(16)
    environ = {"MINIO_ROOT_USER": USER, "MINIO_ROOT_PASSWORD": secret, "MINIO_UPDATE": "off", "MINIO_BROWSER": "off"}
    data = folder_of(None, parent, "minio/data")
    try:
        server = program("minio") or go_install(*MINIO, "minio")
    except Missing as missing:
        need_engine(missing)
        image = os.environ.get("MINIO_IMAGE", MINIO_IMAGE)
        return _started(port, secret, Container(image, {port: 9000}, environ, ("server", "/data")))
    command = [str(server), "server", "--quiet", "--address", f"{LOOPBACK}:{port}", str(data)]
    return _started(port, secret, Process("minio", command, data.parent, environ))


def start_versitygw(parent: Path) -> S3:
    port, secret = free_port(), secrets.token_hex(16)
    environ = {"ROOT_ACCESS_KEY": USER, "ROOT_SECRET_KEY": secret}
    data = folder_of(None, parent, "versitygw/data")
    try:
        server = program("versitygw") or go_install(*VERSITYGW, "versitygw")
    except Missing as missing:
        need_engine(missing)
        return _started(port, secret, Container(VERSITYGW_IMAGE, {port: 7070}, environ, ("posix", "/tmp")))
    command = [str(server), "--quiet", "--port", f"{LOOPBACK}:{port}", "posix", *_sidecar(data), str(data)]
    return _started(port, secret, Process("versitygw", command, data.parent, environ))


def _sidecar(data: Path) -> list[str]:
    """Attributes of objects go beside them where the file system keeps none."""
    try:
        os.setxattr(data, "user.mlmesh", b"")
    except OSError:
        return ["--sidecar", str(folder_of(None, data.parent, "attributes"))]
    return []


def _started(port: int, secret: str, runner: Runner) -> S3:
    server = S3(f"s3://{USER}:{secret}@{LOOPBACK}:{port}/", runner)
    server.start()
    return server
