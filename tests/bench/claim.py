"""What keeping templates costs: a seal and its opening, and a claim, against the bare work."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from drivers.templates import read_template
from drivers.zfm import open_zfm
from kiosk.clock import SystemClock
from kiosk.slots import StoredSlots
from kiosk.store import Store
from kiosk.templates import TemplateStore
from kiosk.vault import KeyRing, Label, Vault
from kiosk.verification import Verdict, claim
from tests.bench.line import Line
from tests.bench.sensor import _emulator, _stream, _timed, _wire

_ROUNDS, _EACH = 15, 200
_CLAIMS = 9
_LABEL = Label("01890a5d-ac96-774b-bcce-b302099a8057", "ann", "r307/512", 7)


def run() -> list[Line]:
    """Medians; the floors are the bare cipher, and the wire time of a claim's bytes."""
    with tempfile.TemporaryDirectory() as folder, _emulator(Path(folder) / "port", "paced") as port:
        return [*_vault(), *_claims(Path(folder), port)]


# -- sealing ---------------------------------------------------------------------------------------


def _vault():
    key, data = AESGCM.generate_key(256), os.urandom(544)
    vault, cipher = Vault({"k1": key}), AESGCM(key)
    sealed = vault.seal(_LABEL, data)
    nonce, bound = os.urandom(12), b"x" * 90
    box = cipher.encrypt(nonce, data, bound)
    seals, opens, bare_seals, bare_opens = [], [], [], []
    for _ in range(_ROUNDS):
        seals.append(_each(lambda: vault.seal(_LABEL, data)))
        bare_seals.append(_each(lambda: cipher.encrypt(os.urandom(12), data, bound)))
        opens.append(_each(lambda: vault.open(_LABEL, sealed)))
        bare_opens.append(_each(lambda: cipher.decrypt(nonce, box, bound)))
    return [
        _micros("vault_seal_512", seals, bare_seals),
        _micros("vault_open_512", opens, bare_opens),
    ]


def _each(work):
    began = time.perf_counter()
    for _ in range(_EACH):
        work()
    return (time.perf_counter() - began) / _EACH


def _micros(name, ours, bare):
    value, floor = statistics.median(ours) * 1e6, statistics.median(bare) * 1e6
    return Line(name, round(value, 2), "us", round(floor, 2), must=3.0, extreme=2.0)


# -- claiming --------------------------------------------------------------------------------------


def _claims(folder, port):
    """From "place your finger", with the finger there, to the verdict, at 57,600 baud."""
    clock = SystemClock()
    store = Store.open(folder / "k.db", org="o", site="s", clock=clock, zone="UTC")
    kept = TemplateStore.open(folder / "t.db", KeyRing(folder / "vault.key", {}), clock)
    try:
        with open_zfm(port) as sensor:
            slots = StoredSlots(store, clock)
            kept.put("ann", read_template(sensor, 0), sensor="s", generation=0)
            took = [_timed(_claim, sensor, slots, kept) for _ in range(_CLAIMS)]
    finally:
        kept.close()
        store.close()
    # GetImage, Img2Tz, DownChar with its data, Match.
    floor = _wire(1, 1) + _wire(2, 1) + _wire(2, 1) + _stream(512, 128) + _wire(1, 3)
    value = round(statistics.median(took) * 1000, 2)
    return [Line("claim_512", value, "ms", round(floor * 1000, 2), must=1.35, extreme=1.2)]


def _claim(sensor, slots, kept):
    assert claim(sensor, slots, kept, "ann").verdict is Verdict.MATCHED
