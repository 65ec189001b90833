"""What only the InfluxDB store does: retries, refusals found by halves, and a server made ready."""

from __future__ import annotations

import gzip
import http.client
import http.server
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr
from tests.contract.conftest import fresh_influx

from smartlearn.core.errors import SettingsError, StoreRejected, StoreUnavailable
from smartlearn.core.settings import InfluxSettings, RetentionSettings
from smartlearn.core.stores import influx
from smartlearn.core.stores.base import Points, SeriesQuery
from smartlearn.core.stores.influx import InfluxStore
from smartlearn.core.stores.influx_setup import init_influx
from smartlearn.core.stores.influxql import series_of
from smartlearn.ops.local.ports import Ports
from smartlearn.ops.servers import ServersRecord

pytestmark = [pytest.mark.contract, pytest.mark.servers]

T = 1_700_000_000_000_000_000
DAY = 86_400_000_000_000
WEEK = 7 * DAY


class Gate(http.server.ThreadingHTTPServer):
    """Stands before the real server: answers with the faults it was given, then lets requests through."""

    def __init__(self, server: str, host: str = "127.0.0.1", port: int = 0) -> None:
        super().__init__((host, port), GateHandler)
        self.server = server.removeprefix("http://")
        self.faults: list[tuple[int, dict[str, str]]] = []
        self.largest = 10**9
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.url = f"http://{host}:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that went away."""


class GateHandler(http.server.BaseHTTPRequestHandler):
    server: Gate

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.requests.append((self.path, dict(self.headers), body))
        if self.server.faults:
            status, headers = self.server.faults.pop(0)
            self.answer(status, headers, b'{"message":"a fault"}')
        elif len(body) > self.server.largest:
            self.answer(413, {}, b'{"error":"too large"}')
        else:
            connection = http.client.HTTPConnection(self.server.server)
            connection.request(self.command, self.path, body, dict(self.headers))
            response = connection.getresponse()
            self.answer(response.status, dict(response.headers), response.read())
            connection.close()

    do_GET = do_POST  # noqa: N815

    def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in {"content-length", "transfer-encoding", "date"}:
                self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if status != 204:
            self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def settings(influxdb: ServersRecord) -> InfluxSettings:
    return fresh_influx(influxdb)


@pytest.fixture
def gates(settings: InfluxSettings) -> Iterator[Callable[..., Gate]]:
    assert settings.url is not None
    opened: list[tuple[Gate, threading.Thread]] = []

    def one(**details: Any) -> Gate:
        gate = Gate(str(settings.url), **details)
        thread = threading.Thread(target=gate.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        opened.append((gate, thread))
        return gate

    yield one
    for gate, thread in opened:
        gate.shutdown()
        gate.server_close()
        thread.join()


@pytest.fixture
def stores() -> Iterator[Callable[..., InfluxStore]]:
    opened: list[InfluxStore] = []

    def one(*arguments: Any, **details: Any) -> InfluxStore:
        opened.append(InfluxStore(*arguments, **details))
        return opened[-1]

    yield one
    for store in opened:
        store.close()


@pytest.fixture
def admin(influxdb: ServersRecord) -> str:
    assert influxdb.admin_token is not None
    return influxdb.admin_token


def through(gate: Gate, settings: InfluxSettings) -> InfluxSettings:
    return settings.model_copy(update={"url": gate.url})


def many(rows: int = 1000) -> Points:
    times = T + np.arange(rows, dtype=np.int64) * DAY // 10
    return Points("training", times, {"run": "r"}, {"step": np.arange(float(rows))})


def steps(store: InfluxStore) -> list[float]:
    return [step for series in store.query(SeriesQuery("training")) for step in series.fields["step"].tolist()]


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_fault_that_passes_is_not_seen(
    settings: InfluxSettings, gates: Callable[..., Gate], stores: Callable[..., InfluxStore], status: int
) -> None:
    gate = gates()
    store = stores(through(gate, settings))
    gate.faults = [(status, {}), (status, {})]
    assert store.write([many()]) == []
    gate.faults = [(status, {})]
    assert steps(store) == list(range(1000))


def test_retry_after_is_waited_for(
    settings: InfluxSettings, gates: Callable[..., Gate], stores: Callable[..., InfluxStore]
) -> None:
    gate = gates()
    store = stores(through(gate, settings), patience_s=0.5)
    gate.faults = [(503, {"Retry-After": "7"})] * 100
    with pytest.raises(StoreUnavailable, match="503") as caught:
        store.write([many()])
    assert caught.value.retry_after == 7
    assert len(gate.requests) == 1


def test_a_fault_that_lasts_is_unavailable(
    settings: InfluxSettings, gates: Callable[..., Gate], stores: Callable[..., InfluxStore]
) -> None:
    gate = gates()
    store = stores(through(gate, settings), patience_s=0.5)
    gate.faults = [(503, {})] * 100
    with pytest.raises(StoreUnavailable, match="a fault") as caught:
        store.write([many()])
    assert caught.value.retry_after is None
    assert len(gate.requests) > 1


def test_a_server_that_is_not_there_is_unavailable(
    settings: InfluxSettings, stores: Callable[..., InfluxStore]
) -> None:
    ports = Ports()
    away = settings.model_copy(update={"url": f"http://127.0.0.1:{ports.any_free()}"})
    store = stores(away, patience_s=0.3)
    for call in (lambda: store.write([many()]), lambda: store.query(SeriesQuery("training")), store.check):
        with pytest.raises(StoreUnavailable, match="does not answer"):
            call()
    ports.close()


def test_a_server_that_comes_back_gets_what_waited(
    settings: InfluxSettings, gates: Callable[..., Gate], stores: Callable[..., InfluxStore]
) -> None:
    ports = Ports()
    port = ports.any_free()
    store = stores(settings.model_copy(update={"url": f"http://127.0.0.1:{port}"}))
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(store.write, [many()])
        gates(port=port)
        assert writing.result() == []
    assert len(steps(store)) == 1000
    ports.close()


def test_a_request_that_is_too_large_goes_in_parts(
    settings: InfluxSettings, gates: Callable[..., Gate], stores: Callable[..., InfluxStore]
) -> None:
    gate = gates()
    gate.largest = 5000
    store = stores(through(gate, settings))
    assert store.write([many(), many()]) == []
    assert steps(store) == list(range(1000))


def test_lines_to_another_machine_are_compressed(
    settings: InfluxSettings, gates: Callable[..., Gate], stores: Callable[..., InfluxStore]
) -> None:
    gate = gates(host="127.0.0.2")
    store = stores(through(gate, settings))
    assert store.write([many()]) == []
    _, headers, body = gate.requests[0]
    assert headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(body).startswith(b"training,run=r step=0.0 ")
    assert len(steps(store)) == 1000


def test_exactly_the_points_that_clash_with_foreign_types_are_refused(
    settings: InfluxSettings, stores: Callable[..., InfluxStore]
) -> None:
    store = stores(settings)
    store._client.write(f"{settings.prefix}-training", f"training,run=other step=5i {T}".encode())
    points = many()
    refused = store.write([points])
    # Types are held per shard: a week here, and the server's weeks begin on a Monday, as 1970-01-05 was.
    week = (T - 4 * DAY) // WEEK
    clashing = [time for time in points.time.tolist() if (time - 4 * DAY) // WEEK == week]
    assert sorted(refusal.time for refusal in refused) == clashing
    assert all("type conflict" in refusal.reason and refusal.tags == {"run": "r"} for refusal in refused)
    (_, kept) = store.query(SeriesQuery("training"))
    assert kept.time.tolist() == [time for time in points.time.tolist() if time not in clashing]


def test_points_beyond_their_retention_are_refused_before_they_are_sent(
    settings: InfluxSettings, stores: Callable[..., InfluxStore]
) -> None:
    now = T + 100 * DAY
    store = stores(settings, RetentionSettings(training_days=30), clock=lambda: now)
    points = many()
    refused = store.write([points])
    old = [time for time in points.time.tolist() if time < now - 30 * DAY]
    assert [refusal.time for refusal in refused] == old
    assert "30 days" in refused[0].reason
    assert len(steps(store)) == 1000 - len(old)
    assert store.write([Points("training", np.array([T]), {}, {"step": 1.0})])[0].time == T
    assert store.write([Points("health", np.array([T]), {}, {"score": 1.0})]) == []


def test_points_beyond_the_servers_own_retention_are_refused(
    settings: InfluxSettings, stores: Callable[..., InfluxStore], admin: str
) -> None:
    for days in (1000, 100, 1, 1 / 24):
        init_influx(settings, RetentionSettings(training_days=days), admin)
    store = stores(settings)
    assert len(store.write([many(10)])) == 10


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"token": SecretStr("wrong")}, "store.influx.token"),
        ({"prefix": "nobody"}, "smartlearn store init"),
    ],
)
def test_what_the_server_denies_is_rejected_at_once(
    settings: InfluxSettings, stores: Callable[..., InfluxStore], change: dict[str, Any], message: str
) -> None:
    store = stores(settings.model_copy(update=change))
    with pytest.raises(StoreRejected, match=message):
        store.write([many()])


def test_a_wrong_token_cannot_read_either(settings: InfluxSettings, stores: Callable[..., InfluxStore]) -> None:
    store = stores(settings.model_copy(update={"token": SecretStr("wrong")}))
    for call in (store.check, lambda: store.query(SeriesQuery("training")), lambda: store.delete("training")):
        with pytest.raises(StoreRejected, match="token"):
            call()


def test_expiring_is_the_servers_work(settings: InfluxSettings, stores: Callable[..., InfluxStore]) -> None:
    store = stores(settings, RetentionSettings(training_days=1), clock=lambda: T)
    store.write([many(10)])
    store.expire(T + 1000 * DAY)
    assert len(steps(store)) == 10


def test_many_small_points_share_a_request(
    settings: InfluxSettings,
    gates: Callable[..., Gate],
    stores: Callable[..., InfluxStore],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(influx, "REQUEST_POINTS", 40)
    gate = gates()
    store = stores(through(gate, settings))
    single = [Points("training", np.array([T + row]), {"run": "r"}, {"step": float(row)}) for row in range(100)]
    store.write(single)
    assert len(gate.requests) == 3
    assert steps(store) == list(range(100))


def test_an_address_and_a_token_are_needed() -> None:
    with pytest.raises(SettingsError, match=r"store\.influx\.url"):
        InfluxStore(InfluxSettings())
    with pytest.raises(SettingsError, match=r"store\.influx\.token"):
        InfluxStore(InfluxSettings(url="http://127.0.0.1:8086"))


def test_a_server_is_made_ready_once(settings: InfluxSettings, admin: str) -> None:
    fresh = settings.model_copy(update={"prefix": settings.prefix + "-new"})
    first = init_influx(fresh, RetentionSettings(raw_days=7), admin)
    assert len(first.changes) == 8 + 2
    assert f"made bucket {fresh.prefix}-raw, kept 7 days" in first.changes
    again = init_influx(fresh, RetentionSettings(raw_days=7), admin)
    assert (again.changes, again.write, again.read) == ((), first.write, first.read)
    changed = init_influx(fresh, RetentionSettings(hours_days=730), admin)
    assert set(changed.changes) == {
        f"bucket {fresh.prefix}-raw is now kept for ever, no longer 7 days",
        f"bucket {fresh.prefix}-hours is now kept 730 days, no longer for ever",
    }


def test_tokens_that_no_longer_fit_are_replaced(settings: InfluxSettings, admin: str) -> None:
    store = InfluxStore(settings.model_copy(update={"token": SecretStr(admin)}))
    found = store._client.request("GET", "/api/v2/buckets", {"name": f"{settings.prefix}-raw"}, subject="a bucket")
    store._client.request("DELETE", f"/api/v2/buckets/{found['buckets'][0]['id']}", subject="a bucket")
    store.close()
    tokens = init_influx(settings, RetentionSettings(), admin)
    assert tokens.changes == (
        f"made bucket {settings.prefix}-raw, kept for ever",
        f"made token '{settings.prefix} write'",
        f"made token '{settings.prefix} read'",
    )


def test_the_read_token_reads_and_does_not_write(
    settings: InfluxSettings, stores: Callable[..., InfluxStore], admin: str
) -> None:
    tokens = init_influx(settings, RetentionSettings(), admin)
    stores(settings).write([many(5)])
    reader = stores(settings.model_copy(update={"token": SecretStr(tokens.read)}))
    assert reader.check().startswith("InfluxDB 2.")
    assert steps(reader) == list(range(5))
    assert reader.measurements() == ["training"]
    for call in (
        lambda: reader.write([many(5)]),
        lambda: reader.delete("training"),
        lambda: reader.put_state({"a": b""}),
    ):
        with pytest.raises(StoreRejected):
            call()


def test_a_server_cannot_be_made_ready_for_what_it_cannot_do(settings: InfluxSettings, admin: str) -> None:
    with pytest.raises(SettingsError, match=r"store\.retention\.raw_days"):
        init_influx(settings, RetentionSettings(raw_days=0.01), admin)
    with pytest.raises(StoreRejected, match="no organisation nobody"):
        init_influx(settings.model_copy(update={"org": "nobody"}), RetentionSettings(), admin)
    assert settings.token is not None
    with pytest.raises(StoreRejected):
        init_influx(
            settings.model_copy(update={"prefix": "other"}), RetentionSettings(), settings.token.get_secret_value()
        )


def test_an_answer_that_is_an_error_or_cut_is_rejected() -> None:
    with pytest.raises(StoreRejected, match="engine is closed"):
        series_of({"results": [{"error": "engine is closed"}]})
    with pytest.raises(StoreRejected, match="cut"):
        series_of({"results": [{"series": [{"partial": True}]}]})
