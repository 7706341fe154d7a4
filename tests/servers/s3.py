"""S3: MinIO, and versitygw as the second opinion; a fresh bucket for each test."""

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

from tests.servers.places import LOOPBACK, free_port
from tests.servers.process import Process, answers, folder_of
from tests.servers.provision import go_install, program

MINIO = "github.com/minio/minio", "v0.0.0-20260212201848-7aac2a2c5b7c"
VERSITYGW = "github.com/versity/versitygw/cmd/versitygw", "v1.8.0"
REQUEST_TIMEOUT_S = 10.0


class S3:
    """`url` is `s3://ACCESS:SECRET@HOST:PORT/`, with `?tls=1` for https."""

    def __init__(self, url: str, process: Process | None = None) -> None:
        self.url = url
        self.process = process

    @contextmanager
    def bucket(self) -> Iterator[str]:
        """The address of a new empty bucket; emptied and gone afterwards when the server outlives the run."""
        name = f"test-{uuid.uuid4().hex[:12]}"
        client = self._client()
        client.make_bucket(name)
        try:
            yield urlsplit(self.url)._replace(path=f"/{name}").geturl()
        finally:
            if self.process is None:
                for entry in client.list_objects(name, recursive=True):
                    client.remove_object(name, str(entry.object_name))
                client.remove_bucket(name)

    def start(self) -> None:
        self._own().start(self._accepts)

    def stop(self) -> None:
        self._own().stop()

    def kill(self) -> None:
        self._own().kill()

    def _own(self) -> Process:
        assert self.process, "a server whose address was given is not ours to stop"
        return self.process

    def _accepts(self) -> bool:
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
    server = program("minio") or go_install(*MINIO, "minio")
    address, secret = f"{LOOPBACK}:{free_port()}", secrets.token_hex(16)
    data = folder_of(None, parent, "minio/data")
    environ = {
        "MINIO_ROOT_USER": "mlmesh",
        "MINIO_ROOT_PASSWORD": secret,
        "MINIO_UPDATE": "off",
        "MINIO_BROWSER": "off",
    }
    command = [str(server), "server", "--quiet", "--address", address, str(data)]
    return _started(address, secret, Process("minio", command, data.parent, environ))


def start_versitygw(parent: Path) -> S3:
    server = program("versitygw") or go_install(*VERSITYGW, "versitygw")
    address, secret = f"{LOOPBACK}:{free_port()}", secrets.token_hex(16)
    data = folder_of(None, parent, "versitygw/data")
    environ = {"ROOT_ACCESS_KEY": "mlmesh", "ROOT_SECRET_KEY": secret}
    command = [str(server), "--quiet", "--port", address, "posix", str(data)]
    return _started(address, secret, Process("versitygw", command, data.parent, environ))


def _started(address: str, secret: str, process: Process) -> S3:
    server = S3(f"s3://mlmesh:{secret}@{address}/", process)
    server.start()
    return server
