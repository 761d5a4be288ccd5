"""The CSV file that people come in, and its way to the hub: all of it, or nothing."""

from __future__ import annotations

import codecs
import csv
import difflib
import io
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kiosk.directory import BadRowsError, DirectoryError
from kiosk.model import Person

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from kiosk.badges import Keep
    from kiosk.directory import HubClient, Taken

COLUMNS = ("id", "first_name", "last_name", "kind", "code", "badge")
KINDS = ("member", "student", "visitor", "staff")
_NEEDED = COLUMNS[:3]
_LONGEST = 120  # characters of any field, and of any of several badges
_SHORTEST_BADGE = 3
# Control characters and separators of lines; joiners (Cf) are part of Persian and Indian names.
_NOT_TEXT = frozenset({"Cc", "Cs", "Zl", "Zp"})
_OVERRIDES = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_MISMATCH = "the number of columns differs from the first line's"


@dataclass(frozen=True, slots=True)
class Row:
    """A person, the line that they begin on, and all forms that each badge may be kept in."""

    line: int
    person: Person
    badges: tuple[tuple[str, ...], ...] = ()


def hand_in(rows: Sequence[Row], client: HubClient) -> Taken:
    """Add or change these people at the hub: all of them, or nobody.

    Raises `BadRowsError` for a code or badge that is somebody else's, or `DirectoryError`.
    """
    if any(row.person.code or row.badges for row in rows) and (
        problems := held_by_others(rows, client.people())
    ):
        raise BadRowsError(problems)
    return client.send_people(row.person for row in rows)


def held_by_others(rows: Sequence[Row], known: Iterable[Person]) -> list[str]:
    """One line for each code or badge that a person outside of `rows` has and may use.

    Whoever is in `rows` has from now on what their row says, and nothing else.
    """
    fresh = {row.person.id for row in rows}
    holders: dict[tuple[str, str], Person] = {}
    for person in known:
        if person.active and person.id not in fresh:
            keys = [("code", person.code)] if person.code else []
            keys += [("badge", badge) for badge in person.badges]
            holders |= dict.fromkeys(keys, person)
    problems = []
    for row in rows:
        if (holder := holders.get(("code", row.person.code))) is not None:
            problems.append(f'line {row.line}: code "{row.person.code}" is {_short(holder)}')
        held = [_first(holders, [("badge", form) for form in forms]) for forms in row.badges]
        problems += [f"line {row.line}: its badge is {_short(one)}" for one in held if one]
    return problems


def read_people(path: Path, keep: Keep | None = None) -> list[Row]:
    """The people of a CSV file whose first line names its columns, in any order and any case.

    All of `COLUMNS` but the first three may lack; any other is an error. `keep` makes of what a
    badge says what may be kept of it, the present form first; without it no row may have a badge. A
    row with several badges has a semicolon between them. Semicolons may separate the columns too,
    as spreadsheets do in many countries. Raises `BadRowsError` that lists every bad row with its
    line number, or `DirectoryError` when the file itself cannot be used or has nobody in it.
    """
    text = _text(path)
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=_separator(text), skipinitialspace=True
    )
    rows = _rows(path, reader)
    _, names = next(rows, (1, []))
    header = [name.strip().lower() for name in names]
    if problem := _header_problem(header, text.partition("\n")[0]):
        raise DirectoryError(f"{path}: {problem}")
    people = _people(rows, header, keep)
    if not people:
        raise DirectoryError(f"there is nobody in {path}")
    return people


# -- the file --------------------------------------------------------------------------------------


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


def _separator(text: str) -> str:
    first = text.partition("\n")[0]
    return ";" if first.count(";") > first.count(",") else ","


def _rows(path: Path, reader: Iterator[list[str]]) -> Iterator[tuple[int, list[str]]]:
    """Each row that has anything in it, with the line that it begins on."""
    while True:
        line = int(getattr(reader, "line_num", 0)) + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise DirectoryError(
                f"{path}: line {line}: {error}; is a quote not closed there?"
            ) from error
        if cells is None:
            return
        # Spreadsheets leave rows of nothing below the last.
        if any(cell.strip() for cell in cells):
            yield line, cells


def _header_problem(header: Sequence[str], first: str) -> str:
    if lacking := [name for name in _NEEDED if name not in header]:
        tabs = "; it is separated by tabs, which must be commas" if "\t" in first else ""
        return (
            f"the first line must name the columns; missing: {', '.join(lacking)}{tabs}"
            " (an example is resources/people.csv)"
        )
    if twice := [name for name in COLUMNS if header.count(name) > 1]:
        return f"the first line names a column twice: {', '.join(twice)}"
    if strange := [name for name in header if name and name not in COLUMNS]:
        told = ", ".join(_perhaps(name) for name in strange)
        return f"no such columns: {told}; there are {', '.join(COLUMNS)}"
    return ""


def _perhaps(name: str) -> str:
    meant = difflib.get_close_matches(name, COLUMNS, 1)
    return f'"{name}" (is "{meant[0]}" meant?)' if meant else f'"{name}"'


# -- the rows --------------------------------------------------------------------------------------


def _people(
    rows: Iterable[tuple[int, list[str]]], header: Sequence[str], keep: Keep | None
) -> list[Row]:
    people: list[Row] = []
    problems: list[str] = []
    seen: dict[tuple[str, str], int] = {}
    for line, raw in rows:
        row = {name: cell for name, cell in zip(header, raw, strict=False) if name}
        if found := _unprintable(row):
            problems += [f"line {line}: {problem}" for problem in found]
            continue
        cells = {name: cell.strip() for name, cell in row.items()}
        texts = [text.strip() for text in cells.pop("badge", "").split(";") if text.strip()]
        badges = tuple(keep(text) for text in texts) if keep else ()
        found = _shape_problems(header, raw)
        found += _row_problems(cells, seen, line)
        found += _badge_problems(texts, [forms[0] for forms in badges], seen, line)
        problems += [f"line {line}: {problem}" for problem in found]
        if not found:
            people.append(Row(line, _person(cells, [forms[0] for forms in badges]), badges))
    if problems:
        raise BadRowsError(problems)
    return people


def _unprintable(row: Mapping[str, str]) -> list[str]:
    """Which columns hold what no name has: it would break lines apart or turn them round."""
    # The row goes on to wherever the next quote is, so that no more of it means anything.
    if any("\n" in cell.strip(" \t") or "\r" in cell.strip(" \t") for cell in row.values()):
        return ["a quote is not closed (or a cell has a line break in it)"]
    problems = []
    for name, cell in row.items():
        text = cell.strip(" \t")
        bad = [c for c in text if unicodedata.category(c) in _NOT_TEXT or c in _OVERRIDES]
        if bad:
            problems.append(f"{name} has a control character (U+{ord(bad[0]):04X})")
    return problems


def _person(cells: Mapping[str, str], badges: Sequence[str]) -> Person:
    return Person(
        cells["id"],
        cells["first_name"],
        cells["last_name"],
        cells.get("kind") or "member",
        cells.get("code", ""),
        badges=tuple(badges),
    )


def _shape_problems(header: Sequence[str], raw: Sequence[str]) -> list[str]:
    if len(header) != len(raw):
        return [_MISMATCH]
    bare = [at for at, name in enumerate(header) if not name and raw[at].strip()]
    return [f"column {at + 1} has no heading" for at in bare]


def _row_problems(
    cells: Mapping[str, str], seen: dict[tuple[str, str], int], line: int
) -> list[str]:
    problems = [f"{name} is empty" for name in ("id", "first_name") if not cells.get(name)]
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


def _first(
    holders: Mapping[tuple[str, str], Person], keys: Iterable[tuple[str, str]]
) -> Person | None:
    return next((holders[key] for key in keys if key in holders), None)


def _short(person: Person) -> str:
    return f"{person.public_name}'s already"
