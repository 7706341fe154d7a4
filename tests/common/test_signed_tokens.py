from libs.common.signed_tokens import MAX_CLOCK_SKEW_S, Grant, GrantSigner

GRANT = Grant("demo", "alice", ("data",), expires=100.0)


def test_a_sealed_grant_opens_until_it_expires_on_every_clock() -> None:
    seal = GrantSigner("token")
    text = seal.sign(GRANT)
    assert seal.verify(text, 99.0 + MAX_CLOCK_SKEW_S) == GRANT
    assert seal.verify(text, 100.0 + MAX_CLOCK_SKEW_S) is None


def test_a_grant_of_another_key_or_changed_content_does_not_open() -> None:
    seal = GrantSigner("token")
    text = seal.sign(GRANT)
    assert GrantSigner("other").verify(text, 0.0) is None
    assert seal.verify("x" + text, 0.0) is None
    assert seal.verify("", 0.0) is None
    assert seal.verify("é.ü", 0.0) is None
