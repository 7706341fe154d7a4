import io
import json
import logging

import pytest

from libs.common import log
from libs.common.redaction import redact_links, s3_error_message

QUERY = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=me%2F2026&X-Amz-Expires=21600&X-Amz-Signature=eb62f9"
CUT = "http://minio:9000/mlmesh/app/x?…"
LINK = CUT.replace("…", QUERY)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nothing to see", "nothing to see"),
        ("see http://127.0.0.1:8000/docs?page=2 for more", "see http://127.0.0.1:8000/docs?page=2 for more"),
        (f"ClientOSError(13, 'Can not write request body for {LINK}')",
         f"ClientOSError(13, 'Can not write request body for {CUT}')"),
        (f"<a href=\"{LINK}\"> and {LINK}", f'<a href="{CUT}"> and {CUT}'),
        (json.dumps({"why": f'not "{LINK}"'}), json.dumps({"why": f'not "{CUT}"'}, ensure_ascii=False)),
        ("https://s3.example/b/k?AWSAccessKeyId=A&Signature=bla%2Fb&Expires=1", "https://s3.example/b/k?…"),
        ("https://mesh.example/links/aGVsbG8.x-_=~, again", "https://mesh.example/links/… again"),
        ("http://[::1]:8013/links/abc/", "http://[::1]:8013/links/…"),
    ],
)  # fmt: skip
def test_what_makes_a_link_good_is_cut(text: str, expected: str) -> None:
    assert redact_links(text) == expected


def test_an_s3_servers_error_is_its_code_and_message() -> None:
    body = "<Error><Code>SignatureDoesNotMatch</Code><Message>No.</Message><Provided>eb</Provided></Error>"
    assert s3_error_message(body) == "SignatureDoesNotMatch: No."
    assert s3_error_message("<Error><Code>SlowDown</Code></Error>") == "SlowDown"
    assert s3_error_message("plain") == "plain"


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_log_line_has_a_signed_link(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said = io.StringIO()
    monkeypatch.setattr("sys.stderr", said)
    log.set_up("info", form)  # type: ignore[arg-type]
    try:
        raise ValueError(f"cannot be sent to {LINK}")
    except ValueError:
        log.get("worker").exception("broke", why=LINK)
        logging.getLogger("library").error("failed: %s", LINK, exc_info=True)
    assert said.getvalue().count("http://minio:9000/mlmesh/app/x?…") == 4
    assert "eb62f9" not in said.getvalue()
