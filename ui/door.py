"""The door's own screen: session, clock, prompt, counts, and the answer to a finger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer, Signal, Slot
from PySide6.QtQml import QmlElement

from kiosk.model import Phase, SensorState
from ui import hours
from ui.countdown import Countdown
from ui.greeting import Greeting, greeting
from ui.properties import Property

if TYPE_CHECKING:
    from kiosk.model import DeskState
    from ui.desk import Desk
    from ui.words import Words

QML_IMPORT_NAME = "Kiosk.Facades"
QML_IMPORT_MAJOR_VERSION = 1

_POINTING_MS = 4000
_EXPLAINING_MS = 8000
# What staff are told of, each in its own words.
_TROUBLES = (
    SensorState.MISSING,
    SensorState.SILENT,
    SensorState.BUSY,
    SensorState.REFUSED,
    SensorState.STRANGER,
)


@QmlElement
class Door(QObject):
    """Texts and states for the idle, outcome and out-of-order screens."""

    changed = Signal()
    clockChanged = Signal()
    pointed = Signal()
    remainingChanged = Signal()
    troubleChanged = Signal()

    def __init__(
        self, desk: Desk, words: Words, parent: QObject | None = None, *, badge: bool = False
    ) -> None:
        super().__init__(parent)
        self._desk = desk
        self._words = words
        self._badge = badge
        self._state = desk.state
        self._greeting = Greeting()
        self._countdown = Countdown(desk.clock, self)
        self._countdown.changed.connect(self.remainingChanged)
        self._pointing = QTimer(self, singleShot=True, interval=_POINTING_MS)
        self._pointing.timeout.connect(self.changed)
        self._explaining = QTimer(self, singleShot=True, interval=_EXPLAINING_MS)
        self._explaining.timeout.connect(self.changed)
        # Runs only while the reader is out of order, for the seconds to its next try.
        self._second = QTimer(self, interval=1000)
        self._second.timeout.connect(self.troubleChanged)
        self._minute = QTimer(self, singleShot=True)
        self._minute.timeout.connect(self._tick)
        words.changed.connect(self._retell)
        self.show(desk.state)
        self._tick()

    def show(self, state: DeskState) -> None:
        """Take over a new state of the desk."""
        before, self._state = self._state.outcome, state
        outcome = state.outcome
        if outcome is None:
            self._countdown.stop()
        elif before is None or before.serial != outcome.serial or not self._greeting.kind:
            self._countdown.start(outcome.shown)
        if state.phase is not Phase.OUT_OF_ORDER:
            self._second.stop()
            self._explaining.stop()
        elif not self._second.isActive():
            self._second.start()
        self._retell()

    def _retell(self) -> None:
        state = self._state
        # The last greeting stays, so that its screen does not change while it leaves.
        if state.outcome is not None:
            self._greeting = greeting(state.outcome, state.session, self._words)
        self.changed.emit()
        self.clockChanged.emit()
        self.troubleChanged.emit()

    def _tick(self) -> None:
        wall = self._desk.clock.wall()
        self._minute.start(hours.to_next_minute(wall))
        self.clockChanged.emit()

    @Slot()
    def notYou(self) -> None:
        self._desk.not_you()

    @Slot()
    def dismiss(self) -> None:
        self._desk.dismiss()

    @Slot()
    def pointAtReader(self) -> None:
        """Say where the reader is, for those who touch the ring on the glass."""
        self._pointing.start()
        self.changed.emit()
        self.pointed.emit()

    @Slot()
    def explainBadge(self) -> None:
        """Say what to do with a badge, for those who touch its card on the glass."""
        self._explaining.start()
        self.changed.emit()

    # -- header ------------------------------------------------------------------------------------

    @Property(str, notify=changed)
    def organisation(self) -> str:
        return self._state.organisation

    @Property(str, notify=changed)
    def sessionTitle(self) -> str:
        session = self._state.session
        return session.title if session else self._words("door.welcome")

    @Property(str, notify=changed)
    def sessionLine(self) -> str:
        session = self._state.session
        if session is None:
            return ""
        if not session.dated:
            return self._words("door.undated")
        when = self._words("door.all_day") if session.all_day else self._hours()
        return f"{when} · {session.place}" if session.place else when

    @Property(str, notify=clockChanged)
    def clock(self) -> str:
        """The time of day; a dash while it is not known."""
        return hours.clock(self._desk.clock.wall(), self._zone) if self._state.sure else "–"

    @Property(str, notify=clockChanged)
    def dateLong(self) -> str:
        return self._date("date_long")

    @Property(str, notify=clockChanged)
    def dateShort(self) -> str:
        return self._date("date_short")

    # -- the ring and its prompt -------------------------------------------------------------------

    @Property(str, notify=changed)
    def phase(self) -> str:
        """idle, reading, verifying, outcome or out_of_order."""
        return str(self._state.phase)

    @Property(str, notify=changed)
    def prompt(self) -> str:
        reading = self._state.phase is Phase.READING
        return self._words("door.reading" if reading else "door.place")

    @Property(str, notify=changed)
    def promptDetail(self) -> str:
        if self._state.phase is Phase.READING:
            return self._words("door.reading_why")
        pointing = self._pointing.isActive()
        return self._words("door.reader_below" if pointing else "door.place_where")

    # -- the answer --------------------------------------------------------------------------------

    @Property(str, notify=changed)
    def outcome(self) -> str:
        """accepted, already_in, refused or try_again."""
        return self._greeting.kind

    @Property(int, notify=changed)
    def serial(self) -> int:
        return self._state.outcome.serial if self._state.outcome else 0

    @Property(str, notify=changed)
    def word(self) -> str:
        return self._greeting.word

    @Property(str, notify=changed)
    def name(self) -> str:
        return self._greeting.name

    @Property(str, notify=changed)
    def initial(self) -> str:
        return self._greeting.initial

    @Property(str, notify=changed)
    def title(self) -> str:
        return self._greeting.title

    @Property(str, notify=changed)
    def line(self) -> str:
        return self._greeting.line

    @Property(str, notify=changed)
    def late(self) -> str:
        """The word on the plate, empty for who is in time."""
        return self._greeting.late

    @Property(str, notify=changed)
    def aside(self) -> str:
        return self._greeting.aside

    @Property(str, notify=changed)
    def action(self) -> str:
        """undo, staff, other, or empty for no button."""
        return self._greeting.action

    @Property(str, notify=changed)
    def actionTitle(self) -> str:
        return self._greeting.action_title

    @Property(str, notify=changed)
    def actionDetail(self) -> str:
        if self._badge and self._greeting.action == "other":
            return self._words("button.badge_or_code")
        return self._greeting.action_detail

    @Property(bool, notify=changed)
    def offered(self) -> bool:
        """Whether another way in is what is to be done now."""
        return self._greeting.offered

    @Property(str, notify=changed)
    def hint(self) -> str:
        """Which drawing helps: dry, or none."""
        return self._greeting.hint

    @Property(float, notify=remainingChanged)
    def remaining(self) -> float:
        """Share of the outcome's time that is left."""
        return self._countdown.left

    # -- out of order ------------------------------------------------------------------------------

    @Property(str, notify=changed)
    def troubleTitle(self) -> str:
        sensor = self._state.sensor
        if sensor.state is SensorState.STRANGER:
            return self._words(f"stranger.{sensor.mismatch or 'foreign'}")
        return self._words(f"out_of_order.{'starting' if self._starting else 'title'}")

    @Property(bool, notify=changed)
    def explaining(self) -> bool:
        """Whether what to do with a badge is being said."""
        return self._explaining.isActive()

    @Property(str, notify=changed)
    def troubleLine(self) -> str:
        if self.explaining:
            return self._words("out_of_order.badge_how")
        line = "starting_line" if self._starting else "line"
        return self._words(f"out_of_order.{line}_badge" if self._badge else f"out_of_order.{line}")

    @Property(str, notify=troubleChanged)
    def troubleStaff(self) -> str:
        sensor = self._state.sensor
        stranger = sensor.state is SensorState.STRANGER
        parts = [] if stranger else [self._words("out_of_order.staff")]
        if sensor.since is not None and sensor.state in _TROUBLES:
            since = hours.clock(sensor.since, self._zone)
            parts.append(self._words(f"out_of_order.{sensor.state.value}", since=since))
        if sensor.retry_at is not None and not stranger:
            seconds = max(0, round(sensor.retry_at - self._desk.clock.monotonic()))
            parts.append(self._words("out_of_order.retry", seconds=seconds))
        return " ".join(parts)

    # -- counts ------------------------------------------------------------------------------------

    @Property(int, notify=changed)
    def present(self) -> int:
        return self._state.counts.present

    @Property(str, notify=changed)
    def presentText(self) -> str:
        return self._present("door.present_of")

    @Property(str, notify=changed)
    def presentShort(self) -> str:
        """The same for where a crowd leaves little room."""
        return self._present("door.present_short")

    @Property(str, notify=changed)
    def restText(self) -> str:
        counts = self._state.counts
        for kind in ("expected", "absent", "excused"):
            if number := getattr(counts, kind):
                return self._words(f"door.{kind}", n=number)
        return ""

    @Property(str, notify=changed)
    def countsLine(self) -> str:
        counts = self._state.counts
        return self._words("door.summary", present=counts.present, total=counts.total)

    @Property(float, notify=changed)
    def onTimeShare(self) -> float:
        counts = self._state.counts
        return (counts.present - counts.late) / max(1, counts.total)

    @Property(float, notify=changed)
    def lateShare(self) -> float:
        return self._state.counts.late / max(1, self._state.counts.total)

    # -- within ------------------------------------------------------------------------------------

    @property
    def _zone(self) -> str | None:
        return self._state.session.zone if self._state.session else None

    @property
    def _starting(self) -> bool:
        return self._state.sensor.state is SensorState.STARTING

    def _hours(self) -> str:
        session = self._state.session
        if session is None:
            return ""
        start, end = (hours.clock(at, session.zone) for at in (session.starts, session.ends))
        return self._words("door.hours", start=start, end=end)

    def _present(self, key: str) -> str:
        counts = self._state.counts
        if counts.total == counts.present:
            return self._words("door.present")
        return self._words(key, total=counts.total)

    def _date(self, pattern: str) -> str:
        if not self._state.sure:
            return self._words("door.undated")
        return hours.date(
            self._desk.clock.wall(), self._zone, self._words.code, self._words(pattern)
        )
