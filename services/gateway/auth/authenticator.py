"""Who is calling: Basic passwords, API keys and the tokens of an app's owners."""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Mapping
from dataclasses import dataclass, field

from libs.common.errors import Forbidden, NotFound, Unavailable
from libs.common.identity import ANONYMOUS, OWNER
from services.gateway.auth.csrf import Sites
from services.gateway.auth.passwords import Passwords
from services.gateway.auth.tokens import Tokens, digest
from services.gateway.http_errors import NoCredentials, NotACaller
from services.gateway.proxy.forwarded import Proxies
from services.gateway.proxy.request import Request
from services.gateway.routing.route_table import Api, App

CALLERS = 10_000
"""Remembered for each app."""
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


class Auth:
    def __init__(self, tokens: Tokens, proxies: Proxies, public_url: str) -> None:
        self._tokens = tokens
        self._proxies = proxies
        self._sites = Sites(public_url, proxies)
        self._passwords = Passwords()

    async def of_api(self, app: App, api: Api, request: Request, method: str = "") -> str:
        """The user's name on this API. Raises NotACaller, Forbidden, TooManyRequests.

        Who was let in by what the app itself knows is let in again while the app stays as it is.
        """
        self._sites.check(request, (api,))
        headers = request.by_name
        shown = (api.target, api.path, headers.get(b"x-api-key"), headers.get(b"authorization"))
        user = app.callers.get(shown)
        if user is None:
            given = credentials(headers)
            user = await self._user(app, api, given, request)
            if user is None:
                return await self._other(app, api, given, method or request.method)
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
            raise NotACaller(app.ns, basic=api.basic is not None)
        return user

    async def of_runs(self, app: App, request: Request, *, named: bool) -> Identity:
        """The user and the pipelines whose runs may be seen. Raises NotFound, NotACaller, Forbidden.

        `named`: the request names a run. Runs of APIs that are open to all are for who knows their ids.
        """
        self._sites.check(request, app.pipelines())
        given = credentials(request.by_name)
        apis = tuple(api for api in app.pipelines() if not api.open)
        free = [api for api in app.pipelines() if api.none and (named if api.open else not given.given)]
        users = await self._users(app, apis, given, request)
        user = next((user for user in users if user is not None), None)
        if user is not None:
            own = [api for api, found in zip(apis, users, strict=True) if found == user]
            return Identity(user, _names([*own, *free]))
        if await self._owner(app, given, request.method, needed=not free):
            return Identity(OWNER, frozenset({"*"}))
        if free:
            return Identity(ANONYMOUS, _names(free))
        if not apis:
            raise NotFound(f"{app.ns} publishes neither a pipeline nor a function, and has no runs")
        raise NotACaller(app.ns, basic=any(api.basic is not None for api in apis))

    async def of_files(self, app: App, request: Request, method: str = "") -> str:
        """The user whose files these are. Raises NotFound, NotACaller, Forbidden, TooManyRequests."""
        method = method or request.method
        api = app.api("files")
        if api is None and await self._owner(app, credentials(request.by_name), method, needed=False):
            return OWNER
        if api is None:
            raise NotFound(f"{app.ns} publishes no files: an APIComponent with files would")
        user = await self.of_api(app, api, request, method)
        if user == ANONYMOUS:
            raise Forbidden("anonymous callers have no files")
        return user

    async def may_write_files(self, app: App, request: Request) -> bool:
        """Whether somebody who reads these files may change them, too. Raises NotFound, NotACaller."""
        try:
            await self.of_files(app, request, "PUT")
        except Forbidden:
            return False
        return True

    async def _user(self, app: App, api: Api, given: Credentials, request: Request) -> str | None:
        return (await self._users(app, (api,), given, request))[0]

    async def _users(self, app: App, apis: tuple[Api, ...], given: Credentials, request: Request) -> list[str | None]:
        """For each API who it is there, None when nobody. All its passwords are one try."""
        right: frozenset[str] = frozenset()
        name = ""
        secrets = {api.basic for api in apis if api.basic is not None}
        if secrets and given.basic is not None:
            name, password = given.basic
            right = await self._passwords.right(app, secrets, name, password, lambda: self._proxies.caller(request))
        key = _key(app, given)
        return [name if api.basic in right else (key or None) if api.api_key else None for api in apis]

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


def _key(app: App, given: Credentials) -> str:
    """Whose API key is given; nobody's is empty."""
    keys = (key for key in (given.key, given.bearer) if key is not None)
    return next((user for key in keys if (user := app.keys.get(digest(key), ""))), "")


def _names(apis: list[Api]) -> frozenset[str]:
    return frozenset("*" if api.target == "pipelines" else api.name or "" for api in apis)
