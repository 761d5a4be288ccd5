"""docs/events.md is what the hub does: its examples are taken, its tables are complete."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from kiosk.model import Envelope, Event, Kind
from sync import protocol as p
from sync.hub.judge import judge, places
from sync.hub.vetting import RECORDS, vet

PAGE = Path(__file__).parents[2].joinpath("docs", "events.md").read_text()
EXAMPLES, SIGNED = (
    block.strip().split("\n") for block in re.findall(r"```json\n(.*?)```", PAGE, re.S)
)
BODIES = [line.encode() for line in EXAMPLES]


def rows(heading):
    """The first cells of the table with this heading, each name in them."""
    table = PAGE.split(f"| {heading} |")[1].split("\n\n")[0]
    cells = [line.split("|")[1] for line in table.split("\n")[2:]]
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


def test_every_field_and_kind_is_described():
    assert rows("field") == {field.encode_name for field in msgspec.structs.fields(Event)}
    assert rows("kind") == {kind.value for kind in Kind}
    told = PAGE.split("## The envelope")[1]
    assert {f.encode_name for f in msgspec.structs.fields(Envelope)} - {"key", "signature"} <= set(
        re.findall(r"`(\w+)`", told)
    )
    needed = {f.encode_name for f in msgspec.structs.fields(Event) if f.required} | {"hash"}
    said = {
        name
        for line in PAGE.split("| field |")[1].split("\n\n")[0].split("\n")
        if line.split("|")[2:3] == [" yes "]
        for name in re.findall(r"`(\w+)`", line.split("|")[1])
    }
    assert said == needed


def test_the_hash_is_as_the_page_says():
    for body in BODIES:
        bare = re.sub(rb',"hash":"[0-9a-f]{64}"}$', b"}", body)
        assert bare != body
        assert json.loads(body)["hash"] == hashlib.blake2b(bare, digest_size=32).hexdigest()


def test_another_order_of_fields_is_as_good():
    fields = json.loads(BODIES[0])
    del fields["hash"]
    turned = json.dumps(dict(sorted(fields.items())), separators=(",", ":"))
    digest = hashlib.blake2b(turned.encode(), digest_size=32).hexdigest()
    assert isinstance(judge(f'{turned[:-1]},"hash":"{digest}"}}'.encode(), "acme"), Event)


def test_the_examples_are_signed_as_the_page_says():
    statement, entry = SIGNED
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    stretch = msgspec.json.decode(entry, type=p.Signed)
    assert stretch.signature == key.sign(statement.encode()).hex()
    judged = [judge(body, "acme") for body in BODIES]
    assert [one.proven for one in places(judged, [stretch], "acme", lambda s: s.key)] == [True] * 2


def test_the_protocol_page_names_the_records_that_may_be_written():
    page = Path(__file__).parents[2].joinpath("docs", "protocol.md").read_text()
    assert all(f"`{record}`" in page for record in RECORDS)
    block = next(b for b in re.findall(r"```json\n(.*?)```", page, re.S) if '"record"' in b)
    records = json.loads(block.rpartition("\n{")[0])
    assert {one["record"] for one in records} == RECORDS
    for one in records:
        vet(one["record"], one["id"], one["value"])
