"""Words in which histories of a site are told by hand; times are minutes after nine in London."""

from __future__ import annotations

from msgspec import structs

from kiosk.model import Author, Entry, Envelope, Event, Kind
from sync.merge import Names, SiteFold, explain, fold

MINUTE = 60 * 1_000_000_000
NINE = 1_774_602_000_000_000_000  # 27 March 2026, two days before summer time, in UTC
LATE = 10

TAKER, INES, ADA = Author("staff", "tess", 1), Author("staff", "ines", 2), Author("staff", "ada", 3)
OLU = Author("staff", "olu", 2)
DOOR, HUB = Author(), Author("hub")

NAMES = Names(
    people={"ann": "Ann A.", "bob": "Bob B.", "v-1": "Vera"},
    staff={"tess": "Tess", "ines": "Ines", "olu": "Olu", "ada": "Ada"},
    devices={"a": "Front door", "b": "Back door", "c": "Pool"},
    sessions={"class": "Yoga"},
    zone="Europe/London",
)


class Log:
    """Writes entries the way devices do: each its own count, each entry its envelope."""

    def __init__(self):
        self.entries = []
        self._kseqs = {}

    def write(self, name, kind, device, minute=0.0, /, *, width=0.0, **more):
        """An accepted event of a device; `i` its incarnation, `kseq` its place if not the next."""
        incarnation = more.pop("i", "i1")
        line = (device, incarnation)
        kseq = more.pop("kseq", self._kseqs.get(line, 0) + 1)
        self._kseqs[line] = kseq
        verdict, code = more.pop("verdict", "accepted"), more.pop("code", "")
        by = more.pop("by", DOOR)
        event = Event(
            id=name,
            device=device,
            incarnation=incarnation,
            kseq=kseq,
            kind=kind,
            org="org",
            room="room",
            wall=0,
            zone="UTC",
            boot="boot",
            ticks=0,
            synced=False,
            session=more.pop("session", "class"),
            person=more.pop("person", "ann"),
            by=by,
            saw=tuple(more.pop("saw", ())),
            data=more,
        )
        low = NINE + int(minute * MINUTE)
        high = low + int(width * MINUTE)
        offset = len(self.entries) + 1
        envelope = Envelope("epoch", offset, NINE + offset, low, high, verdict, code, by.rank)
        entry = Entry(event, low, high, envelope)
        self.entries.append(entry)
        return entry

    def scan(self, name, device, minute, **more):
        return self.write(name, Kind.CHECK_IN, device, minute, **({"method": "finger"} | more))

    def out(self, name, device, minute, **more):
        return self.write(name, Kind.CHECK_OUT, device, minute, **more)

    def says(self, name, device, status, *saw, by=INES, **more):
        return self.write(name, Kind.OVERRIDE, device, 30, status=status, saw=saw, by=by, **more)

    def undo(self, name, device, target, *saw, by=INES, **more):
        return self.write(name, Kind.RETRACT, device, 40, target=target, saw=saw, by=by, **more)

    def closed(self, name, device, minute, *saw, by=INES, **more):
        more = {"person": None} | more
        return self.write(name, Kind.SESSION_CLOSED, device, minute, saw=saw, by=by, **more)

    def reopened(self, name, device, minute, *saw, by=INES, **more):
        more = {"person": None} | more
        return self.write(name, Kind.SESSION_REOPENED, device, minute, saw=saw, by=by, **more)

    def resolved(self, name, device, item, by=INES, **more):
        more = {"person": None} | more
        return self.write(name, Kind.RESOLVE, device, 50, item=item, by=by, **more)

    def record(self, name, record, id_, rev, value):
        data = {"record": record, "id": id_, "rev": rev, "value": value}
        where = {"session": None, "person": None, "by": HUB}
        return self.write(name, Kind.DIRECTORY, "hub", **where, **data)

    def merged(self, name, person, into, rev=1):
        """The hub says that one id is another's."""
        event = self.write(name, Kind.MERGED, "hub", session=None, person=None, by=HUB)
        data = {"person": person, "into": into, "rev": rev}
        self.entries[-1] = structs.replace(event, event=structs.replace(event.event, data=data))
        return self.entries[-1]

    def directory(self, roster=("ann", "bob"), **session):
        """Ann, Bob and the class, which lasts an hour; who comes after ten past nine is late."""
        self.record("d-ann", "person", "ann", 1, {"id": "ann", "first_name": "Ann"})
        self.record("d-bob", "person", "bob", 1, {"id": "bob", "first_name": "Bob"})
        value = {
            "id": "class",
            "title": "Yoga",
            "zone": "Europe/London",
            "starts": NINE,
            "ends": NINE + 60 * MINUTE,
            "late_at": NINE + LATE * MINUTE,
            "roster": roster,
        }
        self.record("d-class", "session", "class", 1, value | session)
        return self


def told(log):
    """The state of all, which the incremental fold must give forwards and backwards as well."""
    state = fold(log.entries)
    for order in (log.entries, log.entries[::-1]):
        site = SiteFold()
        for entry in order:
            site.apply(entry)
            assert site.state is not None
        assert site.state == state
    return state


def words(state):
    """What staff are asked, one sentence for each item, in the order of the alphabet."""
    return sorted(explain(item, NAMES) for item in state.waiting)


def at(minute, width=0.0):
    low = NINE + int(minute * MINUTE)
    return (low, low + int(width * MINUTE))
