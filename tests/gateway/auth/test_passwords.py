"""Wrong passwords lead to 429 for the client that sends them, and for no other."""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial
from typing import Any

import pytest

from libs.common.passwords import HASHER, verify_hash
from services.gateway.auth import passwords
from services.gateway.auth.password_throttle import USER_LIMIT, PasswordThrottle
from services.gateway.auth.passwords import PasswordChecker
from services.gateway.routing.route_table import App
from tests.gateway.fake_clock import FakeClock
from tests.gateway.mesh import ALICE, CHEAP_HASHER, Mesh, api_document, app_document, basic_auth, publish_app

PREDICT = "/demo/digits/predict"


@pytest.fixture(autouse=True)
def stopped_clock(monkeypatch: pytest.MonkeyPatch, clock: FakeClock) -> None:
    """The throttle of the gateway allows no further attempt while a test runs, however long that takes."""
    monkeypatch.setattr(passwords, "PasswordThrottle", partial(PasswordThrottle, clock))


async def status(mesh: Mesh, headers: dict[str, str], path: str = PREDICT, method: str = "POST") -> int:
    return (await mesh.call(method, path, headers=headers))[0]


async def test_wrong_passwords_of_a_user_are_refused_after_a_few(mesh: Mesh) -> None:
    tries = [await status(mesh, basic_auth("alice", f"wrong-{number}")) for number in range(USER_LIMIT.burst + 3)]
    assert tries == [401] * USER_LIMIT.burst + [429] * 3
    code, headers, problem = await mesh.call("POST", PREDICT, headers=basic_auth("alice", "one more"))
    assert (code, problem["retryable"]) == (429, True)
    assert 0 < int(headers["Retry-After"]) <= USER_LIMIT.refill_s
    assert problem["detail"] == "too many wrong passwords for this user from this address; wait before the next"


@pytest.mark.parametrize("user", ["alice", "nobody-of-this-name"])
async def test_users_who_are_there_and_who_are_not_are_refused_alike(mesh: Mesh, user: str) -> None:
    tries = [await status(mesh, basic_auth(user, f"wrong-{number}")) for number in range(USER_LIMIT.burst + 1)]
    assert tries == [401] * USER_LIMIT.burst + [429]


async def test_the_same_wrong_password_again_is_no_further_guess(mesh: Mesh) -> None:
    tries = [await status(mesh, basic_auth("alice", "wrong")) for _ in range(USER_LIMIT.burst + 3)]
    assert set(tries) == {401}


async def test_a_storm_of_wrong_passwords_leaves_others_alone(mesh: Mesh) -> None:
    users = {"people": {"alice": CHEAP_HASHER.hash("secret"), "bob": CHEAP_HASHER.hash("secret")}}
    await publish_app(mesh, app_document(mesh.component.port, users=users))
    assert await status(mesh, ALICE) == 200
    storm = [status(mesh, basic_auth("alice", f"wrong-{number}")) for number in range(100)]
    statuses = await asyncio.gather(*storm)
    assert Counter(statuses) == {401: USER_LIMIT.burst, 429: 100 - USER_LIMIT.burst}
    assert await status(mesh, ALICE) == 200
    assert await status(mesh, basic_auth("bob", "secret")) == 200


async def test_many_first_calls_with_one_right_password_are_one_check(mesh: Mesh) -> None:
    statuses = await asyncio.gather(*(status(mesh, ALICE, "/demo/runs", "GET") for _ in range(USER_LIMIT.burst * 3)))
    assert set(statuses) == {200}


async def test_a_user_of_the_last_of_many_pipelines_is_no_guesser(mesh: Mesh) -> None:
    names = [f"people-{number}" for number in range(USER_LIMIT.burst + 5)]
    users: dict[str, Any] = {name: {"eve": CHEAP_HASHER.hash("other")} for name in names}
    users[names[-1]] = {"alice": CHEAP_HASHER.hash("secret")}
    apis = [api_document("pipeline", name, name, basic=name) for name in names]
    await publish_app(mesh, app_document(apis=apis, users=users))
    for _ in range(3):
        assert await status(mesh, ALICE, "/demo/runs", "GET") == 200


@pytest.mark.parametrize("user", ["alice", "nobody"])
async def test_a_user_who_is_there_is_as_much_work_as_one_who_is_not(user: str) -> None:
    checked: list[str] = []

    def verify(hashed: str, password: str) -> bool:
        checked.append(hashed.rsplit("$", 2)[0])
        return verify_hash(hashed, password)

    app = App("demo", users={"one": {"alice": HASHER.hash("a")}, "two": {"alice": HASHER.hash("b")}, "three": {}})
    right = await PasswordChecker(verify).find_matching_secrets(
        app, ("one", "two", "three"), user, "wrong", lambda: "192.0.2.1"
    )
    assert right == frozenset()
    assert checked == ["$argon2id$v=19$m=7168,t=5,p=1"] * 3
