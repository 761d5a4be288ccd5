"""What the doctor finds of reader, library, orders, templates and badges, on real ones."""

from __future__ import annotations

import msgspec
import pytest

from drivers.emulator import Emulator
from drivers.events import SensorUp
from drivers.reconcile import adopt
from drivers.zfm import open_zfm
from kiosk.badges import BadgeKey, badge_key
from kiosk.checkup import records_findings, sensor_findings
from kiosk.clock import SystemClock
from kiosk.config import Badge, Organisation, Sensor, Templates
from kiosk.keeper import Keeper
from kiosk.model import Kind, Person
from kiosk.revocation import revoke
from kiosk.store import Draft, Store
from tests.kiosk.keeping import Heard, settings
from tests.kiosk.library import keep, know, put_in
from tests.kiosk.test_desk import directory


@pytest.fixture
def config(tmp_path):
    return settings(tmp_path)


def findings(config):
    found = (*sensor_findings(config), *records_findings(config))
    return {finding.name: finding for finding in found}


def marks(config):
    return {name: finding.line()[:4].strip() for name, finding in findings(config).items()}


def test_before_the_first_start_all_is_well_and_stays_so(config, tmp_path):
    with Emulator("r307", tmp_path / "sensor"):
        assert set(marks(config).values()) == {"ok"}
    assert [path.name for path in tmp_path.iterdir()] == []


@pytest.fixture
def enrolled(store, sensor, slots, templates):
    """Ann and Bob are in the sensor and kept."""
    know(store, "ann", "bob")
    for name in ("ann", "bob"):
        put_in(sensor, slots, name)
        keep(sensor, templates, name)
    sensor.close()


@pytest.mark.usefixtures("enrolled")
def test_a_sound_reader_is_told_with_its_records(config, store):
    found = findings(config)
    assert found["sensor"].seen.endswith(": 2 active")
    assert store.sensor_binding().sensor in found["sensor"].seen
    assert found["library"].seen == "[--------------------] 2 of 1000 slots used"
    assert set(marks(config).values()) == {"ok"}


@pytest.mark.usefixtures("enrolled")
def test_another_reader_and_strange_slots_fail(config, emulator):
    emulator.enrol("ghost", 9)
    assert "1 nobody's" in findings(config)["sensor"].seen
    assert marks(config)["sensor"] == "FAIL"
    emulator.swap(1)
    seen = findings(config)["sensor"].seen
    assert "closed (blank)" in seen
    assert "This is a different fingerprint reader. Plug the right one in" in seen
    assert all(f"kiosk sensor {word}" in seen for word in ("adopt", "wipe", "reprovision"))
    assert marks(config)["sensor"] == "FAIL"


def test_nine_tenths_are_almost_full(config, slots, tmp_path):
    with Emulator("zfm20", tmp_path / "sensor", seed=1) as running:
        for number in range(145):
            running.enrol(f"p{number}", number)
        with open_zfm(running.port) as sensor:
            adopt(sensor, slots)
        assert marks(config)["library"] == "ok"
        running.enrol("one more", 145)
        found = findings(config)["library"]
    assert (found.well, found.mind) == (True, True)
    assert found.line().startswith("mind library   [##################--] 146 of 162")


@pytest.mark.usefixtures("enrolled")
def test_an_order_that_waits_is_told(config, store, slots, templates):
    revoke(store, slots, "ann", sensor=None, templates=templates)
    found = findings(config)["orders"]
    assert (found.well, found.mind) == (True, True)
    assert "1 people" in found.seen
    assert "1 of 1 people are kept" in findings(config)["templates"].seen


@pytest.mark.usefixtures("enrolled")
def test_a_missing_or_wrong_key_fails(config, tmp_path):
    ring = tmp_path / "vault.key"
    assert f"2 of 2 people are kept, and their keys open them ({ring})" == (
        findings(config)["templates"].seen
    )
    right = ring.read_text()
    wrong = [
        line if line.startswith("#") else line[:-8] + "AAAAAAA=" for line in right.splitlines()
    ]
    for text in (None, "\n".join(wrong) + "\n"):
        if text is None:
            ring.unlink()
        else:
            ring.write_text(text)
            ring.chmod(0o600)
        assert marks(config)["templates"] == "FAIL", text
    ring.write_text(right)
    ring.chmod(0o600)
    assert marks(config)["templates"] == "ok"


@pytest.mark.usefixtures("enrolled")
def test_copies_that_the_settings_no_longer_want_are_told(tmp_path):
    assert marks(settings(tmp_path, backup=False))["templates"] == "mind"


def test_who_was_let_in_without_the_finger_asked_for_is_counted(config, store):
    assert "none not" in findings(config)["claims"].seen
    for verified in ("finger", "unreadable", "unavailable", "unreadable", None):
        data = {"method": "badge"} | ({"verified": verified} if verified else {})
        store.record(Draft(Kind.CHECK_IN, "s", "ann", data=data)).result()
    found = findings(config)["claims"]
    assert (found.well, found.mind) == (True, True)
    assert "of the last 5 check-ins here 3 were let in" in found.seen
    assert "(1 unavailable, 2 unreadable); 1 were borne out" in found.seen


def test_badges_of_another_pepper_are_counted(config, store, tmp_path):
    mine, other = BadgeKey("club"), BadgeKey("club", b"another site's pepper")
    config = msgspec.structs.replace(config, organisation=Organisation("club"))
    people = [Person("ann", "Ann", badges=(mine.hash("1"), other.hash("2"))), Person("bob", "Bob")]
    store.apply_remote("site", "e", list(directory(people)), 2).result()
    found = findings(config)["badges"]
    assert (found.well, found.mind) == (True, True)
    assert found.seen.startswith("2 badges of 1 people; 1 were imported with another pepper")
    assert "kept without a pepper" in found.seen
    badge_key(config).hash("1")  # an import makes the own hub's secret
    found = findings(config)["badges"]
    assert found.mind
    assert "1 are kept without the present pepper: import the people again" in found.seen
    assert "the pepper is that of this kiosk's own hub" in found.seen
    nowhere = Badge(pepper_file=str(tmp_path / "nowhere"))
    assert marks(msgspec.structs.replace(config, badge=nowhere))["badges"] == "FAIL"


@pytest.mark.usefixtures("enrolled")
def test_a_reader_that_this_kiosk_holds_is_well(config, store, templates):
    templates.close()
    heard = Heard()
    keeper = Keeper(config, store, SystemClock(), heard)
    keeper.start()
    try:
        heard.until(SensorUp)
        found = findings(config)["sensor"]
        assert (found.well, "held by the running kiosk, which has 2 active" in found.seen) == (
            True,
            True,
        )
        store.close()
        assert marks(config)["sensor"] == "FAIL", "some other program has it"
    finally:
        keeper.stop()


def test_a_module_that_does_not_tell_its_model_needs_the_setting(config, tmp_path):
    with Emulator("r308", tmp_path / "sensor"):
        found = findings(config)["sensor"]
        assert (found.well, "Set profile in [sensor] to" in found.seen) == (False, True)
        at = Sensor(config.sensor.port, profile="r308")
        config = msgspec.structs.replace(config, sensor=at)
        assert "r308/512" in findings(config)["sensor"].seen
        assert marks(config)["sensor"] == "ok"
        heard = Heard()
        store = Store.open(
            config.database, org="club", site="hall", clock=SystemClock(), zone="UTC"
        )
        keeper = Keeper(config, store, SystemClock(), heard)
        keeper.start()
        try:
            assert heard.until(SensorUp).weak
        finally:
            keeper.stop()
            store.close()


def test_without_a_reader_in_the_settings_all_is_well_and_said(config):
    none = msgspec.structs.replace(config, sensor=Sensor())
    found = findings(none)["sensor"]
    assert (found.well, found.mind) == (True, True)
    assert "no reader is configured" in found.seen


def test_a_key_that_cannot_be_made_fails_where_it_is_wanted(config, tmp_path):
    (tmp_path / "a file").touch()
    for folder, mark in ((tmp_path / "new" / "er", "ok"), (tmp_path / "a file" / "x", "FAIL")):
        kept = Templates(backup=True, key_file=str(folder / "vault.key"))
        assert marks(msgspec.structs.replace(config, templates=kept))["templates"] == mark
    assert not (tmp_path / "new").exists()
    none = Templates(key_file=str(tmp_path / "a file" / "vault.key"))
    assert marks(msgspec.structs.replace(config, templates=none))["templates"] == "ok"
