"""`kiosk sensor`: the reader and the templates in it, mostly while the kiosk does not run."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import click

from drivers import reconcile as library
from drivers.changes import delete
from drivers.errors import SensorError
from drivers.zfm import open_zfm
from kiosk import log
from kiosk.bundle import MAX_BYTES, BundleError, format_of, open_bundle, seal_bundle
from kiosk.clock import NS, SystemClock
from kiosk.config import load
from kiosk.consent import has_consent
from kiosk.control import SOCKET, Request, ask
from kiosk.glance import glance, kiosk_runs
from kiosk.provision import back_up, bring_all, copies_of, fits, format_for, kept_for
from kiosk.rescue import open_store
from kiosk.revocation import decommission as take_out
from kiosk.revocation import known_here, resume, revoke, revoked_since, withdraw
from kiosk.slots import StoredSlots
from kiosk.store import StoreBusyError
from kiosk.survey import summary, survey
from kiosk.templates import TemplatesOffError, existing_templates, open_templates
from kiosk.terminal import CONFIG, one_line
from kiosk.vault import write_private

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from drivers.zfm import ZfmSensor
    from kiosk.bundle import Copy
    from kiosk.config import Config
    from kiosk.control import Order, Reply
    from kiosk.provision import Brought
    from kiosk.revocation import Revoked
    from kiosk.store import Store
    from kiosk.templates import TemplateStore

_YES = click.option("--yes", is_flag=True, help="Do not ask.")
_PASSPHRASE = click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="A file only you can read; without it you are asked.",
)
_FILE = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))


@dataclass(frozen=True, slots=True)
class _Bench:
    """The kiosk's records, held for as long as a command runs."""

    config: Config
    store: Store
    table: StoredSlots
    clock: SystemClock


class _How(TypedDict):
    """With what a revocation is carried out."""

    sensor: ZfmSensor | None
    templates: TemplateStore | None


@click.group()
def sensor() -> None:
    """The fingerprint reader and the templates in it. Where a kiosk that runs cannot be asked,
    it must be stopped first."""


@sensor.command()
@CONFIG
def info(path: Path | None) -> None:
    """Say what the reader is and how it fits the records; changes nothing."""
    if (told := _asked(path, "info")) is not None:
        sys.exit(0 if told.well else 1)
    with _bench(path) as bench, _reader(bench) as reader:
        seen = survey(reader, bench.table)
    for line in seen.lines():
        click.echo(line)
    sys.exit(0 if seen.well else 1)


@sensor.command("list")
@CONFIG
def list_slots(path: Path | None) -> None:
    """List whose template is in which slot, by the records; the kiosk may run."""
    with one_line(), glance(load(path, os.environ).database) as records:
        bound, slots = records.binding(), records.slots()
    mine = [slot for slot in slots if bound is not None and slot.sensor == bound.sensor]
    for slot in sorted(mine, key=lambda slot: slot.slot):
        owner = slot.person or "-"
        click.echo(f"{slot.slot:>5}  {owner:<24} {slot.status:<15} {_utc(slot.enrolled)}")
    click.echo(f"{len(mine)} slots of {bound.sensor if bound else 'no reader'}")
    if others := len(slots) - len(mine):
        click.echo(f"{others} slots of other readers that were used here")


@sensor.command()
@CONFIG
@_YES
def adopt(path: Path | None, *, yes: bool) -> None:
    """Take this reader as it is; what cannot be proved to be somebody's names nobody."""
    if _asked(path, "info") is not None:
        _ask(yes, "Use this reader from now on?")
        _asked(path, "adopt")
        return
    with _bench(path) as bench, _reader(bench) as reader:
        for line in survey(reader, bench.table).lines():
            click.echo(line)
        _ask(yes, "Use this reader from now on?")
        done = library.adopt(reader, bench.table)
        _finish_orders(bench, reader)
    click.echo(f"Adopted {done.stamp.sensor}: {summary(done)}.")


@sensor.command()
@CONFIG
@_YES
def wipe(path: Path | None, *, yes: bool) -> None:
    """Delete every template in the reader, and go on using it."""
    if _runs(path):
        _ask(yes, "Delete all templates in this reader?")
        _asked(path, "wipe")
        return
    with _bench(path) as bench, _reader(bench) as reader:
        count = reader.getTemplateCount()
        _ask(yes, f"Delete all {count} templates in this reader?")
        done = library.wipe(reader, bench.table)
        _finish_orders(bench, reader)
    click.echo(f"Wiped {done.stamp.sensor}: {summary(done)}.")
    if done.missing:
        click.echo('Bring people back with "kiosk sensor reprovision", or enrol them again.')


@sensor.command()
@CONFIG
def backup(path: Path | None) -> None:
    """Keep a sealed copy of every template in the reader that is not kept yet."""
    with _bench(path) as bench, _kept(bench) as kept, _ready(bench, kept) as reader:
        done = back_up(reader, bench.table, kept)
    click.echo(f"{done.copied} templates copied")
    if done.altered:
        click.echo(f"not copied, because they are not the recorded ones: slots {done.altered}")


@sensor.command()
@CONFIG
def reprovision(path: Path | None) -> None:
    """Bring the kept templates back into the reader."""
    if _asked(path, "reprovision") is not None:
        return
    with _bench(path) as bench, _kept(bench) as kept, _ready(bench, kept) as reader:
        done = bring_all(reader, bench.table, kept_for(reader, kept), _consented(bench.store))
    _tell(done)


@sensor.command("export")
@_FILE
@CONFIG
@_PASSPHRASE
def export_templates(file: Path, path: Path | None, passphrase_file: Path | None) -> None:
    """Write the reader's templates, encrypted, to FILE for another reader of the same model."""
    with _bench(path) as bench:
        if not bench.config.templates.distribution:
            raise TemplatesOffError(
                "no template leaves the reader: distribution is switched off"
                " ([templates] distribution = true in the settings allows it)"
            )
        if file.exists():
            raise BundleError(f"{file} exists already")
        phrase = _passphrase(passphrase_file, confirm=True)
        with _ready(bench) as reader:
            enrolled = _enrolled_at(bench)
            copies, left_out = copies_of(reader, bench.table, enrolled, _consented(bench.store))
            format_ = copies[0].template.format if copies else format_for(reader)
        _write(file, seal_bundle(copies, format_, phrase))
    click.echo(f"{len(copies)} templates of format {format_} written to {file}")
    if left_out:
        click.echo(f"{left_out} left out: no consent on record, or not the recorded template")


@sensor.command("import")
@_FILE
@CONFIG
@_PASSPHRASE
def import_templates(file: Path, path: Path | None, passphrase_file: Path | None) -> None:
    """Bring the templates in FILE into this reader; each is read back."""
    with _bench(path) as bench:
        data = _content(file)
        format_ = format_of(data)
        with _ready(bench) as reader:
            if not fits(reader, format_):
                raise BundleError(
                    f"{file} holds templates of format {format_},"
                    f" this reader takes {format_for(reader)} only"
                )
            copies = open_bundle(data, _passphrase(passphrase_file, confirm=False))
            let_in = [copy for copy in copies if _may_come_in(bench.store, copy)]
            pairs = [(copy.person, copy.template) for copy in let_in]
            done = bring_all(reader, bench.table, pairs)
            if bench.config.templates.backup:
                with _kept(bench) as kept:
                    back_up(reader, bench.table, kept)
    _tell(done, refused=len(copies) - len(let_in))


@sensor.command()
@CONFIG
@_YES
def decommission(path: Path | None, *, yes: bool) -> None:
    """Empty the reader for good, prove that it is empty, and forget it."""
    with _bench(path) as bench, _reader(bench) as reader:
        count = reader.getTemplateCount()
        _ask(yes, f"Delete all {count} templates in this reader and take it out of use?")
        done = take_out(bench.store, bench.table, reader, bench.clock.wall())
    notepad = "notepad blank" if done.notepad else "it has no notepad"
    click.echo(
        f"Certificate: reader {done.sensor or 'without a stamp'} ({done.model}) was emptied at"
        f" {_utc(done.at)}: index all zero, count 0, {notepad};"
        f" {done.templates} templates of {done.people} people were destroyed."
    )


@sensor.command()
@click.argument("slot", type=click.IntRange(min=0))
@CONFIG
@_YES
def clear(slot: int, path: Path | None, *, yes: bool) -> None:
    """Empty SLOT, which must be nobody's; what is somebody's is revoked."""
    with _bench(path) as bench, _ready(bench) as reader:
        bound = bench.table.binding()
        entry = bench.table.entries(bound.sensor).get(slot) if bound is not None else None
        if entry is None:
            raise click.ClickException(f"slot {slot} is empty")
        if entry.owner:
            raise click.ClickException(
                f'slot {slot} is {entry.owner}\'s; use "kiosk sensor revoke {entry.owner}"'
            )
        _ask(yes, f"Destroy the template in slot {slot}, which is nobody's on record?")
        delete(reader, bench.table, slot)
    click.echo(f"slot {slot} is empty now")


@sensor.command("revoke")
@click.argument("person")
@CONFIG
@_YES
@click.option("--reason", default="", help="Goes into the log.")
def revoke_person(person: str, path: Path | None, reason: str, *, yes: bool) -> None:
    """Destroy every template of PERSON (an id), here and on all other kiosks.

    The consent stands, so the person may enrol again; see "kiosk consent withdraw".
    """
    _ask(yes, f"Destroy every template of {person}?")
    if _asked(path, "revoke", person, reason) is not None:
        return

    def work(bench: _Bench, how: _How) -> Revoked:
        if not known_here(bench.store, how["templates"], person):
            raise click.ClickException(f'nobody has the id "{person}" here')
        return revoke(bench.store, bench.table, person, reason=reason, **how)

    _destroy(path, work)


def withdraw_here(person: str, path: Path | None) -> None:
    """`kiosk consent withdraw` at a kiosk that does not run; ends the process."""
    _destroy(
        path,
        lambda bench, how: withdraw(
            bench.store, bench.table, person, bench.config.screen.language, **how
        ),
    )


@sensor.command("rotate-keys")
@CONFIG
def rotate_keys(path: Path | None) -> None:
    """Seal every kept template with a new key, and drop the old one."""
    with _bench(path) as bench, _kept(bench) as kept:
        count = kept.rotate()
    click.echo(f"{count} templates sealed with a new key")


# -- what the commands stand on --------------------------------------------------------------------


def _runs(path: Path | None) -> bool:
    with one_line():
        return kiosk_runs(load(path, os.environ).database)


def _asked(path: Path | None, do: Order, person: str = "", reason: str = "") -> Reply | None:
    """What a running kiosk said, told already; None if none runs."""
    with one_line():
        config = load(path, os.environ)
        if not kiosk_runs(config.database):
            return None
        done = ask(config.directory / SOCKET, Request(do, person, reason=reason))
    for line in done.said:
        click.echo(line)
    return done


def _destroy(path: Path | None, work: Callable[[_Bench, _How], Revoked]) -> None:
    with _bench(path) as bench, contextlib.ExitStack() as stack:
        reader = _reader_if_there(bench, stack)
        kept = stack.enter_context(_existing(bench))
        done = work(bench, {"sensor": reader, "templates": kept})
    click.echo(f"{done.slots} slots emptied, {done.templates} kept templates destroyed")
    for elsewhere in done.elsewhere:
        click.echo(f"Reader {elsewhere} still holds some; they go when it is used here again.")
    sys.exit(0 if done.done else 1)


@contextlib.contextmanager
def _bench(path: Path | None) -> Iterator[_Bench]:
    """The records; a kiosk that runs has them, and then nothing is done."""
    with one_line():
        config, clock = load(path, os.environ), SystemClock()
        log.set_up(config.directory)
        organisation, site = config.organisation.id, config.site
        try:
            store = open_store(
                config.database, org=organisation, site=site.id, clock=clock, zone=site.zone
            )
        except StoreBusyError as error:
            raise click.ClickException(f"{error}; stop the kiosk first") from error
        try:
            yield _Bench(config, store, StoredSlots(store, clock), clock)
        finally:
            store.close()


@contextlib.contextmanager
def _reader(bench: _Bench) -> Iterator[ZfmSensor]:
    settings = bench.config.sensor
    if not settings.port:
        raise click.ClickException("no port is set: [sensor] port in the settings")
    with open_zfm(
        settings.port, settings.baudrate, settings.address, settings.password, settings.model
    ) as zfm:
        yield zfm


def _reader_if_there(bench: _Bench, stack: contextlib.ExitStack) -> ZfmSensor | None:
    if not bench.config.sensor.port:
        return None
    try:
        return stack.enter_context(_reader(bench))
    except SensorError as error:
        click.echo(f"{error.sentence} What it holds is deleted when it is back.", err=True)
        return None


@contextlib.contextmanager
def _ready(bench: _Bench, kept: TemplateStore | None = None) -> Iterator[ZfmSensor]:
    """The reader, held against the records, with nothing left to revoke."""
    with _reader(bench) as reader:
        library.reconcile(reader, bench.table)
        _finish_orders(bench, reader, kept)
        yield reader


@contextlib.contextmanager
def _kept(bench: _Bench) -> Iterator[TemplateStore]:
    with contextlib.closing(open_templates(bench.config, bench.clock)) as kept:
        yield kept


@contextlib.contextmanager
def _existing(bench: _Bench) -> Iterator[TemplateStore | None]:
    kept = existing_templates(bench.config, bench.clock)
    with contextlib.nullcontext() if kept is None else contextlib.closing(kept):
        yield kept


def _finish_orders(bench: _Bench, reader: ZfmSensor, kept: TemplateStore | None = None) -> None:
    with contextlib.nullcontext(kept) if kept else _existing(bench) as templates:
        resume(bench.store, bench.table, sensor=reader, templates=templates)


def _ask(yes: bool, question: str) -> None:  # noqa: FBT001 - the option, handed on
    if not yes:
        click.confirm(question, abort=True)


def _consented(store: Store) -> Callable[[str], bool]:
    known = {person.id for person in store.people()}
    return lambda id_: id_ in known and has_consent(store, id_)


def _may_come_in(store: Store, copy: Copy) -> bool:
    return _consented(store)(copy.person) and not revoked_since(store, copy.person, copy.taken)


def _enrolled_at(bench: _Bench) -> Callable[[int], int]:
    bound = bench.table.binding()
    sensor_id = bound.sensor if bound is not None else ""
    when = {s.slot: s.enrolled for s in bench.store.slots() if s.sensor == sensor_id}
    return lambda slot: when.get(slot, 0)


def _passphrase(file: Path | None, *, confirm: bool) -> str:
    if file is None:
        given: str = click.prompt("Passphrase", hide_input=True, confirmation_prompt=confirm)
        return given
    with file.open(encoding="utf-8") as opened:
        if stat.S_IMODE(os.fstat(opened.fileno()).st_mode) & 0o077:
            raise BundleError(f"{file} can be read by others; do: chmod 600 {file}")
        return opened.readline().rstrip("\r\n")


def _content(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise BundleError(f"{file} cannot be read: {error.strerror}") from error


def _write(file: Path, data: bytes) -> None:
    try:
        write_private(file.absolute(), data, replace=False)
    except OSError as error:
        raise BundleError(f"{file} cannot be written: {error.strerror}") from error


def _tell(done: Brought, refused: int = 0) -> None:
    for line in done.lines(refused):
        click.echo(line)


def _utc(wall: int) -> str:
    return dt.datetime.fromtimestamp(wall / NS, dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
