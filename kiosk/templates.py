"""Templates kept outside the sensor: sealed, in a database of their own, only if switched on.

TemplatesError
+-- TemplatesOffError      the settings let no template leave the sensor
+-- NoTemplateError        none is kept of this person for this kind of sensor
+-- NotForgottenError      what was deleted can still be found on the disk

Besides these, `kiosk.vault.VaultError` for keys and seals, `StoreError` for the file itself.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import uuid
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from drivers.templates import Template
from kiosk import template_schema
from kiosk.errors import KioskError
from kiosk.schema import SchemaTooNewError
from kiosk.storefile import (
    StoreDamagedError,
    StoreTooNewError,
    connect,
    take_lock,
    translated,
)
from kiosk.vault import KeyRing, Label, Sealed, Vault, VaultKeyError, VaultSealError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kiosk.clock import Clock
    from kiosk.config import Config

_DIGEST = 32
# As much of a sealed template as no other bytes on a disk will ever be by accident.
_TRACE = 64
_COLUMNS = "id, person, format, generation, sensor, taken, key"


class TemplatesError(KioskError):
    """Root of what this module raises itself."""


class TemplatesOffError(TemplatesError):
    """The settings let no template leave the sensor."""


class NoTemplateError(TemplatesError):
    """No template is kept of this person for this kind of sensor."""


class NotForgottenError(TemplatesError):
    """What was deleted can still be found on the disk."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A kept template without its bytes; `sensor` is where it was read, `taken` UTC ns."""

    label: Label
    sensor: str
    taken: int
    key: str

    @property
    def id(self) -> str:
        return self.label.template

    @property
    def person(self) -> str:
        return self.label.person


def open_templates(config: Config, clock: Clock) -> TemplateStore:
    """The kept templates, if backup is switched on; raises `TemplatesOffError` if it is not."""
    if not config.templates.backup:
        raise TemplatesOffError(
            "no template leaves the reader: backup is switched off"
            " ([templates] backup = true in the settings allows it)"
        )
    return TemplateStore.open(config.templates_database, _ring(config), clock)


def existing_templates(config: Config, clock: Clock) -> TemplateStore | None:
    """The kept templates if there are any, whatever the settings say now: to destroy some."""
    if not config.templates_database.exists():
        return None
    return TemplateStore.open(config.templates_database, _ring(config), clock)


class TemplateStore:
    """Sealed templates by id and by person. For any thread; one process at a time.

    Keys are asked for when something is sealed or opened, so that a lost key never stands in the
    way of destroying what it sealed.
    """

    def __init__(self, path: Path, lock: IO[str], ring: KeyRing, clock: Clock) -> None:
        """Use `TemplateStore.open`; this takes what it has opened."""
        self.path = path
        self._file_lock = lock
        self._ring = ring
        self._clock = clock
        self._mutex = threading.RLock()
        self._db = _connect(path)

    @classmethod
    def open(cls, path: Path, ring: KeyRing, clock: Clock) -> TemplateStore:
        """Open or make the database at `path`; raises a `StoreError` that says what is wrong."""
        lock = take_lock(path)
        try:
            _prepare(path)
            return cls(path, lock, ring, clock)
        except SchemaTooNewError as error:
            lock.close()
            raise StoreTooNewError(f"{path} was {error}; update Whorl on this kiosk") from error
        except sqlite3.Error as error:
            lock.close()
            raise translated(error, path) from error
        except BaseException:
            lock.close()
            raise

    def close(self) -> None:
        """Release the file; safe to call twice."""
        with self._mutex:
            self._db.close()
            self._file_lock.close()

    # -- keeping and finding -----------------------------------------------------------------------

    def put(self, person: str, template: Template, *, sensor: str, generation: int) -> str:
        """Keep a template of `person`, durable when this returns; its id.

        The same bytes of the same person are kept once. Raises `VaultError` or `StoreError`.
        """
        with self._mutex:
            vault = self._whole_vault()
            for kept in self.kept(person):
                if self._open(vault, kept.id)[1] == template:
                    return kept.id
            label = Label(str(uuid.uuid4()), person, template.format, generation)
            sealed = vault.seal(label, bytes.fromhex(template.digest) + template.data)
            row = (*_values(label), sensor, self._clock.wall(), sealed.key, sealed.box)
            with self._transaction():
                self._db.execute("INSERT INTO template VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
            return label.template

    def check(self) -> None:
        """See that one more could be sealed now; raises `VaultError` or `StoreError`."""
        with self._mutex:
            self._whole_vault()

    def get(self, template: str) -> tuple[Kept, Template]:
        """One template by its id; raises `NoTemplateError`, `VaultError` or `StoreError`."""
        with self._mutex:
            return self._open(self._vault(), template)

    def of(self, person: str, format_: str | None = None) -> list[tuple[Kept, Template]]:
        """Every template of a person, oldest first; of one `<model>/<bytes>` only if given."""
        with self._mutex:
            kept = [k for k in self.kept(person) if format_ in {None, k.label.format}]
            vault = self._vault() if kept else None
            return [self._open(vault, k.id) for k in kept] if vault else []

    def kept(self, person: str | None = None) -> list[Kept]:
        """What is kept, of all or of one, oldest first; no key is needed for this."""
        query = f"SELECT {_COLUMNS} FROM template"  # noqa: S608 - names of this file only
        where, args = (" WHERE person = ?", (person,)) if person is not None else ("", ())
        rows = self._read(f"{query}{where} ORDER BY rowid", args)
        return [_kept(row) for row in rows]

    # -- destroying --------------------------------------------------------------------------------

    def delete(self, template: str) -> bool:
        """Destroy one template, as `forget` does; whether there was one."""
        return self._destroy("id", template) > 0

    def forget(self, person: str) -> int:
        """Destroy every template of a person, and look for them in the files; how many.

        SQLite overwrites what it deletes, the write-ahead log is emptied, and then no part of what
        was sealed may be left. Needs no key. Raises `NotForgottenError` or `StoreError`.
        """
        return self._destroy("person", person)

    def rotate(self) -> int:
        """Seal everything with a new key and drop the keys nothing needs any more; how many.

        The new key is on disk before anything is sealed with it, all templates change in one
        transaction, and an old key goes only after that: a cut anywhere leaves everything
        readable, and the next call finishes it. Raises `VaultError` with nothing lost.
        """
        with self._mutex:
            vault = self._whole_vault()
            vault = vault if self._ring.given else self._ring.add()
            with self._transaction():
                for kept in self.kept():
                    self._reseal(vault, kept)
            self._empty_log()
            for kept in self.kept():
                self._open(vault, kept.id)
            used = {kept.key for kept in self.kept()}
            self._ring.retain(used)
            return len(self.kept())

    # -- inside ------------------------------------------------------------------------------------

    def _vault(self) -> Vault:
        """The keys; a first one is made only while nothing is sealed yet."""
        if self._ring.exists() or not self.kept():
            return self._ring.make()
        raise VaultKeyError(
            f"the template keys are missing: put {self._ring.path} back;"
            f" without it the templates in {self.path} cannot be read"
        )

    def _whole_vault(self) -> Vault:
        """The keys, if none is missing: two rings whose parts are both needed are soon one lost."""
        vault = self._vault()
        for row in self._read("SELECT DISTINCT key FROM template", ()):
            if row[0] not in vault:
                raise VaultKeyError(
                    f"the key {row[0]} is not in the key ring {self._ring.path};"
                    " put back the ring that has it"
                )
        return vault

    def _open(self, vault: Vault, template: str) -> tuple[Kept, Template]:
        rows = self._read(f"SELECT {_COLUMNS}, box FROM template WHERE id = ?", (template,))  # noqa: S608 - names of this file only
        if not rows:
            raise NoTemplateError(f"no template {template} is kept")
        kept = _kept(rows[0])
        data = vault.open(kept.label, Sealed(kept.key, rows[0][-1]))
        found = Template(kept.label.format, data[_DIGEST:])
        if bytes.fromhex(found.digest) != data[:_DIGEST]:
            raise VaultSealError(f"template {template} is not what was sealed")
        return kept, found

    def _reseal(self, vault: Vault, kept: Kept) -> None:
        if kept.key == vault.current:
            return
        template = self._open(vault, kept.id)[1]
        sealed = vault.seal(kept.label, bytes.fromhex(template.digest) + template.data)
        update = "UPDATE template SET key = ?, box = ? WHERE id = ?"
        self._db.execute(update, (sealed.key, sealed.box, kept.id))

    def _destroy(self, column: str, value: str) -> int:
        with self._mutex:
            query = f"SELECT substr(box, 1, {_TRACE}) FROM template WHERE {column} = ?"  # noqa: S608 - names of this file only
            traces = [bytes(row[0]) for row in self._read(query, (value,))]
            if traces:
                with self._transaction():
                    self._db.execute(f"DELETE FROM template WHERE {column} = ?", (value,))  # noqa: S608 - names of this file only
                self._empty_log()
            self._prove_gone(traces)
            return len(traces)

    def _prove_gone(self, traces: list[bytes]) -> None:
        for file in (self.path, self.path.with_name(self.path.name + "-wal")):
            content = file.read_bytes() if traces and file.exists() else b""
            if any(trace in content for trace in traces):
                raise NotForgottenError(f"{file} still holds what was deleted; stop and look at it")

    def _empty_log(self) -> None:
        """Bring everything into the file itself, and cut the write-ahead log to nothing."""
        try:
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise translated(error, self.path) from error

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        """All or nothing; SQLite's own errors come out as `StoreError`s."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("COMMIT")
        except BaseException as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise translated(error, self.path) from error
            raise

    def _read(self, query: str, args: tuple[str, ...]) -> list[Any]:
        with self._mutex:
            try:
                return self._db.execute(query, args).fetchall()
            except sqlite3.Error as error:
                raise translated(error, self.path) from error


def _ring(config: Config) -> KeyRing:
    return KeyRing(config.vault_key, os.environ)


def _connect(path: Path) -> sqlite3.Connection:
    connection = connect(path)
    # What is deleted is overwritten with zeros, also in pages that are set free.
    connection.execute("PRAGMA secure_delete = ON")
    return connection


def _prepare(path: Path) -> None:
    """Make the file private, look for damage, bring the tables up to date.

    Closing the only connection also ends the log of a killed process, and what was deleted in it.
    """
    path.touch(mode=0o600)
    with contextlib.closing(_connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise StoreDamagedError(f"{path} is damaged: {found}")
        template_schema.migrate(connection)


def _values(label: Label) -> tuple[str, str, str, int]:
    return label.template, label.person, label.format, label.generation


def _kept(row: tuple[Any, ...]) -> Kept:
    label = Label(row[0], row[1], row[2], row[3])
    return Kept(label, row[4], row[5], row[6])
