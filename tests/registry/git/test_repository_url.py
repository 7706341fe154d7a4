"""URLs of repositories: valid only if Git, curl, ssh and the resolver parse them alike."""

import pytest

from services.registry.git.repository_url import InvalidRepositoryUrl, RepositoryUrl, parse_repository_url, redact_url


@pytest.mark.parametrize(
    ("url", "place", "expected_url"),
    [
        ("https://h.org/a/b.git", ("https", "h.org", 443), "https://h.org/a/b.git"),
        ("HTTPS://H.org:443/a", ("https", "h.org", 443), "https://h.org/a"),
        ("http://h.org.:8080/a?x=1", ("http", "h.org", 8080), "http://h.org:8080/a?x=1"),
        ("http://h.org", ("http", "h.org", 80), "http://h.org/"),
        ("http://u:p@h.org/a", ("http", "h.org", 80), "http://u:p@h.org/a"),
        ("http://a\\@h.org/x", ("http", "a", 80), "http://a/%5C@h.org/x"),
        ("http://a#@h.org/x", ("http", "a", 80), "http://a/%23@h.org/x"),
        ("http://a?@h.org/x", ("http", "a", 80), "http://a/?@h.org/x"),
        ("http://[::FFFF:127.0.0.1]/a", ("http", "::ffff:7f00:1", 80), "http://[::ffff:7f00:1]/a"),
        ("http://bücher.example/a", ("http", "xn--bcher-kva.example", 80), "http://xn--bcher-kva.example/a"),
        ("http://\U0001fbf1\U0001fbf2\U0001fbf7.0.0.1/a", ("http", "127.0.0.1", 80), "http://127.0.0.1/a"),
        ("ssh://git@h.org/a/b c", ("ssh", "h.org", 22), "ssh://git@h.org/a/b%20c"),
        ("ssh://git@h.org:2222/a", ("ssh", "h.org", 2222), "ssh://git@h.org:2222/a"),
        ("git@H.org:team/a.git", ("ssh", "h.org", 22), "git@h.org:team/a.git"),
    ],
)
def test_an_address_is_put_together_anew_from_its_parts(
    url: str, place: tuple[str, str, int], expected_url: str
) -> None:
    parsed = parse_repository_url(url)
    assert (parsed.origin, parsed.url) == (place, expected_url)


@pytest.mark.parametrize(
    "url",
    [
        "ext::sh -c id", "git://h.org/a", "/srv/a", "http:///a", "http://-h.org/a", "ssh://-oProxyCommand=x/a",
        "git@-oProxyCommand=x:a", "ssh://evil%2Fx@h.org/a", "http://127%2e0.0.1/a", "http://h.org:99999/a",
        "http://[::1/a", "http://a..b/x", "ssh://git:x@h.org/a", "http://h.org:80:80/a",
    ],
)  # fmt: skip
def test_what_may_be_read_in_two_ways_is_refused(url: str) -> None:
    with pytest.raises(InvalidRepositoryUrl):
        parse_repository_url(url)


@pytest.mark.parametrize(
    ("host", "is_number"),
    [
        ("127.0.0.1", True), ("2130706433", True), ("0x7f.1", True), ("017700000001", True), ("::1", True),
        ("h.org", False), ("1e100.net", False), ("0x.example", False),
    ],
)  # fmt: skip
def test_a_number_is_known_in_every_spelling(host: str, is_number: bool) -> None:
    assert RepositoryUrl("http", "", host, 80, "/").is_address is is_number


@pytest.mark.parametrize(
    ("location", "moved"),
    [
        ("/b.git/info/refs?service=git-upload-pack", "https://h.org/b.git"),
        ("https://h.org/b.git/info/refs?service=git-upload-pack", "https://h.org/b.git"),
        ("https://H.org:443/b/info/refs?service=git-upload-pack", "https://h.org/b"),
        ("http://h.org/b.git/info/refs?service=git-upload-pack", None),
        ("https://h.org:8443/b.git/info/refs?service=git-upload-pack", None),
        ("https://other.org/b.git/info/refs?service=git-upload-pack", None),
        ("https://127.0.0.1/b.git/info/refs?service=git-upload-pack", None),
        ("//other.org/b.git/info/refs?service=git-upload-pack", None),
        ("/users/sign_in", None),
        ("file:///etc/info/refs?service=git-upload-pack", None),
        ("", None),
    ],
)
def test_only_a_redirect_within_one_place_is_followed(location: str, moved: str | None) -> None:
    parsed = parse_repository_url("https://h.org/a").follow_redirect(location)
    assert (parsed and parsed.url) == moved


def test_an_address_is_shown_without_its_secrets() -> None:
    location = "https://bob:sesame@h.org:8443/b.git/info/refs?service=git-upload-pack"
    assert redact_url(location) == "https://h.org:8443/b.git"
    assert redact_url("https://h.org/login?token=sesame#sesame") == "https://h.org/login"
