"""Where a repository is on its forge's web server, from the address that Git fetches. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, unquote

WEB_HOSTS = {
    "ssh.github.com": "github.com",
    "altssh.gitlab.com": "gitlab.com",
    "altssh.bitbucket.org": "bitbucket.org",
    "ssh.dev.azure.com": "dev.azure.com",
    "vs-ssh.visualstudio.com": "dev.azure.com",
}
"""Hosts that forges have for ssh through port 443."""
FORGE_HOSTS = {
    "github.com": "github",
    "gitlab.com": "gitlab",
    "bitbucket.org": "bitbucket",
    "codeberg.org": "forgejo",
    "gitea.com": "gitea",
    "dev.azure.com": "azure",
}
FORGE_DOMAINS = {".ghe.com": "github", ".visualstudio.com": "azure"}
"""Each customer of these has a host of their own."""


@dataclass(frozen=True)
class RepositoryAddress:
    """`origin` is scheme, host and port of the web server; `parts` are those of the path, decoded, without `.git`."""

    origin: str
    host: str
    parts: tuple[str, ...]

    @property
    def prefix(self) -> str:
        """The web server's own path before owner and name: forges may be installed below one."""
        return self.encode(*self.parts[:-2])

    @property
    def name(self) -> str:
        """`/owner/name`."""
        return self.encode(*self.parts[-2:])

    @staticmethod
    def encode(*parts: str) -> str:
        return "".join(f"/{quote(part, safe='~')}" for part in parts)


def make_address(scheme: str, host: str, port: str, path: str) -> RepositoryAddress:
    """`port` begins with a colon, or is empty for the scheme's own. Of ssh the web server is at https of the host."""
    host = WEB_HOSTS.get(host, host)
    authority = f"[{host}]" if ":" in host else host
    origin = f"{scheme}://{authority}{port}" if scheme in ("http", "https") else f"https://{authority}"
    names = [unquote(part) for part in path.split("/") if part]
    names[-1:] = [name.removesuffix(".git") for name in names[-1:]]
    return RepositoryAddress(origin, host, tuple(names))


def find_forge_of_host(host: str) -> str | None:
    """The name of a forge whose host is known."""
    domains = (forge for domain, forge in FORGE_DOMAINS.items() if host.endswith(domain))
    return FORGE_HOSTS.get(host) or next(domains, None)
