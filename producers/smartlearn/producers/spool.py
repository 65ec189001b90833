"""The disk spool: what could not be delivered waits here, bounded, and survives the process.

A folder is shared by all producers of a data directory. Each process appends to segments of its own and holds a lock
while it lives; segments whose owner is gone are taken over by whoever asks first. Full means that the oldest goes:
past the bound of bytes as well as on a full disk, and it is counted.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from smartlearn.producers.locks import ProcessLock
from smartlearn.producers.rows import Outgoing
from smartlearn.producers.segments import SegmentName, SegmentWriter, unpack

LARGEST_SEGMENT = 256 << 10
"""A segment is dropped and sent again as a whole, so it is small."""

# Other processes' segments count as well, but need not be looked at each time.
_SEGMENTS_PER_SCAN = 16

# A full disk may need several of the oldest segments gone before one record fits.
_DROPS_PER_RECORD = 64


@dataclass
class Segment:
    """A segment that waits.

    Attributes:
        path: its file.
        size: bytes.
        rows: topic → rows in it; None where it was taken over and not read yet.
        taken: whether `next_segment` gave it out; it is not dropped then.
    """

    path: Path
    size: int
    rows: Counter[str] | None
    taken: bool = False


@dataclass
class Spool:
    """The spool of one process. Not thread-safe.

    Attributes:
        folder: where the segments stand; made when first needed.
        owner: this process' name in file names; unique.
        limit: bytes of all segments of all processes together.
        clock: µs since the epoch.
        dropped: topic → rows lost so far because there was no room.
        adopted: topic → rows taken over so far from processes that ended.
    """

    folder: Path
    owner: str
    limit: int
    clock: Callable[[], int] = lambda: time.time_ns() // 1000
    dropped: Counter[str] = field(default_factory=Counter)
    adopted: Counter[str] = field(default_factory=Counter)
    _lock: ProcessLock | None = None
    _writer: SegmentWriter | None = None
    _sealed: deque[Segment] = field(default_factory=deque)
    _orphans: dict[str, ProcessLock] = field(default_factory=dict)
    _number: int = 0
    _known_bytes: int = 0

    @property
    def waiting(self) -> bool:
        """Whether there is anything that `next_segment` has not given out yet."""
        return self._writer is not None or any(not segment.taken for segment in self._sealed)

    @property
    def empty(self) -> bool:
        """Whether nothing of this process is kept here."""
        return self._writer is None and not self._sealed

    def append(self, message: Outgoing) -> bool:
        """Keep a message; False where it had to be dropped. Never raises for want of room."""
        for _ in range(_DROPS_PER_RECORD):
            try:
                self._make_room(len(message.value))
                self._current(len(message.value)).append(message)
            except OSError:
                if not self._drop_oldest():
                    break
            else:
                return True
        self.dropped[message.topic] += message.rows
        return False

    def adopt(self) -> int:
        """Take over the segments of processes that ended; return how many."""
        found = 0
        names = sorted(name for path in self._files() if (name := SegmentName.parse(path.name)) is not None)
        for name in names:
            path = self.folder / name.file
            if name.owner == self.owner or (name.owner not in self._orphans and not self._is_orphan(name.owner)):
                continue
            if any(segment.path == path for segment in self._sealed):
                continue
            try:
                self._sealed.append(Segment(path, path.stat().st_size, None))
            except FileNotFoundError:
                continue
            found += 1
            self._known_bytes += self._sealed[-1].size
        self._release_orphans()
        if found:
            self._sealed = deque(sorted(self._sealed, key=lambda segment: segment.path.name))
        return found

    def next_segment(self) -> tuple[Segment, list[Outgoing]] | None:
        """The oldest segment that was not given out yet, and its records; None where there is none.

        It stays on disk until `remove`. A segment that cannot be read counts as dropped.
        """
        if self._writer is not None and not any(not segment.taken for segment in self._sealed):
            self._seal()
        for segment in list(self._sealed):
            if segment.taken:
                continue
            try:
                records = unpack(segment.path.read_bytes())
            except OSError:
                self._sealed.remove(segment)
                self.dropped += segment.rows or Counter()
                continue
            self._count(segment, records)
            segment.taken = True
            return segment, records
        return None

    def remove(self, segment: Segment) -> None:
        """Delete a segment whose records were all delivered."""
        self._forget(segment)
        self._release_orphans()

    def abandon(self) -> None:
        """In a forked child: let go of what belongs to the parent, touching none of its files."""
        if self._writer is not None:
            self._writer.close()
        for lock in (self._lock, *self._orphans.values()):
            if lock is not None:
                lock.release()
        self._writer = self._lock = None
        self._orphans.clear()
        self._sealed.clear()

    def close(self) -> None:
        """Leave what is kept to whoever comes next."""
        self._seal()
        self._sealed.clear()
        self._release_orphans()
        if self._lock is not None:
            self._lock.release(remove=not any(self.owner in path.name for path in self._segment_files()))
            self._lock = None

    def _current(self, size: int) -> SegmentWriter:
        if self._writer is not None and self._writer.size + size > self._segment_size:
            self._seal()
        if self._writer is None:
            if self._lock is None:
                self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                self._lock = ProcessLock.take(self._lock_path(self.owner))
            if self._number % _SEGMENTS_PER_SCAN == 0:
                self._known_bytes = sum(self._size(path) for path in self._segment_files())
            self._number += 1
            self._writer = SegmentWriter(self.folder, SegmentName(self.clock(), self.owner, self._number))
        return self._writer

    def _seal(self) -> None:
        writer, self._writer = self._writer, None
        if writer is None:
            return
        writer.close()
        if writer.rows:
            self._known_bytes += writer.size
            self._sealed.append(Segment(writer.path, writer.size, writer.rows))
        else:
            writer.path.unlink(missing_ok=True)

    @property
    def _segment_size(self) -> int:
        return min(LARGEST_SEGMENT, self.limit // 8)

    def _make_room(self, size: int) -> None:
        """Drop the oldest segments until a record fits below the limit."""
        written = 0 if self._writer is None else self._writer.size
        while self._known_bytes + written + size > self.limit and self._drop_oldest():
            written = 0 if self._writer is None else self._writer.size

    def _drop_oldest(self) -> bool:
        """Drop the oldest segment that is not being sent; whether there was one."""
        for segment in self._sealed:
            if not segment.taken:
                self._drop(segment)
                return True
        if self._writer is not None and self._writer.rows:
            self._seal()
            self._drop(self._sealed[-1])
            return True
        return False

    def _drop(self, segment: Segment) -> None:
        if segment.rows is None:
            try:
                self._count(segment, unpack(segment.path.read_bytes()))
            except OSError:
                segment.rows = Counter()
        self.dropped += segment.rows or Counter()
        self._forget(segment)

    def _count(self, segment: Segment, records: list[Outgoing]) -> None:
        """Note the rows of a segment that was taken over, the first time that it is read."""
        if segment.rows is not None:
            return
        segment.rows = Counter()
        for record in records:
            segment.rows[record.topic] += record.rows
        self.adopted += segment.rows

    def _forget(self, segment: Segment) -> None:
        # Where it cannot be deleted, it is sent again by the next process, and known by its numbers.
        with contextlib.suppress(OSError):
            segment.path.unlink(missing_ok=True)
        self._sealed.remove(segment)
        self._known_bytes = max(0, self._known_bytes - segment.size)

    @staticmethod
    def _size(path: Path) -> int:
        try:
            return path.stat().st_size
        except FileNotFoundError:
            return 0

    def _files(self) -> list[Path]:
        try:
            return list(self.folder.iterdir())
        except OSError:
            return []

    def _segment_files(self) -> list[Path]:
        return [path for path in self._files() if SegmentName.parse(path.name) is not None]

    def _lock_path(self, owner: str) -> Path:
        return self.folder / f"{owner}.lock"

    def _is_orphan(self, owner: str) -> bool:
        """Whether a process is gone; its lock is then ours until its segments are sent."""
        try:
            lock = ProcessLock.take(self._lock_path(owner))
        except OSError:
            return False
        if lock is None:
            return False
        self._orphans[owner] = lock
        return True

    def _release_orphans(self) -> None:
        kept = {name.owner for segment in self._sealed if (name := SegmentName.parse(segment.path.name)) is not None}
        for owner in [owner for owner in self._orphans if owner not in kept]:
            left = any(name is not None and name.owner == owner for name in map(_name, self._segment_files()))
            self._orphans.pop(owner).release(remove=not left)


def _name(path: Path) -> SegmentName | None:
    return SegmentName.parse(path.name)
