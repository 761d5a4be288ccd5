"""What the directory takes for a record, by itself and through a hub."""

from __future__ import annotations

import json

import aiohttp
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiosk.model import Person, Policy, Session
from sync.hub import house
from sync.hub.vetting import VettingError, clashes, vet
from tests.sync.auth.rig import stage
from tests.sync.rig import ORG, SITE, TOKEN, hub
from tests.sync.test_hub_http import Web

ADA = {"id": "p1", "first_name": "Ada", "last_name": "L", "code": "1234", "badges": ["k.00"]}
CHOIR = {"id": "s1", "title": "Choir", "zone": "Europe/London", "starts": 1, "ends": 2}
GOOD = [
    ("person", "p1", ADA),
    ("person", "p1", {"id": "p1", "first_name": "Ada", "active": False}),
    ("session", "s1", CHOIR | {"roster": ["p1"], "late_at": 1, "place": "Hall", "all_day": True}),
    ("policy", "site", {"late_after": 10, "grace": 5, "capacity": 40, "travel": 3}),
    ("device", "kiosk-1", {"place": "North", "travel": {"South": 10}}),
    ("merged", "p1", "p2"),
    ("merged", "p1", None),
]
BAD = [
    ("people", "p1", ADA, "there is no record"),
    ("staff", "ada", {"id": "ada", "rank": 3}, "kiosk hub staff"),
    ("person", "p2", ADA, "another"),
    ("person", "p1", ADA | {"kind": "dragon"}, "dragon"),
    ("person", "p1", ADA | {"code": "12"}, "code"),
    ("person", "p1", ADA | {"code": "\uff11\uff12\uff13"}, "code"),
    ("person", "p1", ADA | {"first_name": ""}, "first_name"),
    ("person", "p1", ADA | {"first_name": "A\nB"}, "first_name"),
    ("person", "p1", ADA | {"bagde": ["k.00"]}, "bagde"),
    ("person", "p1", {"id": "p1"}, "first_name"),
    ("person", "p1", [ADA], "object"),
    ("session", "s1", CHOIR | {"zone": "Europe/Berln"}, "Europe/Berln"),
    ("session", "s1", CHOIR | {"zone": "../../etc/passwd"}, "no time zone"),
    ("session", "s1", CHOIR | {"ends": 1}, "before it starts"),
    ("session", "s1", CHOIR | {"starts": -(2**70)}, "starts"),
    ("session", "s2", CHOIR, "another"),
    ("policy", "site", {"grace": -1}, "grace"),
    ("device", "kiosk-1", {"revoked": False}, "revoked"),
    ("merged", "p1", "p1", "themselves"),
]


@pytest.mark.parametrize(("record", "id_", "value"), GOOD)
def test_what_a_record_may_be(record, id_, value):
    vet(record, id_, value)


@pytest.mark.parametrize(("record", "id_", "value", "why"), BAD)
def test_what_none_may_be(record, id_, value, why):
    with pytest.raises(VettingError, match=why) as caught:
        vet(record, id_, value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("record", "type_"), [("person", Person), ("session", Session), ("policy", Policy)]
)
@given(data=st.data())
def test_whatever_passes_is_understood_by_those_who_read_it(record, type_, data):
    fields = {field.encode_name for field in msgspec.structs.fields(type_)}
    atom = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.text())
    value = data.draw(st.dictionaries(st.sampled_from(sorted(fields)), atom))
    value |= data.draw(st.sampled_from([{}, ADA, CHOIR]))
    try:
        vet(record, str(value.get("id")), value)
    except VettingError:
        return
    read = msgspec.json.decode(msgspec.json.encode(value), type=type_)
    for name, said in value.items():
        kept = getattr(read, name)
        assert (list(kept) if isinstance(kept, tuple) else kept) == said


def person(id_, **given):
    return "person", id_, {"id": id_, "first_name": "A", **given}


def test_a_code_or_badge_belongs_to_one_active_person():
    known = [("p1", ADA), ("p2", {"id": "p2", "code": "777", "active": False})]
    assert clashes([person("p3", code="1234")], known) == ["code 1234 would belong to p1 and p3"]
    assert clashes([person("p3", badges=["k.00"])], known) == ["a badge would belong to p1 and p3"]
    assert clashes([person("p3", code="777")], known) == []
    assert clashes([person("p1", code="1234", last_name="Lo")], known) == []
    assert clashes([person("p3", code="12", active=False)], known) == []
    two = [person("p3", code="555"), person("p4", code="555")]
    assert clashes(two, known) == ["code 555 would belong to p3 and p4"]
    # Handed over within one request, in either order.
    swap = [person("p3", code="1234"), person("p1", code="4321")]
    assert clashes(swap, known) == clashes(swap[::-1], known) == []
    # What is wrong already keeps nobody else out.
    assert clashes([person("p9", code="999")], [*known, ("p5", ADA)]) == []


async def test_a_hub_takes_all_of_a_request_or_none_of_it(tmp_path):
    async with hub(tmp_path / "hub.db") as server, aiohttp.ClientSession() as session:
        session.headers["Authorization"] = f"Bearer {TOKEN}"
        web = Web(server.url, session)

        async def post(*records):
            body = [dict(zip(("record", "id", "value"), one, strict=True)) for one in records]
            return await web.ask("POST", "/v1/directory", json.dumps(body).encode())

        status, answer = await post(person("p1", code="1234"), person("p2", kind="dragon"))
        assert (status, answer["code"]) == (400, "record")
        assert "person p2" in answer["error"]
        assert (await web.ask("GET", "/v1/people"))[1]["items"] == []
        assert (await post(person("p1", code="1234")))[0] == 200
        status, answer = await post(person("p3"), person("p2", code="1234"))
        assert (status, answer["code"]) == (409, "taken")
        assert answer["error"] == "code 1234 would belong to p1 and p2"
        assert [one["id"] for one in (await web.ask("GET", "/v1/people"))[1]["items"]] == ["p1"]
        put = json.dumps(person("p2", code="1234")[2]).encode()
        assert (await web.ask("PUT", "/v1/people/p2", put))[0] == 409
        assert (await web.ask("PUT", "/v1/staff/ada", b"{}"))[0] == 405


def test_a_device_is_described_by_two_hands():
    known = msgspec.json.encode({"id": "k", "name": "Gate", "revoked": False, "place": "North"})
    register = {"id": "k", "name": "Door", "revoked": True}
    assert house.united("device", known, register) == register | {"place": "North"}
    assert house.united("device", b"", register) == register
    assert house.united("person", known, register) == register


async def test_a_kiosks_place_outlives_what_the_register_says_of_it(tmp_path):
    async with stage(tmp_path) as shop:
        await shop.paired()
        where = f"?org={ORG}&site={SITE}"
        async with aiohttp.ClientSession() as session:
            session.headers["Authorization"] = f"Bearer {TOKEN}"
            web = Web(shop.url, session)
            put = json.dumps({"place": "North", "travel": {"South": 10}}).encode()
            status, made = await web.ask("PUT", "/v1/devices/kiosk-1" + where, put, {})
            assert status == 200
            assert made["value"]["place"] == "North"
            shop.register.rename("kiosk-1", "Gate")
            await shop.gate.look()
            await web.ask("PUT", "/v1/people/p9" + where, b'{"id":"p9","first_name":"A"}', {})
            _, now = await web.ask("GET", "/v1/devices/kiosk-1" + where, None, {})
            assert now["value"]["place"] == "North"
            assert now["value"]["name"] == "Gate"
            assert now["rev"] > made["rev"]
