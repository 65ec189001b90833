"""The files of a spool: append-only segments of checksummed records.

A segment is named `<created, µs>-<owner>-<number>.seg`, so that names sort by age, and is written by one process.
Nothing in it is changed after it was written; a record that a crash cut short fails its checksum and ends the segment.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from smartlearn.producers.rows import Outgoing

MAGIC = b"SLSPOOL1"
_FRAME = struct.Struct(">II")
_HEAD = struct.Struct(">IHH")
_SUFFIX = ".seg"


class SegmentName(NamedTuple):
    """What a segment's file name says.

    Attributes:
        created: when, µs since the epoch.
        owner: the process that wrote it.
        number: its number there.
    """

    created: int
    owner: str
    number: int

    @property
    def file(self) -> str:
        """The file name."""
        return f"{self.created:017d}-{self.owner}-{self.number:06d}{_SUFFIX}"

    @classmethod
    def parse(cls, file: str) -> SegmentName | None:
        """The parts of a file name; None where it is no segment's."""
        if not file.endswith(_SUFFIX):
            return None
        created, _, rest = file[: -len(_SUFFIX)].partition("-")
        owner, _, number = rest.partition("-")
        if not (created.isdecimal() and owner and number.isdecimal()):
            return None
        return cls(int(created), owner, int(number))


def pack(message: Outgoing) -> bytes:
    """A message as a record."""
    topic = message.topic.encode()
    body = b"".join((_HEAD.pack(message.rows, len(topic), len(message.key)), topic, message.key, message.value))
    return _FRAME.pack(len(body), zlib.crc32(body)) + body


def unpack(data: bytes) -> list[Outgoing]:
    """The records of a segment up to its end, or up to the first that is not whole."""
    if data[: len(MAGIC)] != MAGIC:
        return []
    found = []
    view = memoryview(data)
    at = len(MAGIC)
    while at + _FRAME.size <= len(view):
        length, checksum = _FRAME.unpack_from(view, at)
        body = view[at + _FRAME.size : at + _FRAME.size + length]
        if len(body) != length or length < _HEAD.size or zlib.crc32(body) != checksum:
            break
        found.append(_unpack_body(body))
        at += _FRAME.size + length
    return found


def _unpack_body(body: memoryview) -> Outgoing:
    rows, topic_size, key_size = _HEAD.unpack_from(body)
    key_at = _HEAD.size + topic_size
    value_at = key_at + key_size
    return Outgoing(
        bytes(body[_HEAD.size : key_at]).decode(),
        bytes(body[key_at:value_at]),
        bytes(body[value_at:]),
        rows,
    )


class SegmentWriter:
    """One segment that is being written. What `append` returned from survives the death of the process.

    Attributes:
        path: its file.
        size: bytes so far.
        rows: topic → rows so far.
    """

    def __init__(self, folder: Path, name: SegmentName) -> None:
        """Create the file.

        Raises:
            OSError: it cannot be created, or there is no room for its head.
        """
        self.path = folder / name.file
        self.rows: Counter[str] = Counter()
        self._file = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_CLOEXEC", 0), 0o600)
        self.size = 0
        try:
            self._write(MAGIC)
        except OSError:
            os.close(self._file)
            self.path.unlink(missing_ok=True)
            raise

    def append(self, message: Outgoing) -> None:
        """Write a record, all of it or nothing.

        Raises:
            OSError: there is no room, or the disk fails.
        """
        self._write(pack(message))
        self.rows[message.topic] += message.rows

    def close(self) -> None:
        """End the segment."""
        os.close(self._file)

    def _write(self, data: bytes) -> None:
        written = 0
        try:
            while written < len(data):
                written += os.write(self._file, data[written:])
        except OSError:
            # A record that stands half would end the segment for its readers.
            os.ftruncate(self._file, self.size)
            os.lseek(self._file, self.size, os.SEEK_SET)
            raise
        self.size += written
