from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from smartlearn.producers.rows import Outgoing
from smartlearn.producers.segments import MAGIC, SegmentName, pack, unpack
from smartlearn.producers.spool import Spool

MIB = 1 << 20


def message(number: int, size: int = 100, rows: int = 1) -> Outgoing:
    return Outgoing("smartlearn.performance", f"k{number}".encode(), number.to_bytes(4, "big") * (size // 4), rows)


def spool(folder: Path, owner: str = "me", limit: int = 16 * MIB) -> Spool:
    ticks = count(1)
    return Spool(folder, owner, limit, clock=lambda: next(ticks))


def drained(one: Spool) -> list[Outgoing]:
    found: list[Outgoing] = []
    while (part := one.next_segment()) is not None:
        found += part[1]
        one.remove(part[0])
    return found


def test_messages_come_back_in_order_and_byte_for_byte(tmp_path: Path) -> None:
    one = spool(tmp_path)
    sent = [message(number, size=1000) for number in range(2000)]
    assert all(one.append(each) for each in sent)
    assert drained(one) == sent
    assert one.empty
    assert list(tmp_path.glob("*.seg")) == []


def test_nothing_is_written_before_there_is_something_to_keep(tmp_path: Path) -> None:
    one = spool(tmp_path / "spool")
    assert (one.empty, one.waiting, one.next_segment(), one.adopt()) == (True, False, None, 0)
    one.close()
    assert not (tmp_path / "spool").exists()


def test_a_segment_that_was_given_out_stays_until_it_is_removed(tmp_path: Path) -> None:
    one = spool(tmp_path)
    one.append(message(1))
    part = one.next_segment()
    assert part is not None
    assert (one.waiting, one.empty, one.next_segment()) == (False, False, None)
    one.append(message(2))
    later = one.next_segment()
    assert later is not None
    assert later[1] == [message(2)]
    one.remove(part[0])
    one.remove(later[0])
    assert one.empty


def test_the_next_process_takes_over_what_a_closed_one_left(tmp_path: Path) -> None:
    first = spool(tmp_path, "first")
    first.append(message(1, rows=7))
    first.close()
    second = spool(tmp_path, "second")
    assert second.adopt() == 1
    assert drained(second) == [message(1, rows=7)]
    assert second.adopted.total() == 7
    second.close()
    assert list(tmp_path.iterdir()) == []


def test_a_living_process_keeps_what_is_its_own(tmp_path: Path) -> None:
    first = spool(tmp_path, "first")
    first.append(message(1))
    second = spool(tmp_path, "second")
    assert second.adopt() == 0
    assert drained(first) == [message(1)]


def test_only_one_of_two_processes_takes_over(tmp_path: Path) -> None:
    first = spool(tmp_path, "first")
    first.append(message(1))
    first.close()
    second, third = spool(tmp_path, "second"), spool(tmp_path, "third")
    assert (second.adopt(), third.adopt()) == (1, 0)
    assert drained(second) == [message(1)]
    assert third.adopt() == 0


def test_a_process_killed_in_the_middle_leaves_all_that_it_had_appended(tmp_path: Path) -> None:
    code = (
        "import os, sys, signal\n"
        "from pathlib import Path\n"
        "from smartlearn.producers.spool import Spool\n"
        "from smartlearn.producers.rows import Outgoing\n"
        "spool = Spool(Path(sys.argv[1]), 'killed', 1 << 24)\n"
        "for n in range(50): assert spool.append(Outgoing('t', b'k', str(n).encode(), 1))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert ended.returncode == -9
    one = spool(tmp_path)
    assert one.adopt() == 1
    assert drained(one) == [Outgoing("t", b"k", str(n).encode(), 1) for n in range(50)]


@pytest.mark.parametrize("cut", [1, 5, 60, 119])
def test_a_record_cut_short_ends_its_segment(cut: int) -> None:
    whole = MAGIC + pack(message(1)) + pack(message(2))
    assert unpack(whole) == [message(1), message(2)]
    assert unpack(whole[:-cut]) == [message(1)]


def test_a_flipped_bit_ends_the_segment_before_its_record() -> None:
    data = bytearray(MAGIC + pack(message(1)) + pack(message(2)) + pack(message(3)))
    data[len(MAGIC) + len(pack(message(1))) + 30] ^= 1
    assert unpack(bytes(data)) == [message(1)]
    assert unpack(b"something else") == []


def test_beyond_its_bytes_the_oldest_goes_and_is_counted(tmp_path: Path) -> None:
    limit = 256 * 1024
    one = spool(tmp_path, limit=limit)
    sent = [message(number, size=1000, rows=3) for number in range(1000)]
    for each in sent:
        assert one.append(each)
    assert sum(path.stat().st_size for path in tmp_path.glob("*.seg")) <= limit
    kept = drained(one)
    assert kept == sent[-len(kept) :]
    assert len(kept) > 150
    assert one.dropped.total() == 3 * (len(sent) - len(kept))


def test_a_segment_that_is_being_sent_is_not_dropped(tmp_path: Path) -> None:
    one = spool(tmp_path, limit=128 * 1024)
    one.append(message(0))
    part = one.next_segment()
    assert part is not None
    for number in range(1, 500):
        one.append(message(number, size=1000))
    assert part[0].path.exists()
    one.remove(part[0])


class Disk:
    """A disk with so many bytes left for segments, by standing between the spool and `os.write`."""

    def __init__(self, folder: Path, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder, self._size, self._write = folder, size, os.write
        monkeypatch.setattr(os, "write", self.write)

    def write(self, file: int, data: bytes) -> int:
        used = sum(path.stat().st_size for path in self._folder.glob("*.seg"))
        room = self._size - used
        if room <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self._write(file, data[:room])


def test_on_a_full_disk_the_oldest_goes_and_nothing_is_torn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Disk(tmp_path, 100_000, monkeypatch)
    one = spool(tmp_path, limit=128 * 1024)
    sent = [message(number, size=1000, rows=2) for number in range(600)]
    taken = [one.append(each) for each in sent]
    assert all(taken)
    kept = drained(one)
    assert kept == sent[-len(kept) :]
    assert len(kept) > 50
    assert one.dropped.total() == 2 * (len(sent) - len(kept))


def test_a_disk_without_any_room_costs_the_message_and_raises_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Disk(tmp_path, 0, monkeypatch)
    one = spool(tmp_path)
    assert not one.append(message(1, rows=4))
    assert one.dropped.total() == 4
    assert list(tmp_path.glob("*.seg")) == []


@pytest.mark.parametrize("make", [lambda path: path.write_text("a file"), lambda path: path.symlink_to("/dev/null")])
def test_a_folder_that_cannot_be_made_costs_the_message_and_raises_nothing(
    tmp_path: Path, make: Callable[[Path], object]
) -> None:
    make(tmp_path / "spool")
    one = spool(tmp_path / "spool" / "deeper")
    assert not one.append(message(1))
    assert one.dropped.total() == 1


def test_files_that_are_no_segments_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "x-y-z.seg").write_text("mine")
    one = spool(tmp_path)
    assert one.adopt() == 0
    assert {path.name for path in tmp_path.iterdir()} == {"notes.txt", "x-y-z.seg"}


def test_a_name_says_age_owner_and_number() -> None:
    name = SegmentName(1_760_000_000_000_000, "abc", 3)
    assert SegmentName.parse(name.file) == name
    assert SegmentName(5, "a", 1).file < SegmentName(10, "a", 2).file
    assert SegmentName.parse("notes.txt") is None


def test_a_forked_child_lets_go_without_touching_the_parents_files(tmp_path: Path) -> None:
    one = spool(tmp_path)
    one.append(message(1))
    child = os.fork()
    if child == 0:
        one.abandon()
        os._exit(0 if one.empty and list(tmp_path.glob("*.seg")) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert spool(tmp_path, "other").adopt() == 0
    assert drained(one) == [message(1)]
