"""The socket of a running kiosk's commands, among peers that are slow, silent, killed or many."""

from __future__ import annotations

import json
import socket
import threading
import time

import pytest

from kiosk.clock import SystemClock
from kiosk.config import load
from kiosk.control import Request, ask
from kiosk.keeper import Keeper
from kiosk.peek import peek
from tests.flow.test_commands import run
from tests.flow.test_sensor_commands import Door
from tests.kiosk.keeping import PATIENCE
from tests.kiosk.library import know
from tests.waiting import wait_for


@pytest.fixture
def door(tmp_path):
    made = Door(tmp_path / "door", backup=True)
    with made.emulator:
        yield made


@pytest.fixture
def running(door):
    with door.running() as store:
        know(store, "ann", "bob")
        yield store


def _begun(door, person="ann"):
    """An enrolment's connection, whose first step waits unread."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(door.folder / "kiosk.sock"))
    request = {"do": "enrol", "person": person, "consent": True, "text": "1-copies"}
    connection.sendall(json.dumps(request).encode() + b"\n")
    connection.settimeout(PATIENCE)
    assert b"step" in connection.recv(4096, socket.MSG_PEEK)
    return connection


def test_a_command_that_ends_with_unread_steps_gives_up_its_enrolment_too(door, running):
    with _begun(door):
        assert "busy with another command" in door.fails("info")
    # The next command's turn comes well before anybody's patience with a missing finger ends.
    wait_for(lambda: door.run("info", check=False).returncode == 0, "the reader", 5)
    assert running.slots() == []


def test_an_enrolment_given_up_before_its_turn_leaves_a_kiosk_that_takes_commands(door):
    with door.store() as store:
        know(store, "ann")
        begun, go_on = threading.Event(), threading.Event()
        keeper = Keeper(load(door.folder / "kiosk.toml", {}), store, SystemClock(), lambda _: None)
        keeper.start()
        try:
            wait_for(lambda: not keeper.look().exception(), "the reader")
            held = keeper.reader.run(lambda _: (begun.set(), go_on.wait(PATIENCE)))
            assert begun.wait(PATIENCE)
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(str(door.folder / "kiosk.sock"))
                connection.sendall(b'{"do":"enrol","person":"ann","consent":true}\n')
                connection.shutdown(socket.SHUT_WR)
                connection.settimeout(PATIENCE)
                assert b"given up before its turn" in connection.makefile("rb").readline()
            go_on.set()
            held.result(PATIENCE)
            assert door.run("info").returncode == 0
        finally:
            go_on.set()
            keeper.stop()


def test_whoever_says_nothing_keeps_no_command_waiting(door, running):
    silent = [socket.socket(socket.AF_UNIX) for _ in range(3)]
    for connection in silent:
        connection.connect(str(door.folder / "kiosk.sock"))
        connection.sendall(b"{")
    began = time.monotonic()
    assert ask(door.folder / "kiosk.sock", Request("info")).well
    assert time.monotonic() - began < 4, "a silent peer has five seconds"
    for connection in silent:
        connection.close()


def test_a_kiosk_that_ends_does_not_wait_for_whoever_says_nothing(door):
    with socket.socket(socket.AF_UNIX) as silent:
        with door.running():
            silent.connect(str(door.folder / "kiosk.sock"))
            silent.sendall(b"{")
            ask(door.folder / "kiosk.sock", Request("info"))
            began = time.monotonic()
        assert time.monotonic() - began < 4


def test_a_running_kiosk_that_has_no_reader_takes_commands_all_the_same(door):
    door.fill("ann")
    door.run("backup")
    path = door.folder / "kiosk.toml"
    path.write_text(path.read_text().replace(f"{door.folder}/sensor", ""))
    with door.running() as store:
        know(store, "ann")
        assert "No fingerprint reader is plugged in." in door.fails("info")
        config = ("--config", path)
        told = run("kiosk", "consent", "withdraw", "ann", "--yes", *config).stdout
        assert "Recorded" in told
        with peek(door.folder / "templates.db") as kept:
            assert not kept.execute("SELECT person FROM template").fetchall()
        assert 'nobody has the id "amm"' in door.fails("revoke", "amm", "--yes")
