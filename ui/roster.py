"""The live roster as a list model: rows move and change one by one, the list is never reset."""

from __future__ import annotations

from bisect import bisect_left
from enum import IntEnum
from typing import TYPE_CHECKING

from PySide6.QtCore import (
    QAbstractListModel,
    QByteArray,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QTimer,
)
from PySide6.QtQml import QmlElement

from kiosk.model import Status
from ui import hours

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kiosk.model import Attendance, DeskState, RosterRow
    from ui.desk import Desk
    from ui.words import Words

QML_IMPORT_NAME = "Kiosk.Facades"
QML_IMPORT_MAJOR_VERSION = 1

# Qt::DisplayRole and Qt::UserRole as numbers: naming them loads the whole of Qt's namespace.
_DISPLAY_ROLE = 0
_USER_ROLE = 256

_BATCH_MS = 50
# Rows told in one go; the rest waits for the next, so that a catch-up never holds up a frame.
_BATCH_ROWS = 64

_METHODS = {"finger": "mark", "badge": "badge", "code": "dots", "staff": "pencil"}
_CHIPS = {
    Status.EXPECTED: "",
    Status.PRESENT: "tick",
    Status.LATE: "clock",
    Status.EXCUSED: "info",
    Status.ABSENT: "cross",
}
_NOTHING = "–"
_VAGUE = 3600 * 1_000_000_000  # ns; what is no surer than that is no time of day

_Index = QModelIndex | QPersistentModelIndex
_Key = tuple[int, int, str, str]


class Role(IntEnum):
    """What a row tells QML, by the name in lower case."""

    NAME = _USER_ROLE + 1
    METHOD = _USER_ROLE + 2
    STATUS = _USER_ROLE + 3
    LABEL = _USER_ROLE + 4
    CHIP = _USER_ROLE + 5
    TIME = _USER_ROLE + 6
    NEWEST = _USER_ROLE + 7


_ROLES = frozenset(Role)


@QmlElement
class RosterModel(QAbstractListModel):
    """Newest arrival on top, then the excused and absent, then the expected, by name."""

    def __init__(self, desk: Desk, words: Words, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._desk = desk
        self._words = words
        self._session = desk.state.session
        self._keys: list[_Key] = []
        self._rows: dict[str, RosterRow] = {}
        self._key_of: dict[str, _Key] = {}
        self._waiting: dict[str, RosterRow] = {}
        self._batch = QTimer(self, singleShot=True, interval=_BATCH_MS)
        self._batch.timeout.connect(self._flush)
        words.changed.connect(self._relabel)
        self._load()

    # -- what the desk says ------------------------------------------------------------------------

    def show(self, state: DeskState) -> None:
        """Load anew when another session is open; otherwise rows come through `change`."""
        before, self._session = self._session, state.session
        if (before and before.id) != (state.session and state.session.id):
            self.beginResetModel()
            self._load()
            self.endResetModel()

    def change(self, rows: Sequence[RosterRow]) -> None:
        """Changed, new or vanished rows; shown within 50 ms, the last word on a person counts."""
        session = self._session.id if self._session else None
        self._waiting.update({row.person.id: row for row in rows if row.row.session == session})
        if self._waiting and not self._batch.isActive():
            self._batch.start()

    # -- what Qt asks ------------------------------------------------------------------------------

    def rowCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own signature
        return 0 if parent.isValid() else len(self._keys)

    def roleNames(self) -> dict[int, QByteArray]:
        return {int(role): QByteArray(role.name.lower().encode()) for role in Role}

    def data(self, index: _Index, role: int = _DISPLAY_ROLE) -> object:
        if not index.isValid() or index.row() >= len(self._keys):
            return None
        if role != _DISPLAY_ROLE and role not in _ROLES:
            return None
        return self._tell(role, self._rows[self._keys[index.row()][-1]])

    # -- within ------------------------------------------------------------------------------------

    def _load(self) -> None:
        self._waiting.clear()
        self._rows = {row.person.id: row for row in self._desk.roster()}
        self._key_of = {person: _key(row) for person, row in self._rows.items()}
        self._keys = sorted(self._key_of.values())

    def _flush(self) -> None:
        touched = {self._keys[0][-1]} if self._keys else set()
        for person in list(self._waiting)[:_BATCH_ROWS]:
            row = self._waiting.pop(person)
            if row.row.person == person:
                self._place(person, row)
            else:
                self._remove(person)
            touched.add(person)
        # The old and the new top may have gained or lost their tint.
        touched.update(key[-1] for key in self._keys[:1])
        at = [self._find(person) for person in touched if person in self._key_of]
        if at:
            self.dataChanged.emit(self.index(min(at)), self.index(max(at)), list(Role))
        if self._waiting:
            self._batch.start()

    def _remove(self, person: str) -> None:
        if person in self._key_of:
            at = self._find(person)
            self.beginRemoveRows(QModelIndex(), at, at)
            del self._keys[at], self._key_of[person], self._rows[person]
            self.endRemoveRows()

    def _place(self, person: str, row: RosterRow) -> None:
        key, before = _key(row), self._key_of.get(person)
        # Views ask for the row while it is being inserted or moved.
        self._rows[person] = row
        self._key_of[person] = key
        if before is None:
            self._insert(key)
        elif before != key:
            self._move(before, key)

    def _insert(self, key: _Key) -> None:
        at = bisect_left(self._keys, key)
        self.beginInsertRows(QModelIndex(), at, at)
        self._keys.insert(at, key)
        self.endInsertRows()

    def _move(self, before: _Key, key: _Key) -> None:
        source, target = bisect_left(self._keys, before), bisect_left(self._keys, key)
        if target in (source, source + 1):
            self._keys[source] = key
            return
        self.beginMoveRows(QModelIndex(), source, source, QModelIndex(), target)
        del self._keys[source]
        self._keys.insert(target - (target > source), key)
        self.endMoveRows()

    def _find(self, person: str) -> int:
        return bisect_left(self._keys, self._key_of[person])

    def _relabel(self) -> None:
        if self._keys:
            self.dataChanged.emit(self.index(0), self.index(len(self._keys) - 1), [Role.LABEL])

    def _tell(self, role: int, row: RosterRow) -> object:
        attendance = row.row
        if role == Role.STATUS:
            value: object = str(attendance.status)
        elif role == Role.LABEL:
            value = self._words(f"status.{attendance.status}")
        elif role == Role.TIME:
            value = self._time(attendance)
        elif role == Role.NEWEST:
            value = attendance.arrival is not None and row.person.id == self._keys[0][-1]
        elif role == Role.METHOD:
            value = _METHODS.get(attendance.method, "pencil" if attendance.winner else "")
        elif role == Role.CHIP:
            value = _CHIPS[attendance.status]
        else:
            value = row.person.public_name
        return value

    def _time(self, row: Attendance) -> str:
        if row.arrival is None or row.arrival[1] - row.arrival[0] > _VAGUE:
            return _NOTHING
        zone = self._session.zone if self._session else None
        return hours.clock(sum(row.arrival) // 2, zone)


def _key(row: RosterRow) -> _Key:
    attendance = row.row
    name = row.person.public_name.casefold()
    if attendance.arrival is not None:
        return 0, -sum(attendance.arrival), name, row.person.id
    return 2 if attendance.status is Status.EXPECTED else 1, 0, name, row.person.id
