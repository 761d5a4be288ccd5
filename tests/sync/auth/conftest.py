"""PINs are hashed as quickly as argon2id can, but where its strength is what is looked at."""

from __future__ import annotations

import pytest
from argon2 import PasswordHasher

from sync.hub.auth import pins


@pytest.fixture(autouse=True)
def _quick_hashes(request, monkeypatch):
    if request.module.__name__.rpartition(".")[2] != "test_keys":
        quick = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
        monkeypatch.setattr(pins, "_HASHER", quick)
