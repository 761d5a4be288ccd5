"""A hub and a kiosk as processes: paired with a code, pushing with a token of its own, shut out."""

from __future__ import annotations

import base64
import datetime as dt
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import time
import urllib.request

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kiosk import hubs
from kiosk.badges import BadgeKey, badge_key
from kiosk.clock import SystemClock
from kiosk.config import PAIRING_FILE, Config, Organisation, SiteSection, Storage
from kiosk.credentials import pairing_of
from kiosk.incarnation import told_apart
from kiosk.model import Kind, LinkState
from kiosk.rescue import open_store
from kiosk.store import Draft
from sync.client import SyncClient
from tests.flow.conftest import rows
from tests.waiting import wait_for

PLAIN = {k: v for k, v in os.environ.items() if k != "WHORL_HUB_TOKEN"}


def run(*words):
    return subprocess.run(
        [sys.executable, "-m", "kiosk", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=60,
        env=PLAIN,
        check=False,
    )


def command(*words, code=0):
    done = run(*words)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def hub(tmp_path):
    """A hub process and what else its command line says; (database, function to start it)."""
    running = []

    def start(*words):
        process = subprocess.Popen(
            [sys.executable, "-m", "kiosk", "hub", "serve", "--port", "0", *map(str, words)],
            stdout=subprocess.PIPE,
            text=True,
            env=PLAIN,
        )
        running.append(process)
        return process.stdout.readline().split()[1]

    yield tmp_path / "hub.db", start
    for process in running:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        process.stdout.close()


def test_a_kiosk_is_paired_pushes_with_its_own_token_and_is_shut_out_within_5_s(hub, tmp_path):
    db, start = hub
    command("hub", "init", "--db", db, "--org", "club", "--site", "hall")
    url = start("--db", db)
    assert (tmp_path / "hub.db.url").read_text() == url
    code = re.search(r"Code: (\S+)", command("hub", "pair", "--db", db))[1]
    folder = tmp_path / "kiosk"
    settings = tmp_path / "kiosk.toml"
    settings.write_text(
        f'[organisation]\nid = "club"\n[site]\nid = "hall"\n[storage]\ndirectory = "{folder}"\n'
        '[kiosk]\nname = "Front"\n'
    )
    assert 'as "Front"' in command("pair", url, code, "--config", settings)
    assert (folder / PAIRING_FILE).stat().st_mode & 0o777 == 0o600
    assert "refused (401)" in command("pair", url, "AAAA-AAAA", "--config", settings, code=1)
    config = Config(Organisation("club"), SiteSection("hall"), storage=Storage(str(folder)))
    token = pairing_of(config).token
    store = open_store(config.database, org="club", site="hall", clock=SystemClock(), zone="UTC")
    said = []
    line = SyncClient(store, url, token, SystemClock(), "hall", "Front", said.append)
    try:
        line.start()
        made = [store.record(Draft(Kind.CHECK_IN, "s1", f"p{n}")).result(10) for n in range(5)]
        wait_for(lambda: store.held()[0] == 0, "the hub's receipts")
        ids = {row[0] for row in rows(db, "SELECT id FROM event")}
        assert {event.id for event in made} <= ids
        assert "Front" in command("hub", "devices", "--db", db)
        command("hub", "revoke", "Front", "--db", db)
        began = time.monotonic()
        wait_for(lambda: said[-1].state is LinkState.ATTENTION, "the kiosk to be told")
        assert time.monotonic() - began < 5
        assert "revoked" in said[-1].reason
    finally:
        line.stop()
        store.close()


def certificate(folder):
    """A chain and key for 127.0.0.1, made now."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    chain, private = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return chain, private


def test_a_hub_speaks_tls_with_a_given_certificate(hub, tmp_path):
    db, start = hub
    chain, key = certificate(tmp_path)
    url = start("--db", db, "--certificate", chain, "--key", key)
    assert url.startswith("https://127.0.0.1:")
    trusting = ssl.create_default_context(cafile=chain)
    where = url.replace("127.0.0.1", "localhost") + "/health"
    with urllib.request.urlopen(where, timeout=10, context=trusting) as answer:  # noqa: S310  https
        assert b'"ok"' in answer.read()
    refused = command(
        "hub", "serve", "--db", tmp_path / "b.db", "--certificate", key, "--key", chain, code=1
    )
    assert "cannot be used" in refused
    assert "go together" in command("hub", "serve", "--db", db, "--key", key, code=2)


def test_commands_beside_a_hub_that_speaks_tls_ask_it_by_its_certificates_name(
    hub, tmp_path, monkeypatch
):
    db, start = hub
    chain, key = certificate(tmp_path)
    url = start("--db", db, "--host", "0.0.0.0", "--certificate", chain, "--key", key)  # noqa: S104
    named = url.replace("0.0.0.0", "localhost")  # noqa: S104  what it says of itself
    command("hub", "init", "--db", db, "--org", "club", "--site", "hall", "--url", named)
    people = tmp_path / "people.csv"
    people.write_text("id,first_name,last_name,kind,code\nm1,Mia,Moss,member,4711\n")
    monkeypatch.setitem(PLAIN, "WHORL_HUB_CA_FILE", str(chain))
    assert "1 people added" in command("hub", "people", "import", people, "--db", db)
    assert "Mia Moss" in command("hub", "people", "list", "--db", db)


@pytest.fixture
def paired_kiosk(hub, tmp_path):
    """A hub and a kiosk that was paired with it: (the hub's database and URL, settings, Config)."""
    db, start = hub
    command("hub", "init", "--db", db, "--org", "club", "--site", "hall")
    url, folder, settings = start("--db", db), tmp_path / "kiosk", tmp_path / "kiosk.toml"
    settings.write_text(
        f'[organisation]\nid = "club"\n[site]\nid = "hall"\n[storage]\ndirectory = "{folder}"\n'
        '[kiosk]\nname = "Front"\n'
    )
    pair_anew(db, url, settings)
    config = Config(Organisation("club"), SiteSection("hall"), storage=Storage(str(folder)))
    return db, url, settings, config


def pair_anew(db, url, settings):
    code = re.search(r"Code: (\S+)", command("hub", "pair", "--db", db))[1]
    command("pair", url, code, "--config", settings)


def parts(said):
    """The doctor's lines by what they are about."""
    return {
        line.split()[1]: line for line in said.splitlines() if line[:4] in ("ok  ", "FAIL", "mind")
    }


def test_a_reset_ends_the_pairing_and_the_doctor_sees_what_the_hub_refuses(paired_kiosk):
    db, url, settings, config = paired_kiosk
    before = (config.directory / PAIRING_FILE).read_bytes()
    assert (
        "takes this device and its token" in parts(command("doctor", "--config", settings))["hub"]
    )
    former = pairing_of(config).device
    said = command("reset", "--yes", "--config", settings)
    assert f"the pairing with {url}: pair this kiosk anew" in said
    assert f"kiosk hub revoke {former[:13]}" in said
    assert pairing_of(config) is None
    # As it was before: a pairing that outlives its device.
    (config.directory / PAIRING_FILE).write_bytes(before)
    (config.directory / PAIRING_FILE).chmod(0o600)
    opened = open_store(config.database, org="club", site="hall", clock=SystemClock(), zone="UTC")
    device = opened.identity.device
    opened.close()
    told = parts(command("doctor", "--config", settings, code=1))
    assert told["token"].startswith("FAIL")
    assert "another device's than the database here; pair this kiosk anew" in told["token"]
    assert told["hub"].startswith("FAIL")
    assert f"refuses this kiosk (401): this token is not for device {device}" in told["hub"]
    pair_anew(db, url, settings)
    assert parts(command("doctor", "--config", settings))["hub"].startswith("ok")
    # Two of one name: which is which, and the one that is left once the other is revoked.
    store = open_store(config.database, org="club", site="hall", clock=SystemClock(), zone="UTC")
    line = SyncClient(
        store, url, pairing_of(config).token, SystemClock(), "hall", "Front", lambda _: None
    )
    try:
        line.start()
        store.record(Draft(Kind.CHECK_IN, "s1", "ann")).result(10)
        wait_for(lambda: store.held()[0] == 0, "the hub's receipt")
    finally:
        line.stop()
        store.close()
    ambiguous = command("hub", "revoke", "Front", "--db", db, code=1)
    assert '"Front" is 2 kiosks' in ambiguous
    (old,) = (line for line in ambiguous.splitlines() if former in line)
    (new,) = (line for line in ambiguous.splitlines() if device in line)
    assert old.endswith("no event yet")
    assert re.search(r"last event 20\d\d-", new)
    command("hub", "revoke", former[:13], "--db", db)
    assert device in command("hub", "revoke", "Front", "--db", db)
    # The hub looks at its register every second.
    wait_for(lambda: run("doctor", "--config", settings).returncode, "the hub to refuse it")
    refused = parts(command("doctor", "--config", settings, code=1))["hub"]
    assert "(403): this device has been revoked; pair this kiosk anew" in refused


def test_the_doctor_greets_with_this_kiosks_key_and_sees_another_hub(paired_kiosk):
    _, _, settings, config = paired_kiosk
    command("doctor", "--config", settings)
    key = config.database.with_name("device.key")
    good = key.read_text()
    head, lines = good.splitlines()[0], good.splitlines()[1:]
    forged = [f"{line.split()[0]} {base64.b64encode(bytes(32)).decode()}" for line in lines]
    key.write_text("\n".join([head, *forged]) + "\n")
    told = parts(command("doctor", "--config", settings, code=1))["hub"]
    assert "another key is known of this device" in told
    key.write_text(good)
    store = open_store(config.database, org="club", site="hall", clock=SystemClock(), zone="UTC")
    token = pairing_of(config).token
    store.set_note(hubs.NOTE, f"{'ab' * 32}\n{told_apart(token)}").result()
    store.close()
    told = parts(command("doctor", "--config", settings, code=1))["hub"]
    assert hubs.OTHER in told


def badges_at(db, person):
    query = "SELECT value FROM directory WHERE record = 'person' AND id = ?"
    return json.loads(rows(db, query, (person,))[0][0]).get("badges", [])


def test_hub_and_paired_kiosk_keep_a_badge_alike_and_nobody_takes_anothers(
    paired_kiosk, tmp_path, monkeypatch
):
    db, _, settings, config = paired_kiosk
    people = tmp_path / "people.csv"
    people.write_text("id,first_name,last_name,code,badge\nann,Ann,Lee,1234,20417\n")
    refused = command("people", "import", people, "--config", settings, code=1)
    assert "(403)" in refused
    assert "kiosk hub people import FILE" in refused
    assert "WHORL_HUB_TOKEN" in refused
    assert "1 people added" in command("hub", "people", "import", people, "--db", db)
    (kept,) = badges_at(db, "ann")
    assert kept == badge_key(config).hash("20417") != BadgeKey("club").hash("20417")
    monkeypatch.setitem(PLAIN, "WHORL_HUB_TOKEN", db.with_name("hub.db.token").read_text().strip())
    assert "1 unchanged" in command("people", "import", people, "--config", settings)
    people.write_text(
        "id,first_name,last_name,code,badge\nbob,Bob,Ray,2345,20417\ncy,Cy,Fox,1234,\n"
    )
    for words in (("people", "import", people, "--config", settings),
                  ("hub", "people", "import", people, "--db", db)):  # fmt: skip
        said = command(*words, code=1)
        assert "line 2: its badge is Ann L.'s already" in said
        assert 'line 3: code "1234" is Ann L.\'s already' in said
    with people.open("a") as file:
        file.write("ann,Ann,Lee,,\n")
    assert "3 people added or changed" in command("people", "import", people, "--config", settings)
    assert badges_at(db, "ann") == []
    assert badges_at(db, "bob") == [kept]


def test_settings_that_name_another_hub_than_the_pairings_are_one_line(paired_kiosk, monkeypatch):
    _, url, settings, _ = paired_kiosk
    monkeypatch.setitem(PLAIN, "WHORL_HUB_URL", "https://other.example")
    for words in (("run",), ("people", "import", settings)):
        said = command(*words, "--config", settings, code=1)
        assert f"name the hub https://other.example, but this kiosk is paired with {url}" in said
        assert "Traceback" not in said
    told = parts(command("doctor", "--config", settings, code=1))
    assert "https://other.example" in told["token"]
    assert "FAIL" in told["hub"]
