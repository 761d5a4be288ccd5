from __future__ import annotations

import logging

from kiosk import log
from kiosk.config import Config, HubSection, Storage
from kiosk.credentials import token_of

TOKEN = "the-token-of-this-file"  # noqa: S105  of no real hub


def test_a_token_from_a_file_is_kept_out_of_the_log(tmp_path, monkeypatch):
    monkeypatch.setenv("WHORL_HUB_TOKEN", "")
    monkeypatch.setattr(log, "_SECRETS", set())
    file = tmp_path / "token"
    file.touch(0o600)
    file.write_text(TOKEN)
    config = Config(storage=Storage(str(tmp_path)), hub=HubSection("http://hub", str(file)))
    assert token_of(config) == TOKEN
    record = logging.LogRecord("a", logging.INFO, "", 1, "shown: %s", (TOKEN,), None)
    assert log.Redact().format(record).endswith("shown: [redacted]")
