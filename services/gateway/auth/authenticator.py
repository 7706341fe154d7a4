"""Authenticates callers by Basic password, API key, or a bearer token of a person or an operator."""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Mapping
from dataclasses import dataclass, field

from libs.common.errors import Forbidden, NotFound, Unavailable
from libs.common.identity import ANONYMOUS, OWNER_USER, Caller
from libs.common.protocol.route_table import Api
from services.gateway.auth.csrf import CsrfGuard
from services.gateway.auth.passwords import PasswordChecker
from services.gateway.auth.tokens import TokenVerifier, hash_secret
from services.gateway.http_errors import InvalidAppCredentials, MissingCredentials
from services.gateway.proxy.access_watch import AccessWatch
from services.gateway.proxy.forwarded import TrustedProxies
from services.gateway.proxy.request import Request
from services.gateway.routing.route_table import App

MAX_CACHED_CREDENTIALS = 10_000
"""Credentials cached for each app; the cache is emptied when it is full."""
READ_METHODS = ("GET", "HEAD")
ROLE_LOST = "your role has changed since this call began; call again"


@dataclass(frozen=True)
class Credentials:
    """The credentials of a request, not verified."""

    basic: tuple[str, str] | None = None
    key: str | None = None
    bearer: str | None = None

    @property
    def is_present(self) -> bool:
        return self.basic is not None or self.key is not None or self.bearer is not None


@dataclass(frozen=True)
class Identity:
    user: str
    pipelines: frozenset[str] = field(default_factory=frozenset)


def parse_credentials(headers: Mapping[bytes, bytes]) -> Credentials:
    scheme, _, value = headers.get(b"authorization", b"").decode("latin-1").strip().partition(" ")
    key = headers.get(b"x-api-key")
    return Credentials(
        basic=_parse_basic(value.strip()) if scheme.lower() == "basic" else None,
        key=key.decode("latin-1") if key else None,
        bearer=value.strip() or None if scheme.lower() == "bearer" else None,
    )


def _parse_basic(value: str) -> tuple[str, str] | None:
    try:
        user, colon, password = b64decode(value, validate=True).decode().partition(":")
    except (NotBase64, ValueError):
        return None
    return (user, password) if colon else None


class Authenticator:
    def __init__(self, tokens: TokenVerifier, trusted_proxies: TrustedProxies, public_url: str) -> None:
        self._tokens = tokens
        self._trusted_proxies = trusted_proxies
        self._csrf_guard = CsrfGuard(public_url, trusted_proxies)
        self._passwords = PasswordChecker()

    async def authenticate_api(self, app: App, api: Api, request: Request, method: str = "") -> str:
        """The user's name on this API. Raises InvalidAppCredentials, Forbidden, TooManyRequests.

        Right passwords and API keys are cached until the app changes in the route table; bearer tokens are not.
        """
        self._csrf_guard.check(request, (api,))
        headers = request.by_name
        cache_key = (api.target, api.path, headers.get(b"x-api-key"), headers.get(b"authorization"))
        user = app.auth_cache.get(cache_key)
        if user is None:
            credentials = parse_credentials(headers)
            user = await self._find_user(app, api, credentials, request)
            if user is None:
                return await self._find_bearer_or_anonymous(app, api, credentials, request, method)
            if len(app.auth_cache) >= MAX_CACHED_CREDENTIALS:
                app.auth_cache.clear()
            app.auth_cache[cache_key] = user
        return user

    async def _find_bearer_or_anonymous(
        self, app: App, api: Api, credentials: Credentials, request: Request, method: str
    ) -> str:
        """The user of the bearer token, or the anonymous one where the API allows it. Raises InvalidAppCredentials."""
        user = await self._find_bearer_user(app, credentials, request, method, required=not api.auth.none)
        if not user and api.auth.none and (api.auth.is_open or not credentials.is_present):
            user = ANONYMOUS
        if not user:
            raise InvalidAppCredentials(app.ns, basic=api.auth.basic is not None)
        return user

    async def authenticate_runs(self, app: App, request: Request, *, has_run_id: bool) -> Identity:
        """The user and the pipelines whose runs are visible. Raises NotFound, InvalidAppCredentials, Forbidden.

        Runs of open APIs are visible to every caller who names a run's id (`has_run_id`); only owners can list them.
        """
        self._csrf_guard.check(request, app.list_run_apis())
        credentials = parse_credentials(request.by_name)
        closed_apis = tuple(api for api in app.list_run_apis() if not api.auth.is_open)
        open_apis = [
            api
            for api in app.list_run_apis()
            if api.auth.none and (has_run_id if api.auth.is_open else not credentials.is_present)
        ]
        users = await self._find_users(app, closed_apis, credentials, request)
        user = next((user for user in users if user is not None), None)
        if user is not None:
            user_apis = [api for api, api_user in zip(closed_apis, users, strict=True) if api_user == user]
            return Identity(user, _list_pipeline_names([*user_apis, *open_apis]))
        bearer_user = await self._find_bearer_user(app, credentials, request, required=not open_apis)
        if bearer_user == OWNER_USER:
            return Identity(OWNER_USER, frozenset({"*"}))
        if bearer_user:
            return Identity(bearer_user, _list_pipeline_names([*closed_apis, *open_apis]))
        if open_apis:
            return Identity(ANONYMOUS, _list_pipeline_names(open_apis))
        if not closed_apis:
            raise NotFound(f"{app.ns} has no runs: it publishes neither a pipeline nor a function")
        raise InvalidAppCredentials(app.ns, basic=any(api.auth.basic is not None for api in closed_apis))

    async def authenticate_files(self, app: App, request: Request, method: str = "") -> str:
        """The user whose files are requested. Raises NotFound, InvalidAppCredentials, Forbidden, TooManyRequests."""
        api = app.find_api("files")
        if api is None:
            credentials = parse_credentials(request.by_name)
            if await self._find_bearer_user(app, credentials, request, method, required=False) == OWNER_USER:
                return OWNER_USER
            raise NotFound(f"{app.ns} publishes no files; an APIComponent with files would publish them")
        user = await self.authenticate_api(app, api, request, method)
        if user == ANONYMOUS:
            raise Forbidden("anonymous callers have no files")
        return user

    async def can_write_files(self, app: App, request: Request) -> bool:
        """Whether the caller may also change the files. Raises NotFound, InvalidAppCredentials."""
        try:
            await self.authenticate_files(app, request, "PUT")
        except Forbidden:
            return False
        return True

    async def _find_user(self, app: App, api: Api, credentials: Credentials, request: Request) -> str | None:
        return (await self._find_users(app, (api,), credentials, request))[0]

    async def _find_users(
        self, app: App, apis: tuple[Api, ...], credentials: Credentials, request: Request
    ) -> list[str | None]:
        """The user on each API, None where the credentials do not match. All passwords count as one attempt."""
        matching: frozenset[str] = frozenset()
        name = ""
        secrets = {api.auth.basic for api in apis if api.auth.basic is not None}
        if secrets and credentials.basic is not None:
            name, password = credentials.basic
            matching = await self._passwords.find_matching_secrets(
                app, secrets, name, password, lambda: self._trusted_proxies.get_client_address(request)
            )
        key_user = _find_key_user(app, credentials)
        return [
            name if api.auth.basic in matching else (key_user or None) if api.auth.api_key else None for api in apis
        ]

    async def _find_bearer_user(
        self, app: App, credentials: Credentials, request: Request, method: str = "", *, required: bool
    ) -> str:
        """The user for whom a bearer token calls: OWNER_USER for developers and owners; empty when it is for no role.

        The response ends when that changes. Raises Forbidden when the role does not suffice, Unavailable only when
        `required`.
        """
        bearer = credentials.bearer
        if bearer is None:
            return ""
        method = method or ("WEBSOCKET" if request.take_transport is not None else request.method)
        try:
            caller = await self._tokens.verify(bearer)
        except MissingCredentials:
            return ""
        except Unavailable:
            if required:
                raise
            return ""
        user = find_role_user(caller, app.ns, method)

        async def check_user() -> None:
            if find_role_user(await self._tokens.verify(bearer), app.ns, method) != user:
                raise Forbidden(ROLE_LOST)

        if user and request.access_watch is None:
            request.access_watch = AccessWatch(check_user)
        return user


def find_role_user(caller: Caller, ns: str, method: str) -> str:
    """The user for whom the caller calls this app; empty when the caller has no role there. Raises Forbidden."""
    if caller.has_scope("develop", ns):
        return OWNER_USER
    if caller.person and caller.has_scope("call", ns):
        if caller.person in (OWNER_USER, ANONYMOUS):
            raise Forbidden(f'a person named "{caller.person}" cannot call apps; ask an administrator for another name')
        return caller.person
    if not caller.has_scope("read", ns):
        return ""
    if method not in READ_METHODS:
        raise Forbidden(f"you need the role caller for {ns}" if caller.person else "this token is read-only")
    return OWNER_USER


def _find_key_user(app: App, credentials: Credentials) -> str:
    """The user of the API key; empty when no key matches."""
    keys = (key for key in (credentials.key, credentials.bearer) if key is not None)
    return next((user for key in keys if (user := app.keys.get(hash_secret(key), ""))), "")


def _list_pipeline_names(apis: list[Api]) -> frozenset[str]:
    return frozenset("*" if api.target == "pipelines" else api.name or "" for api in apis)
