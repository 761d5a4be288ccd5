"""People and sessions handed to a running hub over HTTP, and the CSV that people come in."""

from __future__ import annotations

import codecs
import csv
import http.client
import io
import json
import ssl
import unicodedata
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import msgspec

from kiosk.errors import KioskError
from kiosk.model import Person

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from kiosk.model import Session

COLUMNS = ("id", "first_name", "last_name", "kind", "code", "badge")
KINDS = ("member", "student", "visitor", "staff")
_LONGEST = 120  # characters of any field, and of any of several badges
_SHORTEST_BADGE = 3
# Control characters and separators of lines; joiners (Cf) are part of Persian and Indian names.
_NOT_TEXT = frozenset({"Cc", "Cs", "Zl", "Zp"})
_OVERRIDES = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_MOST_ANSWER = 1 << 20  # bytes; the rest of what is no hub's answer is not waited for


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

    def send_people(self, people: Iterable[Person]) -> Taken:
        """Add or change people; those that are as the hub has them make no event."""
        return self._send([("person", person.id, person) for person in people])

    def send_sessions(self, sessions: Iterable[Session]) -> Taken:
        """Add or change sessions."""
        return self._send([("session", session.id, session) for session in sessions])

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
        path = self._path.replace("/v1/directory", "/v1/people", 1) + "&limit=1"
        headers = {"Authorization": f"Bearer {self._token}"}
        status, answer = exchange(self.url, "GET", path, headers=headers, ca=self._ca)
        if status != http.client.OK:
            raise DirectoryError(f"the hub refused ({status}): {answer.get('error', 'no reason')}")

    def _send(self, records: list[tuple[str, str, Any]]) -> Taken:
        body = msgspec.json.encode([{"record": r, "id": i, "value": v} for r, i, v in records])
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        status, answer = exchange(self.url, "POST", self._path, body, headers, ca=self._ca)
        if status != http.client.OK:
            raise DirectoryError(f"the hub refused ({status}): {answer.get('error', 'no reason')}")
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


def read_people(path: Path, keep: Callable[[str], str] | None = None) -> list[Person]:
    """The people of a CSV file with a header of `COLUMNS` (any order; the last three may lack).

    `keep` makes of what a badge says what is kept of it; without it no row may have a badge. A
    row with several badges has a semicolon between them. Semicolons may separate the columns too,
    as spreadsheets do in many countries. Raises `BadRowsError` that lists every bad row with its
    line number, or `DirectoryError` when the file itself cannot be used or has nobody in it.
    """
    reader = _reader(path, _text(path))
    try:
        people = _people(reader, keep)
    except csv.Error as error:
        raise DirectoryError(f"{path}: line {reader.line_num + 1}: {error}") from error
    if not people:
        raise DirectoryError(f"there is nobody in {path}")
    return people


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise DirectoryError(f"{path} cannot be read: {why}") from error
    if data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) or b"\0" in data[:2]:
        raise DirectoryError(f"{path} cannot be read: it is UTF-16; save it as CSV in UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DirectoryError(
            f"{path} cannot be read: line {line} is not UTF-8; save it as CSV in UTF-8"
        ) from error


def _reader(path: Path, text: str) -> csv.DictReader[str]:
    """A reader of the rows below a header that has been found to be good."""
    # No splitlines: it would break a row at what is no end of a line in any CSV (VT, U+2028).
    lines = io.StringIO(text, newline="")
    first = lines.readline()
    lines.seek(0)
    separator = ";" if first.count(";") > first.count(",") else ","
    reader = csv.DictReader(lines, delimiter=separator, skipinitialspace=True)
    try:
        header = [name.strip() for name in reader.fieldnames or ()]
    except csv.Error as error:
        raise DirectoryError(f"{path}: line 1: {error}") from error
    if lacking := [name for name in COLUMNS[:3] if name not in header]:
        tabs = "; it is separated by tabs, which must be commas" if "\t" in first else ""
        raise DirectoryError(
            f"{path}: the first line must name the columns {', '.join(COLUMNS)};"
            f" missing: {', '.join(lacking)}{tabs}"
        )
    if twice := [name for name in COLUMNS if header.count(name) > 1]:
        raise DirectoryError(f"{path}: the first line names a column twice: {', '.join(twice)}")
    reader.fieldnames = header
    return reader


def _people(reader: csv.DictReader[str], keep: Callable[[str], str] | None) -> list[Person]:
    people: list[Person] = []
    problems: list[str] = []
    seen: dict[tuple[str, str], int] = {}
    for row in reader:
        if _is_empty(row):
            continue
        if found := _unprintable(row):
            problems += [f"line {reader.line_num}: {problem}" for problem in found]
            continue
        cells = {key: (value or "").strip() for key, value in row.items() if isinstance(value, str)}
        texts = [text.strip() for text in cells.pop("badge", "").split(";") if text.strip()]
        badges = [keep(text) for text in texts] if keep else []
        found = _row_problems(cells, row, seen, reader.line_num)
        found += _badge_problems(texts, badges, seen, reader.line_num)
        problems += [f"line {reader.line_num}: {problem}" for problem in found]
        if not found:
            people.append(_person(cells, badges))
    if problems:
        raise BadRowsError(problems)
    return people


def _is_empty(row: dict[Any, Any]) -> bool:
    """Whether a row is one of those that spreadsheets leave below the last."""
    cells = [*row.get(None, ()), *(value for key, value in row.items() if key is not None)]
    return not any(value and value.strip() for value in cells)


def _unprintable(row: dict[Any, Any]) -> list[str]:
    """Which columns hold what no name has: it would break lines apart or turn them round."""
    problems = []
    for name in COLUMNS:
        text = (row.get(name) or "").strip(" \t")
        bad = [c for c in text if unicodedata.category(c) in _NOT_TEXT or c in _OVERRIDES]
        if bad:
            problems.append(f"{name} has a control character (U+{ord(bad[0]):04X})")
    return problems


def _person(cells: dict[str, str], badges: Sequence[str]) -> Person:
    return Person(
        cells["id"],
        cells["first_name"],
        cells["last_name"],
        cells.get("kind") or "member",
        cells.get("code", ""),
        badges=tuple(badges),
    )


def _row_problems(
    cells: dict[str, str], row: dict[Any, Any], seen: dict[tuple[str, str], int], line: int
) -> list[str]:
    problems = []
    if None in row or None in row.values():
        problems.append("the number of columns differs from the first line's")
    problems += [f"{name} is empty" for name in ("id", "first_name") if not cells.get(name)]
    kind = cells.get("kind") or "member"
    if kind not in KINDS:
        problems.append(f'kind "{kind}" is none of {", ".join(KINDS)}')
    code = cells.get("code", "")
    if code and not (code.isascii() and code.isdigit() and 3 <= len(code) <= 8):
        problems.append(f'code "{code}" is not 3 to 8 digits')
    problems += [f"{k} is too long" for k, v in cells.items() if len(v) > _LONGEST]
    for name in ("id", "code"):
        value = cells.get(name, "")
        first = seen.setdefault((name, value), line) if value else line
        if first != line:
            problems.append(f'{name} "{value}" is on line {first} already')
    return problems


def _badge_problems(
    texts: Sequence[str], badges: Sequence[str], seen: dict[tuple[str, str], int], line: int
) -> list[str]:
    """What is wrong with a row's badges, in words that do not tell them."""
    problems = []
    if len(badges) < len(texts):
        problems.append("badges cannot be taken here")
    if any(len(text) < _SHORTEST_BADGE for text in texts):
        problems.append(f"a badge has fewer than {_SHORTEST_BADGE} characters")
    if any(len(text) > _LONGEST for text in texts):
        problems.append("badge is too long")
    for badge in badges:
        if (first := seen.get(("badge", badge))) is not None:
            problems.append(f"its badge is on line {first} already")
        seen.setdefault(("badge", badge), line)
    return problems
