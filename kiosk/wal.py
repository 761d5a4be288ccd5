"""Reads SQLite's write-ahead log without SQLite, for when the database beside it is lost.

Source: https://www.sqlite.org/fileformat2.html, section 4 (the WAL file) and 1.3 (the header).
"""

from __future__ import annotations

import struct

_MAGIC = 0x377F0682  # the lowest bit says that checksums are over big-endian words
_VERSION = 3_007_000
_HEADER = struct.Struct(">8I")
_FRAME = struct.Struct(">6I")
_NO_WAL = b"\x01\x01"  # file format versions (bytes 18 and 19) of a database without a log


def committed(log: bytes) -> tuple[dict[int, bytes], int]:
    """The pages of all committed transactions by number (from 1), and how many the database has.

    Frames count up to the last commit before the first that is torn, stale or damaged; nothing
    usable gives ({}, 0).
    """
    if len(log) < _HEADER.size:
        return {}, 0
    magic, version, size, _, salt1, salt2, *summed = _HEADER.unpack_from(log)
    order = ">" if magic & 1 else "<"
    if magic & ~1 != _MAGIC or version != _VERSION or not _is_page_size(size):
        return {}, 0
    state = _checksum(order, log[:24], (0, 0))
    if state != tuple(summed):
        return {}, 0
    pages: dict[int, bytes] = {}
    open_: dict[int, bytes] = {}
    count = 0
    for at in range(_HEADER.size, len(log) - size - _FRAME.size + 1, size + _FRAME.size):
        number, after, *salts, sum1, sum2 = _FRAME.unpack_from(log, at)
        page = log[at + _FRAME.size : at + _FRAME.size + size]
        state = _checksum(order, page, _checksum(order, log[at : at + 8], state))
        if salts != [salt1, salt2] or state != (sum1, sum2):
            break
        open_[number] = page
        if after:
            pages |= open_
            count = after
            open_ = {}
    return pages, count


def rebuilt(main: bytes, log: bytes, blank: bytes) -> bytes:
    """An image of the database: its own pages, over them what the log holds committed.

    `blank` is a fresh database with the same tables; it stands in for pages that neither has, and
    for a first page that is not one of a database. Pages that nobody has are zeros. The image is
    for reading only and needs no log.
    """
    pages, count = committed(log)
    size = len(next(iter(pages.values()), b"")) or _page_size(main) or _page_size(blank)
    image = bytearray(main or blank)
    if not _page_size(image):
        image[:size] = blank[:size]
    count = max(count, len(image) // size)
    image = image[: count * size].ljust(count * size, b"\0")
    for number, page in pages.items():
        if 0 < number <= count:
            image[(number - 1) * size : number * size] = page
    image[18:20] = _NO_WAL
    image[28:32] = count.to_bytes(4, "big")
    image[92:96] = image[24:28]  # without this the count before is not believed
    return bytes(image)


def _page_size(main: bytes | bytearray) -> int:
    """The page size a database's first bytes give; 0 if they are no header."""
    if main[:16] != b"SQLite format 3\0" or len(main) < 512:
        return 0
    size = int.from_bytes(main[16:18], "big")
    size = 65_536 if size == 1 else size
    return size if _is_page_size(size) else 0


def _is_page_size(size: int) -> bool:
    return 512 <= size <= 65_536 and size & (size - 1) == 0


def _checksum(order: str, data: bytes, state: tuple[int, int]) -> tuple[int, int]:
    first, second = state
    for one, two in struct.iter_unpack(f"{order}II", data):
        first = (first + one + second) & 0xFFFFFFFF
        second = (second + two + first) & 0xFFFFFFFF
    return first, second
