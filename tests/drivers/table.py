"""A slot table in memory, and one in a file that a killed process leaves behind."""

from __future__ import annotations

import sqlite3

from drivers.slots import Binding, Entry, SlotState


class MemoryTable:
    """What a kiosk keeps in SQLite, without the disk."""

    def __init__(self):
        self.bound = None
        self.rows = {}

    def binding(self):
        return self.bound

    def bind(self, binding):
        self.bound = binding

    def entries(self, sensor):
        return {slot: entry for (uuid, slot), entry in self.rows.items() if uuid == sensor}

    def put(self, sensor, entry, generation=None):
        self.rows[sensor, entry.slot] = entry
        self._bump(sensor, generation)

    def drop(self, sensor, slot, generation=None):
        self.rows.pop((sensor, slot), None)
        self._bump(sensor, generation)

    def _bump(self, sensor, generation):
        if generation is not None and self.bound is not None and self.bound.sensor == sensor:
            self.bound = Binding(sensor, generation, self.bound.weak)

    def states(self):
        return {slot: entry.state for (_, slot), entry in self.rows.items()}

    def owner_of(self, sensor, slot):
        """Whom a match names: only an active entry of the bound sensor names anybody."""
        entry = self.rows.get((sensor, slot))
        bound = self.bound is not None and self.bound.sensor == sensor
        return entry.owner if bound and entry and entry.state is SlotState.ACTIVE else None


class FileTable:
    """The same in SQLite, each call one transaction."""

    def __init__(self, path):
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS bound (id PRIMARY KEY, sensor, generation, weak)"
        )
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS slot (sensor, slot, state, owner, digest,"
            " PRIMARY KEY (sensor, slot))"
        )

    def close(self):
        self._db.close()

    def binding(self):
        row = self._db.execute("SELECT sensor, generation, weak FROM bound").fetchone()
        return row and Binding(row[0], row[1], bool(row[2]))

    def bind(self, binding):
        row = (binding.sensor, binding.generation, binding.weak)
        self._db.execute("INSERT OR REPLACE INTO bound VALUES (1, ?, ?, ?)", row)

    def entries(self, sensor):
        query = "SELECT slot, state, owner, digest FROM slot WHERE sensor = ?"
        rows = self._db.execute(query, (sensor,)).fetchall()
        return {row[0]: Entry(row[0], SlotState(row[1]), *row[2:]) for row in rows}

    def put(self, sensor, entry, generation=None):
        row = (sensor, entry.slot, entry.state, entry.owner, entry.digest)
        self._commit("INSERT OR REPLACE INTO slot VALUES (?, ?, ?, ?, ?)", row, sensor, generation)

    def drop(self, sensor, slot, generation=None):
        statement = "DELETE FROM slot WHERE sensor = ? AND slot = ?"
        self._commit(statement, (sensor, slot), sensor, generation)

    def _commit(self, statement, row, sensor, generation):
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute(statement, row)
        if generation is not None:
            bump = "UPDATE bound SET generation = ? WHERE sensor = ?"
            self._db.execute(bump, (generation, sensor))
        self._db.execute("COMMIT")
