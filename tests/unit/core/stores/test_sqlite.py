"""What only the SQLite store promises: durability, and a sentence for whatever happens to its file."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from smartlearn.core.errors import StoreRejected, StoreUnavailable
from smartlearn.core.settings import RetentionSettings, Settings
from smartlearn.core.stores import open_store, sqlite
from smartlearn.core.stores.base import Points, SeriesQuery
from smartlearn.core.stores.sqlite import SqliteStore

T = 1_700_000_000_000_000_000
DAY = 86_400_000_000_000

WRITER = """
import sys
from pathlib import Path
import numpy as np
from smartlearn.core.stores.base import Points
from smartlearn.core.stores.sqlite import SqliteStore

store = SqliteStore(Path(sys.argv[1]))
for number in range(int(sys.argv[2]), 10**9):
    times = np.arange(number * 50, (number + 1) * 50, dtype=np.int64)
    store.write([Points("performance", times, {"node": "a"}, {"value": times.astype(float)})])
    store.put_state({"written": str(number).encode()})
    print(number, flush=True)
"""


def one_point(value: float = 1.0) -> list[Points]:
    return [Points("performance", np.array([T]), {"node": "a"}, {"cpu_usage": value})]


def test_no_acknowledged_write_is_lost_to_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "metrics.db"
    number = -1
    for acknowledged in (1, 40, 7):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(number + 1)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        for _ in range(acknowledged):
            number = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        number = max([number, *map(int, writer.stdout.read().split())])
        writer.stdout.close()
        store = SqliteStore(path)
        (series,) = store.query(SeriesQuery("performance", stop=(number + 1) * 50))
        assert np.array_equal(series.time, np.arange((number + 1) * 50))
        assert np.array_equal(series.fields["value"], np.arange((number + 1) * 50.0))
        state = store.get_state("written")
        assert state is not None
        assert int(state) >= number
        store.close()


def open_and_write(path: Path, number: int) -> None:
    store = SqliteStore(path)
    store.write([Points("performance", np.array([T]), {"node": f"n{number}"}, {f"f{number}": 1.0})])
    store.close()


def test_processes_may_create_the_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "new" / "metrics.db"
    with ProcessPoolExecutor(6, mp_context=multiprocessing.get_context("spawn")) as pool:
        list(pool.map(open_and_write, [path] * 6, range(6)))
    store = SqliteStore(path)
    assert store.tag_values("performance", "node") == [f"n{number}" for number in range(6)]
    store.close()


def test_readers_do_not_wait_for_a_writer(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "metrics.db", busy_timeout_s=0.05)
    store.write(one_point())
    writer = sqlite3.connect(tmp_path / "metrics.db", isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("INSERT INTO _state VALUES ('half', x'00')")
    assert len(store.query(SeriesQuery("performance"))) == 1
    assert store.get_state("half") is None
    writer.execute("ROLLBACK")
    writer.close()
    store.close()


def test_a_writer_does_not_wait_for_readers(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "metrics.db", busy_timeout_s=0.05)
    store.write(one_point(1.0))
    reader = sqlite3.connect(tmp_path / "metrics.db", isolation_level=None)
    reader.execute("BEGIN")
    before = reader.execute('SELECT cpu_usage FROM "points.performance.0"').fetchall()
    store.write(one_point(2.0))
    assert reader.execute('SELECT cpu_usage FROM "points.performance.0"').fetchall() == before == [(1.0,)]
    reader.close()
    store.close()


def test_a_lock_that_stays_is_unavailable(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "metrics.db", busy_timeout_s=0.05)
    other = sqlite3.connect(tmp_path / "metrics.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match=r"stayed locked for 0\.05 s"):
        store.write(one_point())
    other.execute("ROLLBACK")
    assert store.write(one_point()) == []
    other.close()
    store.close()


def test_a_waiting_writer_gets_its_turn(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "metrics.db")
    other = sqlite3.connect(tmp_path / "metrics.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    waiting = threading.Thread(target=store.write, args=(one_point(),))
    waiting.start()
    other.execute("COMMIT")
    waiting.join(30)
    assert len(store.query(SeriesQuery("performance"))) == 1
    other.close()
    store.close()


def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "metrics.db").write_bytes(b"this is not a database at all" * 1000)
    with pytest.raises(StoreUnavailable, match="damaged or no SQLite file"):
        SqliteStore(tmp_path / "metrics.db")


def test_a_damaged_file_is_unavailable(tmp_path: Path) -> None:
    path = tmp_path / "metrics.db"
    store = SqliteStore(path)
    rows = 20_000
    values = np.random.default_rng(1).random(rows)
    store.write([Points("performance", T + np.arange(rows), {"node": "a"}, {"cpu_usage": values})])
    store.close()
    content = bytearray(path.read_bytes())
    content[8192:-8192] = b"\xff" * len(content[8192:-8192])
    path.write_bytes(content)
    store = SqliteStore(path)
    with pytest.raises(StoreUnavailable, match="damaged"):
        store.query(SeriesQuery("performance"))
    store.close()


FULL = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from smartlearn.core.errors import StoreUnavailable
from smartlearn.core.stores.base import Points
from smartlearn.core.stores.sqlite import SqliteStore

store = SqliteStore(Path(sys.argv[1]))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4_000_000, 4_000_000))
written = 0
try:
    while True:
        times = np.arange(written, written + 5000, dtype=np.int64)
        store.write([Points("performance", times, {"node": "a"}, {"value": np.random.random(5000)})])
        written += 5000
except StoreUnavailable as error:
    print(written, error)
"""


def test_a_full_disk_is_unavailable_and_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "metrics.db"
    done = subprocess.run([sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, check=True)
    written, sentence = done.stdout.split(" ", 1)
    assert int(written) > 0
    assert "no space is left" in sentence or "check the disk" in sentence
    store = SqliteStore(path)
    (series,) = store.query(SeriesQuery("performance"))
    assert len(series) == int(written)
    assert store.write(one_point()) == []
    store.close()


def test_a_folder_that_cannot_be_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable, match="cannot be made"):
        SqliteStore(tmp_path / "file" / "metrics.db")


def test_a_path_that_is_a_folder_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="cannot be opened"):
        SqliteStore(tmp_path)


def test_a_file_of_a_newer_version_is_rejected(tmp_path: Path) -> None:
    SqliteStore(tmp_path / "metrics.db").close()
    connection = sqlite3.connect(tmp_path / "metrics.db")
    connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(StoreRejected, match="layout 99"):
        SqliteStore(tmp_path / "metrics.db")


def test_tables_of_someone_else_are_rejected(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "metrics.db")
    store.write(one_point())
    connection = sqlite3.connect(tmp_path / "metrics.db")
    connection.execute('DROP TABLE "points.performance.0"')
    connection.commit()
    connection.close()
    with pytest.raises(StoreRejected, match="no such table"):
        store.query(SeriesQuery("performance"))
    store.close()


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "metrics.db")
    store.close()
    with pytest.raises(StoreRejected, match="closed"):
        store.write(one_point())


def test_a_store_closed_while_in_use_lets_go_at_the_end(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "metrics.db")
    with store._connections.writing() as connection:
        store.close()
        connection.execute("INSERT INTO _state VALUES ('key', x'01')")
    assert not (tmp_path / "metrics.db-wal").exists()
    store = SqliteStore(tmp_path / "metrics.db")
    assert store.get_state("key") == b"\x01"
    store.close()


def test_a_forked_child_uses_connections_of_its_own(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "metrics.db")
    store.write(one_point(1.0))
    child = os.fork()
    if child == 0:
        try:
            store.write([Points("performance", np.array([T + 1]), {"node": "child"}, {"cpu_usage": 2.0})])
            store.close()
        finally:
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert store.tag_values("performance", "node") == ["a", "child"]
    store.close()


def test_what_is_beyond_its_retention_expires(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "metrics.db", RetentionSettings(raw_days=7, panes_days=1))
    times = T + np.arange(10, dtype=np.int64) * DAY
    for measurement in ("performance", "performance_10s", "health"):
        store.write([Points(measurement, times, {"node": "a"}, {"score": 1.0})])
    store.expire(int(times[-1]))
    left = {name: store.query(SeriesQuery(name))[0].time.tolist() for name in store.measurements()}
    assert left == {
        "performance": times[2:].tolist(),
        "performance_10s": times[8:].tolist(),
        "health": times.tolist(),
    }
    store.close()


def test_a_delete_of_many_series_goes_in_steps(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "metrics.db")
    nodes = [f"n{number}" for number in range(500)]
    store.write([Points("performance", np.full(500, T), {"node": nodes, "run": "r"}, {"cpu_usage": 1.0})])
    store.delete("performance", {"run": "r"})
    assert store.measurements() == []
    store.close()


def test_a_large_write_is_several_transactions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "TRANSACTION_VALUES", 100)
    store = SqliteStore(tmp_path / "metrics.db")
    times = T + np.arange(1000, dtype=np.int64)
    store.write([Points("performance", times, {"node": "a"}, {"cpu_usage": times.astype(np.float64)})] * 2)
    (series,) = store.query(SeriesQuery("performance"))
    assert np.array_equal(series.time, times)
    store.close()


def test_the_settings_place_the_file_in_the_data_directory(tmp_path: Path) -> None:
    store = open_store(Settings(data_dir=tmp_path / "data"))
    store.write(one_point())
    assert store.check().startswith("SQLite 3.")
    store.close()
    assert (tmp_path / "data" / "metrics.db").exists()
    shutil.rmtree(tmp_path / "data")
