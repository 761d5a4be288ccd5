"""What a hub's log does with events of devices that were shut out, and with keys from pairings."""

from __future__ import annotations

import contextlib

from kiosk.model import Author as By
from kiosk.model import Kind, Rank, decode_event
from sync.hub.log import Log
from sync.hub.transaction import Submission
from sync.signing import Signer
from tests.sync.rig import ORG, Author, TestClock, one_by_one, signed, signer


@contextlib.contextmanager
def log(path):
    made = Log(path / "hub.db", TestClock())
    try:
        yield made
    finally:
        made.close()


def submitted(log, bodies, by="relay", signatures=None):
    log.begin()
    signatures = one_by_one(bodies) if signatures is None else signatures
    judged = log.submit(Submission(ORG, by, bodies, signed=signatures))
    log.commit()
    return [(one.verdict, one.code) for one in judged]


def test_what_a_revoked_device_wrote_is_kept_apart_whoever_brings_it(tmp_path):
    with log(tmp_path) as one:
        author = Author("stolen")
        before, after = author.bodies(2), author.bodies(2)
        assert submitted(one, before) == [("ok", "")] * 2
        one.revoked = frozenset({"stolen"})
        assert submitted(one, after) == [("quarantined", "revoked")] * 2
        assert submitted(one, before) == [("dup", "")] * 2
        assert submitted(one, Author("honest").bodies(1)) == [("ok", "")]
        kept = one._db.execute("SELECT code, count(*) FROM quarantine GROUP BY code").fetchall()
        assert kept == [("revoked", 2)]
        one.revoked = frozenset()
        assert submitted(one, author.bodies(1)) == [("ok", "")]


def test_a_pairing_says_which_key_is_right_whichever_was_heard_first(tmp_path):
    with log(tmp_path) as one:
        author, thief = Author("k1"), Signer(bytes(32))
        true = signer("k1", author.incarnation).public
        one.begin()
        assert one.introduce(ORG, "k1", author.incarnation, thief.public)
        one.vouch("k1", author.incarnation, true)
        assert not one.introduce(ORG, "k1", author.incarnation, thief.public)
        one.commit()
        bodies = author.bodies(2)
        assert submitted(one, bodies[:1]) == [("ok", "")]
        forged = [signed([decode_event(bodies[1])], by=thief)]
        assert submitted(one, bodies[1:], signatures=forged) == [("quarantined", "signature")]


def test_no_kiosk_and_no_staff_speaks_as_the_hub_whoever_brings_it(tmp_path):
    staff = By("staff", "boss", Rank.ADMIN)
    promoted = {"record": "staff", "id": "boss", "rev": 9, "value": {"id": "boss", "rank": 3}}
    with log(tmp_path) as one:
        one.paired = frozenset({"kiosk-1"})
        kiosk, browser, hub = Author("kiosk-1"), Author("browser"), Author("hub-2")
        for kind, data in (
            (Kind.DIRECTORY, promoted),
            (Kind.MERGED, {"person": "p1", "into": "p2"}),
        ):
            said = [kiosk.body(kind=kind, data=data)]
            assert submitted(one, said) == [("quarantined", "right")]
            said = [browser.body(kind=kind, data=data, by=staff)]
            one.begin()
            own = Submission(ORG, "browser", said, signed=one_by_one(said), staff=staff)
            assert [v.code for v in one.submit(own)] == ["right"]
            one.commit()
            unpaired = Author(f"fresh-{kind}")
            said = [unpaired.body(kind=kind, data=data)]
            own = Submission(ORG, unpaired.device, said, signed=one_by_one(said), introduces=False)
            one.begin()
            assert [v.code for v in one.submit(own)] == ["right"]
            one.commit()
            assert one._db.execute("SELECT * FROM directory").fetchall() == []
            assert submitted(one, [kiosk.body()]) == [("ok", "")]
        # Another hub's log, brought by its kiosks, is heeded.
        assert submitted(one, [hub.body(kind=Kind.DIRECTORY, data=promoted)]) == [("ok", "")]
        assert one._db.execute("SELECT rev FROM directory").fetchall() == [(9,)]
