from __future__ import annotations

import logging

import pytest

from kiosk import log


@pytest.fixture
def bare_root():
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers.clear()
    yield root
    for handler in root.handlers:
        handler.close()
    root.handlers[:] = before
    root.setLevel(level)


def test_secrets_never_reach_the_file(tmp_path, bare_root, monkeypatch):
    log.set_up(tmp_path)
    monkeypatch.setattr(log, "_SECRETS", set())
    log.hide("super-secret-token")
    log.hide("open")  # so short that it would take words out
    logger = logging.getLogger("kiosk.test")
    logger.info("opened with super-secret-token")
    logger.info('{"token": "abcdef123456"} Authorization: Bearer zyxwv98765')
    logger.info("pin=4711 password: hunter2 template %s", "ab" * 512)
    try:
        int("super-secret-token in a traceback")
    except ValueError:
        logger.exception("failed")
    text = (tmp_path / "whorl.log").read_text()
    for secret in (
        "super-secret-token",
        "abcdef123456",
        "zyxwv98765",
        "4711",
        "hunter2",
        "ab" * 512,
    ):
        assert secret not in text
    assert "failed" in text
    assert "opened with [redacted]" in text
    assert text.count("[redacted]") >= 6


def test_a_log_that_cannot_be_written_is_told_and_the_door_goes_on(tmp_path, bare_root, capsys):
    (tmp_path / "file").write_text("")
    log.set_up(tmp_path / "file")
    assert "no log file" in capsys.readouterr().err
