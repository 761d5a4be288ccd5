"""PINs hashed quickly where argon2id's strength is not in question, and no waiting for disks.

What is asked here is who may do what, not what a disk keeps: the folders are in memory where the
system has some.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from sync.hub.auth import pins


@pytest.fixture(autouse=True)
def _quick_hashes(request, monkeypatch):
    if request.module.__name__.rpartition(".")[2] != "test_keys":
        quick = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
        monkeypatch.setattr(pins, "_HASHER", quick)


@pytest.fixture
def tmp_path(tmp_path):
    memory = Path("/dev/shm")  # noqa: S108  a folder of its own within it
    if not memory.is_dir():
        yield tmp_path
        return
    folder = Path(tempfile.mkdtemp(prefix="whorl-auth-", dir=memory))
    yield folder
    shutil.rmtree(folder)
