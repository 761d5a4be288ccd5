from __future__ import annotations

import pytest

from kiosk.model import LinkState
from sync.hub.errors import TokenError
from sync.hub.tokens import VARIABLE, hub_token, read_token, same
from tests.sync.kiosks import kiosk
from tests.sync.rig import hub, until

UNFIT = ["schlüssel-für-die-tür", "a b", "a\x00b", "tab\there"]


def token_file(path, text):
    path.touch(0o600)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("token", UNFIT)
def test_a_token_that_no_header_can_carry_is_refused_where_it_is_read(tmp_path, token):
    db = tmp_path / "hub.db"
    file = token_file(db.with_name("hub.db.token"), token + "\n")
    for read in (
        lambda: read_token(file),
        lambda: hub_token(db, {}),
        lambda: hub_token(db, {VARIABLE: token}),
    ):
        with pytest.raises(TokenError, match="visible ASCII") as caught:
            read()
        assert token not in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_plain_token_is_read_from_file_and_environment(tmp_path):
    file = token_file(tmp_path / "token", "a-token_0.9~+/=\n")
    assert read_token(file) == "a-token_0.9~+/="
    assert hub_token(tmp_path / "hub.db", {VARIABLE: " given "}) == "given"


@pytest.mark.parametrize("shown", ["", "ü", "\udcff", None])
def test_whatever_is_shown_is_compared_without_a_fault(shown):
    assert not same(shown, "token")


async def test_a_token_that_cannot_be_sent_asks_for_sign_in_and_says_why(tmp_path):
    async with hub(tmp_path / "hub.db") as server:
        with kiosk(tmp_path / "k.db", server.url, token=UNFIT[0]) as one:
            one.check_in(2)
            await one.reaches(LinkState.SIGN_IN)
            await until(lambda: one.status.attempt >= 2)
            assert "ASCII" in one.status.reason
            assert one.status.held == 2
