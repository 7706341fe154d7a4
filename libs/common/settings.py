"""Settings: `MLMESH_…` in the environment, read once by the command and passed down.

`MLMESH_X_FILE` reads the value of X from a file. The table in docs/settings.md is made from the fields below.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import ByteSize, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

PREFIX = "MLMESH_"
UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
CLIENT_NAMES = frozenset({"URL", "TOKEN"})
"""Settings of the command-line client, not of the services."""
PRIVATE_NETWORKS = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
LOOPBACK_NETWORKS = ("127.0.0.0/8", "::1/128")
DEFAULT_PORTS = {"gateway": 8000, "registry": 8011, "scheduler": 8012, "databox": 8013, "worker": 8014}

WordList = Annotated[tuple[str, ...], NoDecode]
PairMap = Annotated[dict[str, str], NoDecode]


class BadSetting(Exception):
    """A setting has a value that cannot be used."""


def _default_data_folder() -> Path:
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "mlmesh"


def _default_repository_folders() -> tuple[str, ...]:
    """Usual folders of repositories on this host; never `/`, in which a service may run."""
    folders = (str(folder.resolve()) for folder in (Path.home(), Path.cwd(), Path(tempfile.gettempdir())))
    return tuple(folder for folder in dict.fromkeys(folders) if folder != "/")


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    database: str = Field(
        "", description="`sqlite+aiosqlite:///…` or `postgresql+asyncpg://…`; default: a file in DATA"
    )
    bus: str = Field("memory://", description="`memory://` or `amqp://user:password@host:port/vhost`")
    store: str = Field(
        "", description="`file:///…` or `s3://access:secret@host:port/bucket[?tls=1]`; default: a folder in DATA"
    )
    runtime: str = Field("process://", description="`process://` or `docker://` (an engine's address may follow)")
    data: Path = Field(
        default_factory=_default_data_folder,
        description="folder of what this host keeps: caches, the table, embedded parts",
    )
    host: str = Field("127.0.0.1", description="address to listen on")
    port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="port to listen on; default 8000 gateway, 8011 registry, 8012 scheduler, 8013 databox, 8014 worker",
    )
    public_url: str = Field("http://127.0.0.1:8000", description="what callers type; links are made from it")
    app_hosts: str | None = Field(
        None,
        description="domain in which each app has a host of its own, `{app}.DOMAIN`, for its pages in browsers;"
        " default: `localhost` where PUBLIC_URL is on this machine, else none; empty: none",
    )
    store_public_url: str | None = Field(
        None,
        description="address of the S3 server as callers reach it: links of files lead there; default: the gateway",
    )
    gateway_processes: int = Field(1, ge=1, le=64, description="processes of the gateway, all on its port")
    body_limit: int = Field(100_000_000, gt=0, description="bytes that a call, other than of files, may have")
    file_limit: int = Field(5_000_000_000, gt=0, description="bytes that an uploaded file may have")
    caller_rate: float | None = Field(
        None, gt=0, description="predictions a second for each caller and gateway process; default: any number"
    )
    callback_networks: WordList = Field(
        (), description="networks that callbacks of runs may reach besides public addresses, comma-separated"
    )
    repository_folders: WordList = Field(
        default_factory=_default_repository_folders,
        description="folders in which repositories of `file://` may be, comma-separated; default: the home of the"
        " service's user, the folder it was started in, the temporary folder; never the mesh's own data",
    )
    repository_networks: WordList | None = Field(
        None,
        description="networks in which hosts of repositories may be besides public addresses, comma-separated;"
        " default: private ones (10/8, 172.16/12, 192.168/16, 100.64/10, fc00::/7), and loopback where HOST is one",
    )
    run_log: bool = Field(False, description="scheduler logs the start and the end of each run; `mlmesh up` does")
    access_log: bool = Field(False, description="gateway writes a line of JSON on standard output for each request")
    trusted_proxies: WordList = Field((), description="addresses whose X-Forwarded-* count, comma-separated")
    admin_token: str | None = Field(None, description="a token with every scope")
    internal_token: str = Field("", description="shared secret between services; required outside `mlmesh up`")
    secret_key: str = Field("", description="encrypts secret values, registry only; required outside `mlmesh up`")
    secret_key_old: str = Field(
        "", description="a former secret key that values may still be encrypted with, until `mlmesh secret rekey`"
    )
    secret_sources: PairMap = Field(
        default_factory=dict,
        description="where registry reads values of Secrets: `app/secret=file:/folder,app/secret=env:PREFIX_`",
    )
    registry_url: str = Field("http://127.0.0.1:8011", description="where registry answers")
    scheduler_url: str = Field("http://127.0.0.1:8012", description="where scheduler answers")
    databox_url: str = Field("http://127.0.0.1:8013", description="where databox answers")
    scratch: Path | None = Field(
        None, description="worker's folder for stages' files; with Docker the same path on the host; default: in DATA"
    )
    scratch_limit: ByteSize = Field(
        "100G", validate_default=True, description="what the files of one stage may take of the worker's disk"
    )
    disk_reserve: ByteSize | None = Field(
        None,
        description="bytes of the disk that stay free for the platform: stages end and uploads and runs are refused"
        " (507) before it is touched; default: 256 MB, or a twentieth of a small disk",
    )
    worker_name: str = Field("", description="unique name of a worker; default: the host's name")
    worker_slots: int = Field(
        default_factory=lambda: max(2, os.cpu_count() or 1),
        ge=1,
        description="stages at once; default: the number of CPUs",
    )
    task_memory: ByteSize | None = Field(
        None,
        description="memory of a container whose manifest says none (Docker); default: the engine's, divided by slots",
    )
    worker_classes: WordList = Field(("cpu",), description="resource classes this worker takes, comma-separated")
    worker_labels: PairMap = Field(default_factory=dict, description="`key=value,…` shown with the worker")
    worker_advertise: str | None = Field(
        None, description="this host's address for the others, on which components are reached (many hosts)"
    )
    base_image: str = Field(
        "python:{python}-slim",
        min_length=1,
        description="image that written Dockerfiles begin with; `{python}` stands for the version of Python",
    )
    images: str | None = Field(
        None,
        description="where built images are pushed to, as in `registry.example/mlmesh`; default: they stay on the"
        " engine that built them",
    )
    images_login: str | None = Field(
        None,
        pattern=r"[^:]+:.+",
        description="`user:password` with which workers push and pull at IMAGES; default: without a password",
    )
    app_subnets: str = Field("10.210.0.0/16", description="networks of apps are /26 pieces of this")
    link_local: bool = Field(
        False, description="containers of apps may reach 169.254.0.0/16, where a cloud tells a host's credentials"
    )
    lease: float = Field(
        15.0, gt=0, description="lease duration: tasks are reassigned after this time without heartbeat"
    )
    warm_time: float = Field(
        300.0,
        ge=0,
        description="how long instances that a newer deployment has replaced run on, so that a rollback to them starts"
        " nothing; they take memory. `0s`: they are stopped at once",
    )
    waiting_runs: int = Field(100, ge=1, description="runs of one app that may wait to be started; more are 429")
    app_stages: int | None = Field(
        None, ge=1, description="stages of one app that may be at work at once; default: any number"
    )
    retention: float = Field(
        30 * 86400.0,
        gt=0,
        description="how long ended runs and their logs are kept; `retention` of a PlatformApp overrules",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="minimum log level")
    log_format: Literal["text", "json"] = Field(
        default_factory=lambda: "text" if sys.stderr.isatty() else "json",
        description="default: text on a terminal, else json",
    )

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_sources: Any, **_named: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)  # `load_settings` reads the environment, with files, warnings and clear errors

    @classmethod
    def from_values(cls, **values: Any) -> Self:
        """Settings from `values` and defaults, without the environment."""
        return cls(**values)

    @field_validator(
        "trusted_proxies", "worker_classes", "callback_networks", "repository_folders", "repository_networks",
        mode="before",
    )  # fmt: skip
    @classmethod
    def _split_words(cls, value: Any) -> Any:
        return tuple(word.strip() for word in value.split(",") if word.strip()) if isinstance(value, str) else value

    @field_validator("worker_labels", "secret_sources", mode="before")
    @classmethod
    def _split_pairs(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        pairs = [pair.partition("=") for pair in value.split(",") if pair.strip()]
        if any(not equals for _, equals, _ in pairs):
            raise ValueError("write key=value,key=value")
        return {key.strip(): text.strip() for key, _, text in pairs}

    @field_validator("log_level", "log_format", mode="before")
    @classmethod
    def _lower_case(cls, value: Any) -> Any:
        return value.strip().lower() if isinstance(value, str) else value

    @field_validator("callback_networks", "repository_networks", mode="after")
    @classmethod
    def _check_networks(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for network in value or ():
            try:
                ip_network(network)
            except ValueError as error:
                raise ValueError(f"{network} is not a network; write 10.0.0.0/8") from error
        return value

    @field_validator("repository_folders", mode="after")
    @classmethod
    def _check_absolute(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for folder in value:
            if not folder.startswith("/"):
                raise ValueError(f"{folder} is not an absolute path; write /srv/repositories")
        return value

    @field_validator("secret_sources", mode="after")
    @classmethod
    def _check_sources(cls, value: dict[str, str]) -> dict[str, str]:
        for place, source in value.items():
            if not re.fullmatch(r"[a-z0-9-]+/[a-z0-9-]+", place):
                raise ValueError(f"{place} is not the name of an app and of its Secret; write app/secret")
            if not re.fullmatch(r"file:/.+|env:[A-Za-z_][A-Za-z0-9_]*", source):
                raise ValueError(f"{source} is no source; write file:/folder or env:PREFIX_")
            if source.startswith(f"env:{PREFIX}"):
                raise ValueError(f"{source} would give away the mesh's own settings; choose another prefix")
        return value

    @field_validator("lease", "retention", "warm_time", mode="before")
    @classmethod
    def _parse_duration(cls, value: Any) -> Any:
        match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", value) if isinstance(value, str) else None
        return float(match[1]) * UNITS_S[match[2]] if match else value

    @field_validator("public_url", "registry_url", "scheduler_url", "databox_url", "store_public_url", mode="after")
    @classmethod
    def _check_url(cls, value: str | None) -> str | None:
        if value is not None and not re.match(r"https?://[^/]+", value):
            raise ValueError("write http://host:port")
        return value.rstrip("/") if value else value

    @field_validator("app_hosts", mode="after")
    @classmethod
    def _check_domain(cls, value: str | None) -> str | None:
        if value and not re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:\d+)?", value.lower()):
            raise ValueError(f"{value} is not a domain; write apps.example.org, without * and without http://")
        return value and value.lower()

    @property
    def database_url(self) -> str:
        return self.database or f"sqlite+aiosqlite:///{self.data / 'mlmesh.db'}"

    @property
    def store_url(self) -> str:
        return self.store or f"file://{self.data / 'store'}"

    @property
    def reachable_repository_networks(self) -> tuple[str, ...]:
        """Networks of repositories besides public ones; with loopback only if no other host can reach the mesh."""
        if self.repository_networks is not None:
            return self.repository_networks
        host = self.host.strip("[]")
        is_local = host in ("localhost", "::1") or host.startswith("127.")
        return (*PRIVATE_NETWORKS, *(LOOPBACK_NETWORKS if is_local else ()))

    @property
    def app_domain(self) -> str | None:
        """The domain of the apps' own hosts; None: they have none."""
        if self.app_hosts is not None:
            return self.app_hosts or None
        from libs.common.http.addresses import is_loopback

        return "localhost" if is_loopback(urlsplit(self.public_url).hostname or "") else None

    @property
    def scratch_folder(self) -> Path:
        return self.scratch or self.data / "scratch"

    def with_values(self, **values: Any) -> Self:
        """A validated copy with `values`."""
        return type(self)(**{**{name: getattr(self, name) for name in self.model_fields_set}, **values})


def load_settings(environ: Mapping[str, str] | None = None, **overrides: Any) -> tuple[Settings, list[str]]:
    """The settings of this process, and warnings about unknown variables; `overrides` have precedence.

    Raises BadSetting, which names the variable.
    """
    values, warnings = _read_environment(os.environ if environ is None else environ)
    try:
        return Settings(**{**values, **{key: value for key, value in overrides.items() if value is not None}}), warnings
    except ValidationError as error:
        first = error.errors()[0]
        name = PREFIX + str(first["loc"][0]).upper()
        raise BadSetting(f"{name}: {first['msg'].removeprefix('Value error, ')}") from error


def _read_environment(environ: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    values: dict[str, str] = {}
    warnings: list[str] = []
    for variable in sorted(environ):
        if not variable.startswith(PREFIX):
            continue
        name = variable.removeprefix(PREFIX)
        field, from_file = name.removesuffix("_FILE").lower(), name.endswith("_FILE")
        if field not in Settings.model_fields:
            if name not in CLIENT_NAMES and not name.startswith(("TEST_", "COMPOSE_")):
                warnings.append(f"{variable} is not a setting of mlmesh and is ignored")
            continue
        values[field] = _read_file(variable, Path(environ[variable])) if from_file else environ[variable]
    return values, warnings


def _read_file(variable: str, path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError as error:
        raise BadSetting(f"{variable}: cannot read {path}: {error.strerror}") from error


def require_settings(settings: Settings, *names: str) -> None:
    """Raises BadSetting unless each of `names` has a value."""
    for name in names:
        if not getattr(settings, name):
            raise BadSetting(f"{PREFIX}{name.upper()} is not set; it has no default outside `mlmesh up`")
