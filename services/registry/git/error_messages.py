"""Git's error output as one sentence: its own words, and advice. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from libs.common.errors import Invalid

MAX_NAMES = 10
MAX_REASON = 500
"""Characters; a longer message is cut."""
NOISE_PREFIXES = ("hint:", "warning:", "Cloning into", "Please make sure you have", "and the repository exists")
USER_INFO = re.compile(r"(?<=://)[^/@\s]+@")
PROGRESS = re.compile(r"(remote: )?[A-Z][a-z]+ (objects|deltas)\b|remote: Total \d|From ")
REDIRECTED = re.compile(r"The requested URL returned error: 30[12378]")
SEVERITY_LABEL = re.compile(r"^(fatal|error): ")
NO_REF = "couldn't find remote ref"
CHECK_URL = "is the url of the Repository right?"
ASKS_FOR_CREDENTIALS = (
    "it asks for credentials, as forges do for a repository that is not there, too: "
    "correct the url of the Repository, or name a Secret with them (credentials)"
)
ADVICE = (
    (NO_REF, "is the branch of the Repository right?"),
    ("could not read Username", ASKS_FOR_CREDENTIALS),
    ("Authentication failed", "are the values of the Repository's credentials right?"),
    ("Permission denied", "does the Repository's key have access?"),
    ("Host key verification failed", "does the Secret's known_hosts have the host's key?"),
    ("does not appear to be a git repository", CHECK_URL),
    ("Repository not found", CHECK_URL),
    ("not found", CHECK_URL),
    ("Could not resolve host", CHECK_URL),
)

LOCATION = re.compile(r"<= Recv header: location: *(\S+)", re.IGNORECASE)


class GitFailed(Invalid):
    """A Git command failed."""


class RefNotFound(GitFailed):
    """The repository has no branch of this name, or no tag that matches."""


def describe_missing_branch(branch: str, branches: Sequence[str], *, head_seen: bool) -> str:
    """Names the existing branches: with `head_seen` the branch existed before and may be renamed."""
    missing = f"branch {branch} is not there any more" if head_seen else f"there is no branch {branch}"
    return f"{missing}; the repository has{f': {list_names(branches)}' if branches else ' no branch at all'}"


def describe_missing_tag(pattern: str, tags: Sequence[str], *, head_seen: bool) -> str:
    """Names the existing tags: with `head_seen` one matched before."""
    missing = f"no tag matches {pattern}{' any more' if head_seen else ''}"
    return f"{missing}; the repository has {f'the tags: {list_names(tags)}' if tags else 'no tag at all'}"


def list_names(names: Sequence[str]) -> str:
    """The first MAX_NAMES."""
    hidden = len(names) - MAX_NAMES
    return ", ".join(names[:MAX_NAMES]) + (f" and {hidden} more" if hidden > 0 else "")


def explain_git_error(errors: str, hidden: tuple[str, ...] = ()) -> str:
    """One line without hints, `hidden` texts or user info in URLs; with advice for known errors."""
    lines = [line.strip() for line in errors.splitlines()]
    messages = [
        SEVERITY_LABEL.sub("", line)
        for line in lines
        if line and not (line.startswith(NOISE_PREFIXES) or PROGRESS.match(line))
    ]
    text = "; ".join(dict.fromkeys(messages))
    for secret in hidden:
        text = text.replace(secret, "***") if secret else text
    text = USER_INFO.sub("", text)[:MAX_REASON]
    advice = next((hint for sign, hint in ADVICE if sign in text), None)
    return f"{text}; {advice}" if advice else text


def find_last_location(trace: str) -> str:
    """The last Location header in a trace of curl, or empty."""
    locations = LOCATION.findall(trace)
    return str(locations[-1]) if locations else ""
