"""Git's errors: its own words, without secrets, with advice."""

import pytest

from services.registry.git.error_messages import describe_missing_branch, explain_git_error


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        (
            "fatal: couldn't find remote ref refs/heads/x\n",
            "couldn't find remote ref refs/heads/x; is the branch of the Repository right?",
        ),
        (
            "remote: Not Found\nfatal: repository 'https://u:p@h/x' not found\n",
            "remote: Not Found; repository 'https://h/x' not found; is the url of the Repository right?",
        ),
        (
            "Permission denied (publickey).\nfatal: Could not read from remote repository.\n\n"
            "Please make sure you have the correct access rights\nand the repository exists.\n",
            "Permission denied (publickey).; Could not read from remote repository.; "
            "does the Repository's key have access?",
        ),
        (
            "fatal: could not read Username for 'https://h': terminal prompts disabled\n",
            "could not read Username for 'https://h': terminal prompts disabled; "
            "it asks for credentials, as forges do for a repository that is not there, too: "
            "correct the url of the Repository, or name a Secret with them (credentials)",
        ),
        (
            "fatal: Authentication failed for 'https://h/x/'\n",
            "Authentication failed for 'https://h/x/'; are the values of the Repository's credentials right?",
        ),
        ("hint: try this\nwarning: that\nerror: it broke\n", "it broke"),
        ("fatal: token sesame was refused", "token *** was refused"),
        ("fatal: " + "x" * 1000, "x" * 500),
        (
            "remote: Counting objects:  50% (1/2)\rremote: Counting objects: 100% (2/2), done.\n"
            "remote: Total 2 (delta 0), reused 0\nReceiving objects: 100% (2/2)\nResolving deltas: 100% (1/1)\n"
            "From file:///r\nremote: Repository is locked\nfatal: early EOF\n",
            "remote: Repository is locked; early EOF",
        ),
        ("", ""),
    ],
)
def test_gits_own_reason_and_what_to_do(errors: str, expected: str) -> None:
    assert explain_git_error(errors, ("sesame", "")) == expected


@pytest.mark.parametrize(
    ("branches", "seen", "expected"),
    [
        ([], False, "there is no branch main; the repository has no branch at all"),
        ([], True, "branch main is not there any more; the repository has no branch at all"),
        (["a", "b"], True, "branch main is not there any more; the repository has: a, b"),
        (list("abcdefghij"), False, "there is no branch main; the repository has: a, b, c, d, e, f, g, h, i, j"),
        (
            list("abcdefghijkl"), True,
            "branch main is not there any more; the repository has: a, b, c, d, e, f, g, h, i, j and 2 more",
        ),
    ],
)  # fmt: skip
def test_a_branch_that_is_not_there_is_told_with_the_others(branches: list[str], seen: bool, expected: str) -> None:
    assert describe_missing_branch("main", branches, head_seen=seen) == expected
