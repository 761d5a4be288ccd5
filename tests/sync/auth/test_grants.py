from __future__ import annotations

from dataclasses import replace

import jwt
import pytest

from kiosk.clock import NS
from kiosk.model import Rank, session_room, site_room
from sync.hub.auth.grants import EVERYWHERE, OWNER, Grant, Role
from sync.hub.auth.keys import hub_keys
from sync.hub.auth.passes import DEVICE_LIFE, STAFF_LIFE, Passes
from tests.sync.rig import TestClock

DEVICE = Grant(Role.DEVICE, "k1", "k1", "acme", ("north",), stamp=7)
TAKER = Grant(Role.STAFF, "ada", "login-1", "acme", ("north", "south"), rank=Rank.TAKER)


@pytest.fixture
def clock():
    return TestClock()


@pytest.fixture
def passes(tmp_path, clock):
    return Passes(hub_keys(tmp_path / "hub.db").signing, clock)


@pytest.mark.parametrize("grant", [DEVICE, TAKER, Grant(Role.ADMIN, "root", "x", rooms=("a",))])
def test_a_token_says_what_was_granted(passes, clock, grant):
    token, full = passes.make(grant)
    assert passes.read(token) == full
    life = DEVICE_LIFE if grant.role is Role.DEVICE else STAFF_LIFE
    assert full.expires == clock.now // NS + life


def test_forged_tokens_are_nobodys(passes, tmp_path):
    token, _ = passes.make(DEVICE)
    head, body, seal = token.split(".")
    claims = jwt.decode(token, options={"verify_signature": False})
    forged = [
        "",
        "x",
        "a.b.c",
        token[:-2],
        f"{head}.{body}.",
        f"{head}.{body}x.{seal}",
        jwt.encode(claims | {"role": "admin"}, "secret" * 6, "HS256"),
        jwt.encode(claims, None, "none"),
        jwt.encode(claims, "secret" * 6, "HS256"),
        Passes(hub_keys(tmp_path / "other.db").signing, TestClock()).make(DEVICE)[0],
        "x" * 10_000,
        "ü.ü.ü",
    ]
    assert [passes.read(one) for one in forged] == [None] * len(forged)


@pytest.mark.parametrize("claim", ["exp", "sub", "jti", "iat", "iss"])
def test_a_token_lacking_a_claim_is_none(passes, claim):
    token, _ = passes.make(DEVICE)
    claims = jwt.decode(token, options={"verify_signature": False})
    del claims[claim]
    assert passes.read(jwt.encode(claims, passes._signing, "HS256")) is None


@pytest.mark.parametrize(
    ("claim", "value"), [("role", "king"), ("exp", "late"), ("sites", "north"), ("sub", "x" * 501)]
)
def test_a_token_with_a_claim_of_another_kind_is_none(passes, claim, value):
    token, _ = passes.make(DEVICE)
    claims = jwt.decode(token, options={"verify_signature": False}) | {claim: value}
    assert passes.read(jwt.encode(claims, passes._signing, "HS256")) is None


def test_a_challenge_is_no_token_and_no_other_devices(passes, clock):
    challenge = passes.challenge("k1")
    assert passes.read(challenge) is None
    assert passes.answers(challenge, "k1")
    assert not passes.answers(challenge, "k2")
    assert not passes.answers(passes.make(DEVICE)[0], "k1")
    clock.now += 61 * NS
    assert not passes.answers(challenge, "k1")


def test_a_kiosk_speaks_for_itself_at_its_site_alone():
    assert DEVICE.speaks_for("acme", "north", "k1")
    assert not DEVICE.speaks_for("acme", "north", "k2")
    assert not DEVICE.speaks_for("acme", "south", "k1")
    assert not DEVICE.speaks_for("evil", "north", "k1")
    assert OWNER.speaks_for("any", "where", "at all")


def test_rooms_are_those_of_the_site_and_the_organisations_sessions():
    assert DEVICE.may_follow(site_room("acme", "north"), "acme", "north")
    assert DEVICE.may_follow(session_room("acme", "s1"), "acme", "north")
    for room in (
        site_room("acme", "south"),
        site_room("evil", "north"),
        session_room("evil", "s1"),
        "org/acme/site/",
        "org/acme/site/north/../south",
        "",
    ):
        assert not DEVICE.may_follow(room, "acme", "north")
    assert not DEVICE.may_follow(site_room("acme", "south"), "acme", "south")
    only = Grant(Role.STAFF, "ada", "x", "acme", ("north",), rooms=(session_room("acme", "s1"),))
    assert only.may_follow(session_room("acme", "s1"), "acme", "north")
    assert not only.may_follow(session_room("acme", "s2"), "acme", "north")
    assert not only.may_follow(site_room("acme", "north"), "acme", "north")


def test_what_each_role_may_do():
    instructor = Grant(Role.STAFF, "bo", "y", "acme", ("north",), rank=Rank.INSTRUCTOR)
    chief = Grant(Role.ADMIN, "cy", "z", "acme", ("north",), rank=Rank.ADMIN)
    nobody = Grant(Role.STAFF, "di", "w", "acme", ("north",))
    told = [
        (g.may_push(), g.may_direct("acme", "north"), g.may_administer())
        for g in (DEVICE, TAKER, instructor, chief, OWNER, nobody)
    ]
    assert told == [
        (True, False, False),
        (True, False, False),
        (True, False, False),
        (True, True, True),
        (True, True, True),
        (False, False, False),
    ]
    assert not chief.may_direct("acme", "south")
    assert not chief.may_direct("evil", "north")


def test_only_a_token_of_one_site_tells_by_itself_which_is_meant():
    one = Grant(Role.DEVICE, "k", "k", "acme", ("north",))
    assert one.only_site == ("acme", "north")
    assert replace(one, sites=("north", "south")).only_site is None
    assert replace(one, sites=(EVERYWHERE,)).only_site is None
    assert OWNER.only_site is None
