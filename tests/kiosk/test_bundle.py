"""Files of templates: sealed, tagged, and refused in one line when they are not what they seem."""

from __future__ import annotations

import contextlib
import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.templates import Template
from kiosk.bundle import BundleError, Copy, format_of, open_bundle, seal_bundle
from tests.kiosk.library import template_of

PHRASE = "correct horse battery"
FORMAT = "r307/512"
COPIES = [
    Copy(name, at, template_of(name, format_=FORMAT)) for at, name in enumerate(("ann", "bob"))
]


@pytest.fixture(scope="module")
def bundle():
    return seal_bundle(COPIES, FORMAT, PHRASE)


def test_what_goes_in_comes_out(bundle):
    assert open_bundle(bundle, PHRASE) == COPIES
    assert format_of(bundle) == FORMAT


def test_nothing_but_the_format_can_be_read(bundle):
    head, _, rest = bundle.partition(b"\n")
    assert json.loads(head.partition(b" ")[2]).keys() == {
        "version", "format", "count", "cost", "salt", "nonce",
    }  # fmt: skip
    for secret in (b"ARTIFICIAL", b"ann", COPIES[0].template.digest.encode()):
        assert secret not in bundle
    assert COPIES[0].template.data[:32] not in rest


def test_an_empty_one_is_one_too():
    assert open_bundle(seal_bundle([], FORMAT, PHRASE), PHRASE) == []


def test_two_of_the_same_are_different():
    assert seal_bundle(COPIES, FORMAT, PHRASE) != seal_bundle(COPIES, FORMAT, PHRASE)


def test_a_short_passphrase_is_refused():
    with pytest.raises(BundleError, match="12 characters"):
        seal_bundle(COPIES, FORMAT, "x" * 11)


def test_another_passphrase_does_not_open_it(bundle):
    with pytest.raises(BundleError, match="does not open") as caught:
        open_bundle(bundle, PHRASE + "x")
    assert PHRASE not in str(caught.value)
    assert caught.value.__cause__ is None


def test_another_format_in_the_first_line_does_not_open(bundle):
    with pytest.raises(BundleError, match="does not open"):
        open_bundle(bundle.replace(b"r307/512", b"r503/512", 1), PHRASE)


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_no_bit_of_it_can_be_changed(bundle, data):
    at = data.draw(st.integers(0, len(bundle) - 1))
    changed = bytearray(bundle)
    changed[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(BundleError):
        open_bundle(bytes(changed), PHRASE)


def test_no_bit_of_the_first_line_can_make_it_fail_otherwise(bundle):
    for at in range(bundle.index(b"\n") * 8):
        changed = bytearray(bundle)
        changed[at // 8] ^= 1 << at % 8
        with contextlib.suppress(BundleError):  # a digit of a number still is one
            format_of(bytes(changed))


@given(st.binary(max_size=200))
def test_anything_else_is_no_bundle(data):
    for content in (data, b"WHORL-TEMPLATES " + data, b"WHORL-TEMPLATES " + data + b"\n"):
        with pytest.raises(BundleError):
            format_of(content)


@pytest.mark.parametrize("cost", [0, 1 << 13, (1 << 16) + 1, 1 << 19, 1 << 40, -1])
def test_a_file_does_not_decide_how_much_memory_is_used(bundle, cost):
    head, _, rest = bundle.partition(b"\n")
    values = json.loads(head.partition(b" ")[2]) | {"cost": cost}
    with pytest.raises(BundleError, match="first line"):
        open_bundle(b"WHORL-TEMPLATES " + msgspec.json.encode(values) + b"\n" + rest, PHRASE)


def test_a_template_of_any_size_is_kept_as_it_is():
    copy = Copy("ann", 5, Template("r503/1536", bytes(range(256)) * 6))
    assert open_bundle(seal_bundle([copy], "r503/1536", PHRASE), PHRASE) == [copy]
