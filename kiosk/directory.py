"""People and sessions handed to a running hub over HTTP."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import msgspec

from kiosk.errors import KioskError
from kiosk.model import Person

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from kiosk.model import Session

_PAGE = 500  # people in one answer
_MOST_ANSWER = 1 << 20  # bytes; the rest of what is no hub's answer is not waited for
_WAY = (
    "; do it on the hub's machine (kiosk hub people import FILE), or here with the hub's own token"
    " in WHORL_HUB_TOKEN"
)


class DirectoryError(KioskError):
    """The hub did not take the records; one line that says why."""


class BadRowsError(DirectoryError):
    """The file was not imported at all; `problems` has one line per bad row."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__(f"{len(problems)} bad rows, nothing was imported")
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Taken:
    """What the hub did with a list of records."""

    changed: int
    unchanged: int


def health(url: str, seconds: float = 5.0, ca: Path | None = None) -> dict[str, Any]:
    """What the hub at `url` says of itself; raises `DirectoryError` if no hub answers there."""
    status, answer = exchange(url, "GET", "/health", seconds=seconds, ca=ca)
    if status != http.client.OK or "protocol" not in answer:
        raise DirectoryError(f"what answers at {url} is no hub")
    return answer


class HubClient:
    """Sends directory records to a hub; each call is one request.

    Raises `DirectoryError` with a line for people when the hub is not there or refuses.
    """

    def __init__(self, url: str, token: str, org: str, site: str, ca: Path | None = None) -> None:
        """`ca` holds certificates (PEM) to trust the hub's by, None for those of the system."""
        self.url = url
        self._ca = ca
        self._token = token
        self._path = f"/v1/directory?org={quote(org, safe='')}&site={quote(site, safe='')}"

    def people(self) -> list[Person]:
        """Everybody the site knows; what is no person that this version can read is left out."""
        found: list[Person] = []
        after: str | None = ""
        while after is not None:
            answer = self._listed("people", _PAGE, after)
            for entry in answer.get("items", ()):
                with contextlib.suppress(msgspec.MsgspecError, TypeError, KeyError):
                    found.append(msgspec.convert(entry["value"], Person))
            following = answer.get("next")
            after = following if isinstance(following, str) and following > after else None
        return found

    def send_people(self, people: Iterable[Person]) -> Taken:
        """Add or change people; those that are as the hub has them make no event."""
        return self._send([("person", person.id, person) for person in people])

    def send_sessions(self, sessions: Iterable[Session]) -> Taken:
        """Add or change sessions."""
        return self._send([("session", session.id, session) for session in sessions])

    def send_records(self, records: Iterable[tuple[str, str, Any]], above: int = 0) -> Taken:
        """Add or change records (kind, id, value), all of them or none.

        The hub gives them, and all that it says later, revs above `above`.
        """
        return self._send(list(records), f"&above={above}")

    def time(self, confirmed: int | None = None) -> tuple[int, bool]:
        """The hub's time (UTC ns), and whether it is trusted; `confirmed` says what time it is.

        Raises `DirectoryError`.
        """
        body = None if confirmed is None else msgspec.json.encode({"time": confirmed})
        headers = {"Authorization": f"Bearer {self._token}"}
        method = "GET" if body is None else "POST"
        status, answer = exchange(self.url, method, "/v1/time", body, headers, ca=self._ca)
        if status != http.client.OK:
            raise DirectoryError(f"the hub refused ({status}): {answer.get('error', 'no reason')}")
        try:
            return int(answer["time"]), bool(answer["trusted"])
        except (KeyError, TypeError, ValueError) as error:
            raise DirectoryError(f"what answers at {self.url} is no hub") from error

    def look(self) -> None:
        """Read one person, as any token of this site may: only to see whether it is taken."""
        self._listed("people", 1)

    def _listed(self, what: str, most: int, after: str = "") -> dict[str, Any]:
        path = self._path.replace("/v1/directory", f"/v1/{what}", 1)
        query = f"&limit={most}&after={quote(after, safe='')}"
        headers = {"Authorization": f"Bearer {self._token}"}
        status, answer = exchange(self.url, "GET", path + query, headers=headers, ca=self._ca)
        if status != http.client.OK:
            raise DirectoryError(f"the hub refused ({status}): {answer.get('error', 'no reason')}")
        return answer

    def _send(self, records: list[tuple[str, str, Any]], more: str = "") -> Taken:
        body = msgspec.json.encode([{"record": r, "id": i, "value": v} for r, i, v in records])
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        path = self._path + more
        status, answer = exchange(self.url, "POST", path, body, headers, ca=self._ca)
        if status != http.client.OK:
            told = f"the hub refused ({status}): {answer.get('error', 'no reason')}"
            raise DirectoryError(told + (_WAY if answer.get("code") == "forbidden" else ""))
        try:
            return Taken(int(answer["events"]), int(answer["unchanged"]))
        except (KeyError, TypeError, ValueError) as error:
            raise DirectoryError(f"what answers at {self.url} is no hub") from error


def exchange(
    url: str,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] = MappingProxyType({}),
    seconds: float = 30.0,
    ca: Path | None = None,
) -> tuple[int, dict[str, Any]]:
    """One request under `url`; its status and the JSON object that came, or an empty one.

    `ca` holds certificates (PEM) to trust the hub's by, None for those of the system. Raises
    `DirectoryError` if nothing answers, or nothing that a hub would.
    """
    try:
        parts = urlsplit(url)
        connection = _connection(parts.scheme, parts.hostname or "", parts.port, seconds, ca)
        try:
            connection.request(method, parts.path.rstrip("/") + path, body, headers)
            response = connection.getresponse()
            answer = json.loads(response.read(_MOST_ANSWER) or b"{}")
        finally:
            connection.close()
    except (OSError, http.client.HTTPException, ValueError, RecursionError) as error:
        raise DirectoryError(f"the hub at {url} does not answer: {error}") from error
    return response.status, answer if isinstance(answer, dict) else {}


def _connection(
    scheme: str, host: str, port: int | None, seconds: float, ca: Path | None
) -> http.client.HTTPConnection:
    if scheme != "https":
        return http.client.HTTPConnection(host, port, timeout=seconds)
    trust = ssl.create_default_context(cafile=str(ca) if ca else None)
    return http.client.HTTPSConnection(host, port, timeout=seconds, context=trust)
