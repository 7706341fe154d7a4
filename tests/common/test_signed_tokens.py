from libs.common.grants import SKEW_S, Grant, Seal

GRANT = Grant("demo", "alice", ("data",), expires=100.0)


def test_a_sealed_grant_opens_until_it_expires_on_every_clock() -> None:
    seal = Seal("token")
    text = seal.sealed(GRANT)
    assert seal.opened(text, 99.0 + SKEW_S) == GRANT
    assert seal.opened(text, 100.0 + SKEW_S) is None


def test_a_grant_of_another_key_or_changed_content_does_not_open() -> None:
    seal = Seal("token")
    text = seal.sealed(GRANT)
    assert Seal("other").opened(text, 0.0) is None
    assert seal.opened("x" + text, 0.0) is None
    assert seal.opened("", 0.0) is None
    assert seal.opened("é.ü", 0.0) is None
