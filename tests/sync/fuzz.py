"""Frames, requests and plain bytes that nobody honest would send, made from a seed."""

from __future__ import annotations

import base64
import json
import random
from urllib.parse import quote

import msgspec

from sync import protocol as p
from tests.sync.rig import ORG, ROOM, SITE, SITE_ROOM, TOKEN, Author, hello, one_by_one

UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": base64.b64encode(b"0123456789abcdef").decode(),
}
_WORDS = [
    *(b"null true -1 0 1e999 1e-999 NaN 9223372036854775807 9223372036854775808".split()),
    *(b'"" [] {} [[ }} \\u0000 \\ud800 "\xff" "type" "batch":-1 "kseq":0 "events":[1]'.split()),
    *(b"\xff", b"\x80", b"\xc3", b"\xed\xa0\x80"),
    b"[" * 5000,
    b'{"a":' * 3000,
    b"9" * 400,
    b"x" * 70_000,
    b"\x00" * 8,
    b"\xf0\x9f\x92\xa9",
]
_PATHS = [
    *[("POST", f"/v1/{name}") for name in ("hello", "push", "ping", "poll", "subscribe")],
    *[("POST", f"/v1/{name}") for name in ("directory", "pair", "renew")],
    *[("GET", f"/v1/{name}") for name in ("sse", "poll", "people", "sessions", "staff", "ws")],
    *[("GET", path) for path in ("/health", "/metrics", "/health/websocket", "/openapi.json")],
    *[("PUT", f"/v1/{name}/x1") for name in ("people", "sessions", "staff", "devices")],
    ("GET", "/v1/people/x1"),
    ("GET", "/v1/pairings"),
    ("GET", "/v1/denials"),
    ("POST", "/v1/pairings/nobody/name"),
    ("OPTIONS", "/v1/push"),
    ("DELETE", "/v1/people/x1"),
    ("HEAD", "/health"),
    ("GET", "/../../etc/passwd"),
]


class Fuzz:
    """A stream of bad input; the same seed makes the same."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self._number = 0
        self._closes = False

    def flip(self, chance):
        return self.random.random() < chance

    # -- content -----------------------------------------------------------------------------------

    def device(self):
        self._number += 1
        return f"fuzz-{self._number % 97}"

    def message(self):
        """The bytes of an honest message of some kind."""
        author = Author(self.device())
        bodies = author.bodies(self.random.randint(1, 3))
        cursor = p.Cursor("e" * self.random.randint(1, 40), self.random.randint(0, 2**40))
        room = self.random.choice([ROOM, SITE_ROOM, "org/evil/session/x", "a", "x" * 600])
        follow = msgspec.structs.replace(p.Subscribe("r", cursor), room=room)
        push = p.Push(1, [p.msgspec.Raw(body) for body in bodies], [], one_by_one(bodies))
        record = {"record": "person", "id": "x1", "value": {"id": "x1", "first_name": "X"}}
        return self.random.choice(
            [
                p.encode(hello(author.device)),
                p.encode(push),
                p.encode(follow),
                p.encode(p.Unsubscribe(room)),
                p.encode(p.Ping(self.random.randint(0, 2**62))),
                p.encode(p.Poll([follow], 0.01)),
                json.dumps([record]).encode(),
                json.dumps(record["value"]).encode(),
                json.dumps({"code": "AAAA-BBBB", "org": ORG, "site": SITE, "device": "d"}).encode(),
                json.dumps({"challenge": "x", "proof": "00"}).encode(),
                self.random.randbytes(self.random.randint(0, 300)),
            ]
        )

    def mutated(self):
        """The same, spoilt in a few places; now and then it is left as it is."""
        data = bytearray(self.message())
        for _ in range(self.random.choice([0, 1, 1, 2, 4, 9])):
            at = self.random.randint(0, len(data))
            end = min(len(data), at + self.random.randint(0, 40))
            match self.random.randrange(6):
                case 0:
                    data[at:end] = b""
                case 1:
                    data[at:at] = data[at:end] * self.random.randint(1, 30)
                case 2:
                    data[at:end] = self.random.choice(_WORDS)
                case 3:
                    data[at:at] = self.random.choice(_WORDS)
                case 4 if at < len(data):
                    data[at] ^= 1 << self.random.randrange(8)
                case _:
                    del data[at:]
        return bytes(data[:900_000])

    # -- WebSocket ---------------------------------------------------------------------------------

    def frames(self):
        """A few frames as bytes, and whether a close frame may be among them."""
        made, self._closes = [], False
        if self.flip(0.8):
            made.append(frame(1, p.encode(hello(self.device()))))
        for _ in range(self.random.randint(1, 5)):
            opcode = self.random.choice([1, 1, 1, 2, 2, 9, 10, 8, 3, 0, 15])
            self._closes |= opcode == 8
            made.append(self._frame(opcode))
        return b"".join(made), self._closes

    def _frame(self, opcode):
        payload = self.mutated()
        match self.random.randrange(8):
            case 0:  # in fragments, with a ping between them; the last may be missing
                cut = self.random.randint(0, len(payload))
                rest = frame(0, payload[cut:]) if self.flip(0.7) else b""
                return frame(opcode, payload[:cut], fin=False) + frame(9, b"hi") + rest
            case 1:
                return frame(opcode, payload, masked=False)
            case 2:
                return frame(opcode, payload, reserved=self.random.randint(1, 7))
            case 3:  # longer than it says, or shorter
                self._closes = True  # what is left over is read as frames, too
                return frame(opcode, payload, claims=self.random.choice([0, 3, 2**20 + 1, 2**62]))
            case 4:
                self._closes = True  # for all we know
                return self.random.randbytes(self.random.randint(1, 200))
            case _:
                return frame(opcode, payload if opcode < 8 else payload[:125])

    # -- HTTP --------------------------------------------------------------------------------------

    def request(self):
        """One request as bytes."""
        method, path = self.random.choice(_PATHS)
        body = self.mutated() if method in ("POST", "PUT") or self.flip(0.1) else b""
        headers = {"Host": "hub", "Connection": "close"} | self._headers(body)
        if path == "/v1/ws" and self.flip(0.5):
            headers |= UPGRADE
        lines = [f"{method} {path}?{self._query()} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + body

    def _headers(self, body):
        length = len(body)
        if self.flip(0.05):
            length = self.random.choice([length + 50, "x", -1, 2**40, max(0, length - 2)])
        found = {"Content-Length": length, "Authorization": f"Bearer {TOKEN}"}
        if self.flip(0.03):
            found["Authorization"] = self.random.choice(["", "Bearer", "Basic eA==", "Bearer é"])
        odd = {
            "Last-Event-ID": self._text(),
            "X-Forwarded-For": self._text(),
            "Content-Type": self._text(),
            "Content-Encoding": self.random.choice(["gzip", "deflate", "br", "x"]),
            "Origin": self.random.choice(["null", "http://hub", "http://[::1", self._text()]),
            "Expect": "100-continue",
            "Range": "bytes=0-",
        }
        return found | {name: value for name, value in odd.items() if self.flip(0.12)}

    def _query(self):
        names = ["org", "site", "device", "incarnation", "room", "cursor", "kinds", "ttl", "wait"]
        names += ["presence", "stream", "access_token", "limit", "after", self._text()]
        honest = {"org": ORG, "site": SITE, "device": "fuzz", "incarnation": "i", "room": ROOM}
        pairs = [(n, v) for n, v in honest.items() if self.flip(0.8)]
        pairs += [
            (self.random.choice(names), self._text()) for _ in range(self.random.randint(0, 4))
        ]
        return "&".join(f"{quote(n)}={v if self.flip(0.3) else quote(v)}" for n, v in pairs)

    def _text(self):
        odd = ["", "é", "-1", "nan", "inf", "1e9", "e:1", "e:1:2", "::", "%", "%00", "%ff%fe"]
        odd += ["9" * 30, "e:" + "9" * 18, "x" * 3000, "\t", '"', "a:1,2,3", "٣", "../..", "'--"]
        return self.random.choice(odd)

    def bytes(self):
        """What may not even look like HTTP."""
        match self.random.randrange(4):
            case 0:
                return self.random.randbytes(self.random.randint(1, 2000))
            case 1:
                request = self.request()
                return request[: self.random.randint(1, len(request))]
            case 2:
                head = b"GET /health HTTP/1.1\r\n"
                return head + b"A: b\r\n" * self.random.choice([3, 200, 9000]) + b"\r\n"
            case _:
                return b"POST /v1/push HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\nx"


def frame(opcode, payload, *, fin=True, masked=True, reserved=0, claims=None):
    """One frame of RFC 6455, which may lie about its length (`claims`)."""
    length = len(payload) if claims is None else claims
    head = bytearray([fin << 7 | reserved << 4 | opcode])
    bit = masked << 7
    if length < 126:
        head.append(bit | length)
    elif length < 2**16:
        head += bytes([bit | 126]) + length.to_bytes(2, "big")
    else:
        head += bytes([bit | 127]) + length.to_bytes(8, "big")
    if masked:
        head += bytes(4)  # a mask of noughts changes nothing
    return bytes(head) + payload
