"""The servers themselves: what the other tests rely on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import aio_pika
import asyncpg
import pytest
from minio import Minio

from tests.servers import postgres, rabbitmq, standins
from tests.servers.engine import Engine
from tests.servers.leftovers import identity, owned
from tests.servers.rabbitmq import RabbitMQ

SWEPT_WITHIN_S = 10.0


async def test_each_test_gets_an_empty_database(postgres_url: str) -> None:
    connection = await asyncpg.connect(postgres_url.replace("+asyncpg", ""))
    assert await connection.fetchval("select count(*) from pg_tables where schemaname = 'public'") == 0
    await connection.close()


async def test_a_virtual_host_accepts_a_queue(rabbitmq_url: str) -> None:
    connection = await aio_pika.connect(rabbitmq_url)
    channel = await connection.channel()
    queue = await channel.declare_queue("q", durable=True, arguments={"x-queue-type": "quorum"})
    assert queue.declaration_result.message_count == 0
    await connection.close()


async def test_a_stopped_broker_keeps_its_address_and_queues(rabbitmq_server: RabbitMQ) -> None:
    with rabbitmq_server.virtual_host() as url:
        connection = await aio_pika.connect(url)
        channel = await connection.channel()
        await channel.declare_queue("kept", durable=True, arguments={"x-queue-type": "quorum"})
        await connection.close()
        rabbitmq_server.stop()
        with pytest.raises(ConnectionError):
            await aio_pika.connect(url)
        rabbitmq_server.start()
        connection = await aio_pika.connect(url)
        channel = await connection.channel()
        await channel.declare_queue("kept", passive=True)
        await connection.close()


async def test_a_server_can_come_from_an_image(
    docker_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLMESH_TEST_DOCKER", docker_engine.url)
    for variable, image in standins.server_images(docker_engine).items():
        monkeypatch.setenv(variable, image)
    database, broker = postgres.from_image(), rabbitmq.from_image(tmp_path)
    try:
        async with database.database() as url:
            assert url.rpartition("/")[2].startswith("test_")
        with broker.virtual_host() as url:
            connection = await aio_pika.connect(url)
            broker.kill()
            broker.start()
            await connection.close()
    finally:
        database.close()
        broker.close()


@pytest.mark.parametrize("server", ["minio_url", "s3_second_url"])
def test_a_bucket_is_empty_and_keeps_an_object(server: str, request: pytest.FixtureRequest) -> None:
    address = urlsplit(request.getfixturevalue(server))
    client = Minio(f"{address.hostname}:{address.port}", address.username, address.password, secure=False)
    bucket = address.path.strip("/")
    assert list(client.list_objects(bucket)) == []
    client.fput_object(bucket, "file", __file__)
    assert [entry.object_name for entry in client.list_objects(bucket)] == ["file"]


def test_the_python_image_runs_numpy(docker_engine: Engine, python_image: str) -> None:
    assert docker_engine.run("run", "--rm", python_image, "python3", "-c", "import numpy; print(1)") == "1"


def test_a_run_that_is_killed_leaves_no_server_behind(tmp_path: Path) -> None:
    run = subprocess.Popen(
        [sys.executable, "-m", "tests.servers", "up", "postgres"],
        env={name: value for name, value in os.environ.items() if name != "MLMESH_TEST_POSTGRES"},
        stdout=subprocess.PIPE,
    )
    assert run.stdout is not None
    assert b"MLMESH_TEST_POSTGRES" in run.stdout.readline()
    owner = identity(run.pid)
    assert any(whose == owner for _, whose in owned())
    run.send_signal(signal.SIGKILL)
    run.communicate()
    deadline = time.monotonic() + SWEPT_WITHIN_S
    while any(whose == owner for _, whose in owned()):
        assert time.monotonic() < deadline, "the guard did not end them"
        time.sleep(0.1)
