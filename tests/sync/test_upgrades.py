from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.hub.upgrades import answer, upgrade_in

KEY = base64.b64encode(b"0123456789abcdef").decode()
PLAIN = {
    "Host": "hub",
    "Upgrade": "websocket",
    "Connection": "keep-alive, Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": KEY,
}


def asked(first="GET /v1/ws HTTP/1.1", rest=b"", **changed):
    headers = PLAIN | {name.replace("_", "-"): value for name, value in changed.items()}
    lines = [first, *(f"{n}: {v}" for n, v in headers.items() if v is not None), "", ""]
    return "\r\n".join(lines).encode() + rest


def test_a_plain_upgrade_is_read_with_what_came_behind_it():
    found = upgrade_in(asked(rest=b"\x81\x00", authorization="Bearer x"))
    assert found.headers["Authorization"] == "Bearer x"
    assert found.headers["Host"] == "hub"
    assert found.rest == b"\x81\x00"


def test_the_answer_proves_that_the_key_was_read():
    accepted, window = answer(upgrade_in(asked()))
    proof = KEY + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    digest = hashlib.sha1(proof.encode()).digest()  # noqa: S324  RFC 6455, 4.2.2
    assert b"\r\nSec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n" in accepted
    assert accepted.startswith(b"HTTP/1.1 101 ")
    assert accepted.endswith(b"\r\n\r\n")
    assert (b"Extensions" in accepted, window) == (False, 0)


@pytest.mark.parametrize(
    ("offered", "agreed", "window"),
    [
        ("permessage-deflate", b"permessage-deflate", 15),
        ("permessage-deflate; client_max_window_bits", b"permessage-deflate", 15),
        (
            "permessage-deflate; server_max_window_bits=10",
            b"permessage-deflate; server_max_window_bits=10",
            10,
        ),
        ("x-something", None, 0),
    ],
)
def test_deflating_is_agreed_as_it_was_offered(offered, agreed, window):
    accepted, bits = answer(upgrade_in(asked(Sec_WebSocket_Extensions=offered)))
    assert bits == window
    line = b"Sec-WebSocket-Extensions: %b\r\n" % agreed if agreed else b"\r\n"
    assert line in accepted


@pytest.mark.parametrize(
    "text",
    [
        asked()[:-2],  # not all of it yet
        asked("POST /v1/ws HTTP/1.1"),
        asked("GET /v1/ws?x=1 HTTP/1.1"),
        asked("GET /v1/ws HTTP/1.0"),
        asked(Host=None),
        asked(Upgrade="h2c"),
        asked(Connection="close"),
        asked(Sec_WebSocket_Version="8"),
        asked(**{"Sec-WebSocket-Key": "short"}),
        asked(**{"Sec-WebSocket-Key": KEY[:-1] + "!"}),
        asked(Content_Length="5"),
        asked(Transfer_Encoding="chunked"),
        asked(Expect="100-continue"),
        asked(Sec_WebSocket_Protocol="chat"),
        asked(authorization="a", Authorization="b"),  # which of them is meant?
        asked(X="a\r\n folded"),
        asked(X="a\nY: b"),
        asked(X="a\rb"),
        asked(X="a\x00b"),
        asked(X="\u00e9"),
        asked(**{"X ": "a"}),
        asked(**{"": "a"}),
        asked(X="x" * 9000),
        asked(**{f"X-{n}": "a" for n in range(80)}),
        b"GET /v1/ws HTTP/1.1\r\n\r\n",
        b"",
    ],
)
def test_what_is_not_plain_is_left_to_the_http_server(text):
    assert upgrade_in(text) is None


@given(st.binary(max_size=300))
def test_no_bytes_whatever_raise(data):
    assert upgrade_in(data) is None
    upgrade_in(asked()[:60] + data + b"\r\n\r\n")
    found = upgrade_in(asked(rest=data))
    assert found.rest == data
