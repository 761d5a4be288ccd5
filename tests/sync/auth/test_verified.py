from __future__ import annotations

import pytest

from kiosk.clock import NS
from kiosk.model import Rank
from sync.hub.auth.gate import Caller, DeniedError
from sync.hub.auth.grants import Grant, Role
from sync.hub.auth.passes import DEVICE_LIFE, Passes
from sync.hub.auth.verified import Verified
from sync.protocol import Close
from tests.sync.auth.rig import stage
from tests.sync.rig import ORG, SITE, TestClock

HERE = Caller("10.0.0.9", "test")


class Counting(Passes):
    def __init__(self):
        super().__init__(bytes(32), TestClock())
        self.reads = 0

    def read(self, token):
        self.reads += 1
        return super().read(token)

    def token(self, number=0):
        return self.make(Grant(Role.STAFF, f"ada-{number}", "d", ORG, (SITE,), rank=Rank.TAKER))[0]


def test_a_good_token_is_verified_once_and_its_grant_is_shared():
    passes = Counting()
    verified, token = Verified(passes), passes.token()
    first = verified.read(token)
    assert first == passes.read(token)
    assert verified.read(token) is first
    assert passes.reads == 2  # this test's own among them


def test_no_bad_token_is_remembered_and_none_passes_for_a_good_one():
    passes = Counting()
    verified, token = Verified(passes), passes.token()
    verified.read(token)
    for bad in ("", "x", token[:-2], token + "A", token.swapcase(), "\udcff" + token, "x" * 9000):
        assert verified.read(bad) is None
    assert len(verified) == 1


def test_no_more_are_kept_than_so_many():
    passes = Counting()
    verified = Verified(passes, most=3)
    tokens = [passes.token(n) for n in range(5)]
    for token in tokens:
        verified.read(token)
    assert len(verified) == 3
    reads = passes.reads
    assert verified.read(tokens[4]).subject == "ada-4"
    assert passes.reads == reads
    assert verified.read(tokens[0]).subject == "ada-0"
    assert passes.reads == reads + 1


async def test_what_is_remembered_still_expires_and_is_taken_back(tmp_path):
    async with stage(tmp_path) as hub:
        token, other = (await hub.paired())["token"], (await hub.paired("kiosk-2"))["token"]
        for one in (token, token, other):
            assert hub.gate.admit(one, HERE)
        await hub.post("/v1/pairings/kiosk-2/revoke", token=(hub.gate._owner))
        with pytest.raises(DeniedError) as caught:
            hub.gate.admit(other, HERE)
        assert caught.value.close is Close.REVOKED
        hub.clock.now += DEVICE_LIFE * NS
        with pytest.raises(DeniedError) as caught:
            hub.gate.admit(token, HERE)
        assert (caught.value.close, "expired" in str(caught.value)) == (Close.TOKEN, True)
