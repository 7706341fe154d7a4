"""Who is calling: Basic passwords, API keys and the tokens of an app's owners."""

from __future__ import annotations

import asyncio
import hashlib
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Mapping
from dataclasses import dataclass, field

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from libs.common.errors import Forbidden, NotFound, Unauthorized, Unavailable
from libs.common.identity import ANONYMOUS, OWNER, Caller
from services.gateway.memo import Memo
from services.gateway.refusals import NoCredentials, NotACaller
from services.gateway.services import Service
from services.gateway.table import Api, App

CALLERS = 10_000
"""Remembered for each app."""
AT_ONCE = 2
"""Passwords checked at the same time: each takes a CPU and 64 MB for a moment."""
READING = ("GET", "HEAD")


@dataclass(frozen=True)
class Credentials:
    """What a request shows; none of it is checked."""

    basic: tuple[str, str] | None = None
    key: str | None = None
    bearer: str | None = None

    @property
    def given(self) -> bool:
        return self.basic is not None or self.key is not None or self.bearer is not None


@dataclass(frozen=True)
class Identity:
    user: str
    pipelines: frozenset[str] = field(default_factory=frozenset)


def credentials(headers: Mapping[bytes, bytes]) -> Credentials:
    scheme, _, value = headers.get(b"authorization", b"").decode("latin-1").strip().partition(" ")
    key = headers.get(b"x-api-key")
    return Credentials(
        basic=_basic(value.strip()) if scheme.lower() == "basic" else None,
        key=key.decode("latin-1") if key else None,
        bearer=value.strip() or None if scheme.lower() == "bearer" else None,
    )


def _basic(value: str) -> tuple[str, str] | None:
    try:
        user, colon, password = b64decode(value, validate=True).decode().partition(":")
    except (NotBase64, ValueError):
        return None
    return (user, password) if colon else None


class Tokens:
    """API tokens, as registry knows them."""

    def __init__(self, registry: Service) -> None:
        self._registry = registry
        self._memo: Memo[str, Caller] = Memo()

    async def caller(self, token: str) -> Caller:
        """Raises NoCredentials when the token is not valid, Unavailable when that cannot be said now."""
        digest = _digest(token)
        if (known := self._memo.get(digest)) is not None:
            return known
        try:
            found = await self._registry.ask("POST", "/internal/tokens/verify", {"token": token})
        except Unauthorized as error:
            raise NoCredentials() from error
        caller = Caller(token_name=found["name"], scopes=frozenset(found["scopes"]))
        self._memo.put(digest, caller)
        return caller


class Auth:
    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._hasher = PasswordHasher()
        self._nobody = self._hasher.hash("nobody")
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._memo: Memo[tuple[str, str], bool] = Memo()

    async def of_api(self, app: App, api: Api, headers: Mapping[bytes, bytes], method: str) -> str:
        """The user's name on this API. Raises NotACaller, Forbidden.

        Who was let in by what the app itself knows is let in again while the app stays as it is.
        """
        shown = (api.target, api.path, headers.get(b"x-api-key"), headers.get(b"authorization"))
        user = app.callers.get(shown)
        if user is None:
            given = credentials(headers)
            user = await self._user(app, api, given)
            if user is None:
                return await self._other(app, api, given, method)
            if len(app.callers) >= CALLERS:
                app.callers.clear()
            app.callers[shown] = user
        return user

    async def _other(self, app: App, api: Api, given: Credentials, method: str) -> str:
        """An owner, or anybody where that is said."""
        user = None
        if await self._owner(app, given, method, needed=not api.none):
            user = OWNER
        elif api.none and (api.open or not given.given):
            user = ANONYMOUS
        if user is None:
            raise NotACaller(app.ns)
        return user

    async def of_runs(self, app: App, given: Credentials, method: str) -> Identity:
        """The user and the pipelines whose runs may be seen. Raises NotFound, NotACaller, Forbidden."""
        good = [(await self._user(app, api, given), api) for api in app.pipelines()]
        user = next((user for user, _ in good if user is not None), None)
        if user is not None:
            return Identity(user, _names([api for found, api in good if found == user]))
        free = [api for api in app.pipelines() if api.none and (api.open or not given.given)]
        if await self._owner(app, given, method, needed=not free):
            return Identity(OWNER, frozenset({"*"}))
        if free:
            return Identity(ANONYMOUS, _names(free))
        raise NotACaller(app.ns) if good else NotFound()

    async def of_files(self, app: App, headers: Mapping[bytes, bytes], method: str) -> str:
        """The user whose files these are. Raises NotFound, NotACaller, Forbidden."""
        api = app.api("files")
        if api is None and await self._owner(app, credentials(headers), method, needed=False):
            return OWNER
        if api is None:
            raise NotFound()
        user = await self.of_api(app, api, headers, method)
        if user == ANONYMOUS:
            raise Forbidden("anonymous callers have no files")
        return user

    async def may_write_files(self, app: App, headers: Mapping[bytes, bytes]) -> bool:
        """Whether somebody who reads these files may change them, too. Raises NotFound, NotACaller."""
        try:
            await self.of_files(app, headers, "PUT")
        except Forbidden:
            return False
        return True

    async def _user(self, app: App, api: Api, given: Credentials) -> str | None:
        if api.basic is not None and given.basic is not None:
            user, password = given.basic
            if await self._password(app, api.basic, user, password):
                return user
        for key in (given.key, given.bearer):
            if api.api_key and key is not None and (user := app.keys.get(_digest(key), "")):
                return user
        return None

    async def _password(self, app: App, secret: str, user: str, password: str) -> bool:
        hashed = app.users.get(secret, {}).get(user)
        memo = (hashed or self._nobody, _digest(password))  # a changed password is a changed hash
        if (known := self._memo.get(memo)) is not None:
            return known
        async with self._turn:
            if (known := self._memo.get(memo)) is not None:
                return known
            good = await asyncio.to_thread(self._matches, hashed or self._nobody, password) and hashed is not None
            self._memo.put(memo, good)
        return good

    def _matches(self, hashed: str, password: str) -> bool:
        try:
            return self._hasher.verify(hashed, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _owner(self, app: App, given: Credentials, method: str, *, needed: bool) -> bool:
        """An owner's token is given; Forbidden when it is one that may only read."""
        if given.bearer is None:
            return False
        try:
            caller = await self._tokens.caller(given.bearer)
        except NoCredentials:
            return False
        except Unavailable:
            if needed:
                raise
            return False
        if caller.may("read" if method in READING else "write", app.ns):
            return True
        if caller.may("read", app.ns):
            raise Forbidden("this token may only read")
        return False


def _names(apis: list[Api]) -> frozenset[str]:
    return frozenset("*" if api.target == "pipelines" else api.name or "" for api in apis)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
