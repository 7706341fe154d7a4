"""What each forge is sent, and what its answers mean."""

from __future__ import annotations

import base64
import json

import pytest

from services.registry.forges.access_tokens import AccessToken
from services.registry.forges.commit_status import CommitState, CommitStatus
from services.registry.forges.repository_address import find_forge_of_host, make_address
from services.registry.forges.status_apis import STATUS_APIS, UnknownAddress, cut_key

COMMIT = "6f1c2b7d9a8e4f3021c5b6a7d8e9f0a1b2c3d4e5"
PAGE = "https://mesh.example/api/v1/apps/leaf/deployments/d1"
STATUS = CommitStatus(COMMIT, CommitState.RUNNING, "starting: 2 of 3", "mlmesh/leaf", PAGE)
TOKEN = AccessToken("t0ken")
LOGIN = AccessToken("t0ken", "ann")
BASIC = "Basic " + base64.b64encode(b"ann:t0ken").decode()
NO_USER = "Basic " + base64.b64encode(b":t0ken").decode()


def locate(forge: str, scheme: str, host: str, path: str, port: str = "") -> str:
    address = make_address(scheme, host, port, path)
    return STATUS_APIS[forge].build_request(address, TOKEN, STATUS).url.replace(COMMIT, "SHA")


@pytest.mark.parametrize(
    ("forge", "scheme", "host", "path", "url"),
    [
        ("github", "https", "github.com", "/ann/leaf.git", "https://api.github.com/repos/ann/leaf/statuses/SHA"),
        ("github", "ssh", "ssh.github.com", "/ann/leaf.git", "https://api.github.com/repos/ann/leaf/statuses/SHA"),
        ("github", "https", "git.example", "/ann/leaf", "https://git.example/api/v3/repos/ann/leaf/statuses/SHA"),
        ("github", "https", "ann.ghe.com", "/ann/leaf", "https://api.ann.ghe.com/repos/ann/leaf/statuses/SHA"),
        ("gitea", "https", "git.example", "/ann/leaf.git", "https://git.example/api/v1/repos/ann/leaf/statuses/SHA"),
        ("gitea", "ssh", "git.example", "ann/leaf.git", "https://git.example/api/v1/repos/ann/leaf/statuses/SHA"),
        ("forgejo", "https", "a.example", "/git/ann/leaf", "https://a.example/git/api/v1/repos/ann/leaf/statuses/SHA"),
        ("forgejo", "https", "a.example", "/ann/l%20f", "https://a.example/api/v1/repos/ann/l%20f/statuses/SHA"),
        ("gitbucket", "http", "a.example", "/git/ann/leaf.git", "http://a.example/api/v3/repos/ann/leaf/statuses/SHA"),
        ("gitbucket", "http", "a.example", "/gb/git/ann/leaf", "http://a.example/gb/api/v3/repos/ann/leaf/statuses/SHA"),
        ("gitlab", "https", "gitlab.com", "/ann/lab/leaf.git",
         "https://gitlab.com/api/v4/projects/ann%2Flab%2Fleaf/statuses/SHA"),
        ("gitlab", "ssh", "altssh.gitlab.com", "ann/leaf.git",
         "https://gitlab.com/api/v4/projects/ann%2Fleaf/statuses/SHA"),
        ("bitbucket", "https", "bitbucket.org", "/ann/leaf.git",
         "https://api.bitbucket.org/2.0/repositories/ann/leaf/commit/SHA/statuses/build"),
        ("bitbucket-dc", "https", "bb.example", "/scm/ANN/leaf.git",
         "https://bb.example/rest/api/latest/projects/ANN/repos/leaf/commits/SHA/builds"),
        ("bitbucket-dc", "ssh", "bb.example", "/~ann/leaf.git",
         "https://bb.example/rest/api/latest/projects/~ann/repos/leaf/commits/SHA/builds"),
        ("bitbucket-dc", "https", "a.example", "/bb/scm/ANN/leaf.git",
         "https://a.example/bb/rest/api/latest/projects/ANN/repos/leaf/commits/SHA/builds"),
        ("azure", "https", "dev.azure.com", "/org/project/_git/leaf",
         "https://dev.azure.com/org/project/_apis/git/repositories/leaf/commits/SHA/statuses?api-version=7.1"),
        ("azure", "https", "dev.azure.com", "/org/_git/leaf",
         "https://dev.azure.com/org/leaf/_apis/git/repositories/leaf/commits/SHA/statuses?api-version=7.1"),
        ("azure", "ssh", "ssh.dev.azure.com", "v3/org/project/leaf",
         "https://dev.azure.com/org/project/_apis/git/repositories/leaf/commits/SHA/statuses?api-version=7.1"),
        ("azure", "https", "org.visualstudio.com", "/DefaultCollection/project/_git/leaf",
         "https://org.visualstudio.com/project/_apis/git/repositories/leaf/commits/SHA/statuses?api-version=7.1"),
        ("azure", "https", "org.visualstudio.com", "/_git/leaf",
         "https://org.visualstudio.com/leaf/_apis/git/repositories/leaf/commits/SHA/statuses?api-version=7.1"),
    ],
)  # fmt: skip
def test_where_a_forge_takes_the_status(forge: str, scheme: str, host: str, path: str, url: str) -> None:
    assert locate(forge, scheme, host, path) == url


def test_the_port_of_the_web_server_is_kept_and_that_of_ssh_is_not() -> None:
    assert locate("gitea", "http", "::1", "/ann/leaf", ":3000").startswith("http://[::1]:3000/api/v1/")
    assert locate("gitea", "ssh", "git.example", "/ann/leaf", ":2222").startswith("https://git.example/api/v1/")


@pytest.mark.parametrize(
    ("forge", "token", "header", "value"),
    [
        ("github", TOKEN, "Authorization", "Bearer t0ken"),
        ("github", LOGIN, "Authorization", BASIC),
        ("gitea", TOKEN, "Authorization", "token t0ken"),
        ("forgejo", LOGIN, "Authorization", BASIC),
        ("gitbucket", TOKEN, "Authorization", "token t0ken"),
        ("gitlab", LOGIN, "PRIVATE-TOKEN", "t0ken"),
        ("bitbucket", TOKEN, "Authorization", "Bearer t0ken"),
        ("bitbucket", LOGIN, "Authorization", BASIC),
        ("bitbucket-dc", TOKEN, "Authorization", "Bearer t0ken"),
        ("azure", TOKEN, "Authorization", NO_USER),
    ],
)
def test_how_a_forge_wants_the_token(forge: str, token: AccessToken, header: str, value: str) -> None:
    request = STATUS_APIS[forge].build_request(make_address("https", "a.example", "", "/ann/leaf"), token, STATUS)
    assert request.headers[header] == value
    assert "t0ken" not in repr(request) + repr(token)


GITHUB_BODY = {
    "state": "pending", "target_url": PAGE, "description": "starting: 2 of 3", "context": "mlmesh/leaf"
}  # fmt: skip
GITLAB_BODY = {"state": "running", "target_url": PAGE, "description": "starting: 2 of 3", "name": "mlmesh/leaf"}
BITBUCKET_BODY = {
    "key": "mlmesh/leaf", "state": "INPROGRESS", "name": "mlmesh/leaf", "url": PAGE, "description": "starting: 2 of 3"
}  # fmt: skip
AZURE_BODY = {
    "state": "pending", "targetUrl": PAGE, "description": "starting: 2 of 3",
    "context": {"genre": "mlmesh", "name": "leaf"},
}  # fmt: skip


@pytest.mark.parametrize(
    ("forge", "body"),
    [
        *((forge, GITHUB_BODY) for forge in ("github", "gitea", "forgejo", "gitbucket")),
        ("gitlab", GITLAB_BODY),
        *((forge, BITBUCKET_BODY) for forge in ("bitbucket", "bitbucket-dc")),
        ("azure", AZURE_BODY),
    ],
)
def test_what_a_forge_is_sent(forge: str, body: object) -> None:
    request = STATUS_APIS[forge].build_request(make_address("https", "a.example", "", "/ann/leaf"), TOKEN, STATUS)
    assert (request.method, json.loads(request.body)) == ("POST", body)


@pytest.mark.parametrize(
    ("forge", "states"),
    [
        ("github", "pending pending success failure error"),
        ("gitea", "pending pending success failure warning"),
        ("gitbucket", "pending pending success failure error"),
        ("gitlab", "pending running success failed canceled"),
        ("bitbucket", "INPROGRESS INPROGRESS SUCCESSFUL FAILED STOPPED"),
        ("bitbucket-dc", "INPROGRESS INPROGRESS SUCCESSFUL FAILED CANCELLED"),
        ("azure", "pending pending succeeded failed notApplicable"),
    ],
)
def test_the_words_of_a_forge_for_each_state(forge: str, states: str) -> None:
    assert [STATUS_APIS[forge].states[state] for state in CommitState] == states.split()


def test_a_description_is_cut_to_the_forges_limit_on_one_line() -> None:
    long = CommitStatus(COMMIT, CommitState.FAILURE, "a\n b" + "c" * 300, "mlmesh/leaf", PAGE)
    request = STATUS_APIS["github"].build_request(make_address("https", "github.com", "", "/ann/leaf"), TOKEN, long)
    description = json.loads(request.body)["description"]
    assert description == "a b" + "c" * 136 + "…"
    assert len(description) == 140


def test_a_key_of_bitbucket_is_cut_and_stays_its_own() -> None:
    first, second = (cut_key(f"mlmesh/{'a' * 50}{end}") for end in "bc")
    assert (len(first), first == second, first[:31]) == (40, False, "mlmesh/" + "a" * 24)
    assert cut_key("mlmesh/leaf") == "mlmesh/leaf"


def test_an_address_without_owner_and_name_has_no_status() -> None:
    with pytest.raises(UnknownAddress, match=r"https://a\.example has no repository of GitLab: owner and name are"):
        STATUS_APIS["gitlab"].build_request(make_address("https", "a.example", "", "/leaf.git"), TOKEN, STATUS)


@pytest.mark.parametrize(
    ("host", "forge"),
    [
        ("github.com", "github"), ("gitlab.com", "gitlab"), ("bitbucket.org", "bitbucket"), ("codeberg.org", "forgejo"),
        ("dev.azure.com", "azure"), ("org.visualstudio.com", "azure"), ("ann.ghe.com", "github"), ("git.example", None),
        ("notgithub.com", None),
    ],
)  # fmt: skip
def test_hosts_that_say_which_forge_they_are(host: str, forge: str | None) -> None:
    assert find_forge_of_host(host) == forge
