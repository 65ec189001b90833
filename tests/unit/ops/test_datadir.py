from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from smartlearn.core.errors import StackError
from smartlearn.core.stack import Component, StackRecord
from smartlearn.ops.local.datadir import DataDirLock, is_held, running_stack
from smartlearn.ops.local.logs import open_log, rotate, tail
from smartlearn.ops.local.ports import Ports

RECORD = StackRecord(
    pid=4711,
    mode="embedded",
    kafka="127.0.0.1:21000",
    kafka_epoch="e1",
    dashboard="http://127.0.0.1:8050",
    workers=1,
    components=[Component(name="broker", pid=4712, state="running")],
)


def test_a_second_holder_is_told_who_runs_and_what_to_do(tmp_path: Path) -> None:
    first = DataDirLock(tmp_path)
    first.acquire()
    RECORD.write(tmp_path)
    with pytest.raises(StackError) as refused:
        DataDirLock(tmp_path).acquire()
    first.release()
    DataDirLock(tmp_path).acquire()
    assert "already runs" in str(refused.value)
    assert "4711" in str(refused.value)
    assert "http://127.0.0.1:8050" in str(refused.value)
    assert "--data-dir" in str(refused.value)


def test_the_record_of_a_dead_supervisor_is_no_running_stack(tmp_path: Path) -> None:
    RECORD.write(tmp_path)
    assert running_stack(tmp_path) is None
    lock = DataDirLock(tmp_path)
    lock.acquire()
    assert running_stack(tmp_path) == RECORD
    lock.release()
    assert running_stack(tmp_path) is None


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from smartlearn.ops.local.datadir import DataDirLock\n"
        "DataDirLock(Path(sys.argv[1])).acquire(); print('held', flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdin is not None
    with child, child.stdin, child.stdout:
        assert child.stdout.readline() == "held\n"
        assert is_held(tmp_path)
        child.kill()
    assert not is_held(tmp_path)


def test_a_directory_that_was_never_used_holds_no_stack(tmp_path: Path) -> None:
    assert running_stack(tmp_path / "nothing") is None
    assert not (tmp_path / "nothing").exists()


def test_a_record_that_cannot_be_read_is_named_in_one_sentence(tmp_path: Path) -> None:
    lock = DataDirLock(tmp_path)
    lock.acquire()
    StackRecord.path(tmp_path).write_text('{"pid": 1, "shape": "of the future"}')
    with pytest.raises(StackError, match="is not the record of a stack"):
        running_stack(tmp_path)
    with pytest.raises(StackError, match="already runs"):
        DataDirLock(tmp_path).acquire()
    lock.release()


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_data_directory_that_cannot_be_made_is_refused_with_the_reason(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StackError, match="cannot be used"):
        DataDirLock(tmp_path / place).acquire()


def test_two_stacks_never_pick_the_same_port() -> None:
    first, second = Ports(), Ports()
    try:
        a = first.any_free()
        b = second.first_free(a)
        assert b > a
        assert not second.take(a)
        first.close()
        assert second.take(a)
    finally:
        first.close()
        second.close()


def test_no_free_port_is_one_sentence() -> None:
    first, second = Ports(), Ports()
    try:
        port = first.any_free()
        with pytest.raises(StackError, match=f"no port from {port}"):
            second.first_free(port, tries=1)
    finally:
        first.close()


def test_a_log_over_its_limit_moves_aside_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "worker.log"
    descriptor = open_log(path)
    os.write(descriptor, b"old\n" * 10)
    assert not rotate(path, limit=40)
    assert rotate(path, limit=39)
    os.write(descriptor, b"new\n")
    os.close(descriptor)
    assert path.read_text() == "new\n"
    assert path.with_name("worker.log.1").read_text() == "old\n" * 10


def test_a_log_goes_on_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "worker.log"
    for line in (b"first\n", b"second\n\n"):
        descriptor = open_log(path)
        os.write(descriptor, line)
        os.close(descriptor)
    assert tail(path, 5) == ["first", "second"]
    assert tail(tmp_path / "none.log") == []
