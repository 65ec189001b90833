"""The application as it is served: pages, policy, addresses that are none, health, callbacks."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.dashboard import histories
from tests.unit.dashboard.serving import Serving, serving

from smartlearn.core.errors import StackError, StoreUnavailable
from smartlearn.core.settings import Settings
from smartlearn.core.stores.base import Series, SeriesQuery
from smartlearn.dashboard.app import create_app, listen
from smartlearn.dashboard.pages import NAVIGATION
from smartlearn.dashboard.sources.memory import MemoryHistory

PATHS = ["/", *(path for path, _, _ in NAVIGATION)]


class Memory:
    """A history that answers, or is away."""

    def __init__(self, history: MemoryHistory, *, away: bool = False) -> None:
        self.history = history
        self.away = away

    def _there(self) -> MemoryHistory:
        if self.away:
            raise StoreUnavailable("InfluxDB does not answer at http://influx:8086: check that it runs")
        return self.history

    def query(self, query: SeriesQuery) -> list[Series]:
        return self._there().query(query)

    def latest(self, *arguments: Any) -> list[Series]:
        return self._there().latest(*arguments)

    def tag_values(self, measurement: str, tag: str) -> list[str]:
        return self._there().tag_values(measurement, tag)

    def fields(self, measurement: str) -> list[str]:
        return self._there().fields(measurement)

    def retention(self, measurement: str) -> int | None:
        return self._there().retention(measurement)

    def check(self) -> str:
        self._there()
        return "memory"


def app_over(memory: Memory, folder: Path) -> Any:
    samples = histories.after(600)
    return create_app(Settings(data_dir=folder), memory, clock=lambda: samples).server


def samples() -> MemoryHistory:
    rows = [
        {"timestamp": histories.at(5 * number), "cpu_usage": 20.0 + number % 7, "memory_usage": 40.0}
        for number in range(120)
    ]
    return histories.history(performance=rows)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(app_over(Memory(samples()), tmp_path_factory.mktemp("app"))) as running:
        yield running


def call(server: Serving, output: str, values: dict[str, Any], page: str = "/system") -> Any:
    """What a panel's callback answers."""
    listed = server.get("/_dash-dependencies").json()
    found = next(one for one in listed if output in one["output"] and "@" not in one["output"])
    given = {"view": values, "beat": None, "dark": False, "page": {"path": page}}

    def value(one: dict[str, Any]) -> dict[str, Any]:
        id_ = json.loads(one["id"]) if one["id"].startswith("{") else one["id"]
        name = id_["type"] if isinstance(id_, dict) else id_
        return {"id": id_, "property": one["property"], "value": given[name]}

    parts = re.findall(r"\.\.\.?(\{.*?\}\.\w+)", found["output"]) or [found["output"]]
    outputs = [{"id": json.loads(part.rpartition(".")[0]), "property": part.rpartition(".")[2]} for part in parts]
    body = {
        "output": found["output"],
        "outputs": outputs if found["output"].startswith("..") else outputs[0],
        "inputs": [value(one) for one in found["inputs"]],
        "state": [value(one) for one in found["state"]],
        "changedPropIds": [],
    }
    answer = server.ask("POST", "/_dash-update-component", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()["response"]


@pytest.mark.parametrize("path", PATHS)
def test_every_page_is_served(server: Serving, path: str) -> None:
    answer = server.get(path)
    assert answer.status_code == 200
    assert "react-entry-point" in answer.text
    assert server.ask("HEAD", path).status_code == 200


@pytest.mark.parametrize("path", PATHS)
def test_no_page_names_another_address(server: Serving, path: str) -> None:
    text = server.get(path).text
    assert not re.findall(r"(?:src|href)=[\"'](?:https?:)?//", text)


def test_every_script_of_a_page_is_its_own_or_allowed_by_its_hash(server: Serving) -> None:
    answer = server.get("/realtime")
    policy = answer.headers["content-security-policy"]
    assert "unsafe-eval" not in policy
    assert "script-src 'self' 'sha256-" in policy
    tags = re.findall(r"<script([^>]*)>(.*?)</script>", answer.text, re.DOTALL)
    scripts = [text for given, text in tags if "src=" not in given and "json" not in given]
    assert scripts
    for text in scripts:
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy


def test_a_cold_server_knows_all_pages_at_its_first_request(tmp_path: Path) -> None:
    with serving(app_over(Memory(samples()), tmp_path)) as cold:
        listed = cold.get("/_dash-dependencies").json()
    outputs = {one["output"] for one in listed}
    assert any("_pages_content" in output for output in outputs)
    assert any("_pages_dummy" in output for output in outputs)


@pytest.mark.parametrize("path", ["/none", "/api/none", "/docs", "/redoc", "/openapi.json", "/system/x", "/%3Cb%3E"])
def test_an_address_that_is_none_is_a_plain_404(server: Serving, path: str) -> None:
    answer = server.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert "There is no page" in answer.text
    assert "/system" in answer.text


def test_there_is_no_socket_that_nothing_uses(server: Serving) -> None:
    config = re.search(r'id="_dash-config"[^>]*>(.*?)</script>', server.get("/").text)
    assert config is not None
    assert "websocket" not in config[1] or not json.loads(config[1]).get("websocket", {}).get("enabled")


def test_health_says_that_no_broker_is_set(server: Serving) -> None:
    answer = server.get("/health")
    assert answer.status_code == 503
    state = answer.json()
    assert state["status"] == "degraded"
    assert "no Kafka broker is set" in state["components"]["broker"]["reason"]
    assert state["components"]["store"]["state"] == "ok"


def test_the_workers_script_is_served_and_not_part_of_any_page(server: Serving) -> None:
    assert "WebSocket" in server.get("/assets/worker/live.js").text
    assert "worker/live.js" not in server.get("/realtime").text


def test_a_chart_is_drawn(server: Serving) -> None:
    response = call(server, '"system-cpu"', {"range": "1h"})
    figure = response['{"id":"system-cpu","type":"chart"}']["figure"]
    assert figure["data"]
    assert response['{"id":"system-cpu","type":"note"}']["children"] is None


def test_a_table_has_its_rows(server: Serving) -> None:
    response = call(server, '"system-health"', {"range": "1h"})
    assert [row["node"] for row in response['{"id":"system-health","type":"body"}']["rowData"]] == ["node-1"]


def test_figures_of_the_first_row(server: Serving) -> None:
    response = call(server, '{"page":"/system","type":"stats"}', {"range": "1h"})
    children = response['{"page":"/system","type":"stats"}']["children"]
    assert len(children) == 5


def test_a_store_that_is_away_is_said_in_each_panel_and_the_page_opens(tmp_path: Path) -> None:
    with serving(app_over(Memory(samples(), away=True), tmp_path)) as server:
        response = call(server, '"system-cpu"', {})
        assert "InfluxDB does not answer" in json.dumps(response['{"id":"system-cpu","type":"note"}'])
        assert server.get("/health").json()["components"]["store"]["state"] == "down"
        assert server.get("/live/recent").status_code == 503
        assert "InfluxDB does not answer" in json.dumps(call(server, '{"page":"/system","type":"notice"}', {}))


def test_what_a_page_missed_is_served(server: Serving) -> None:
    rows = server.get("/live/recent").json()
    assert rows["node"]
    assert len(rows["cpu_usage"]) == len(rows["timestamp"]) == len(rows["node"])
    assert server.get("/live/recent?node=ghost").json()["node"] == []


def test_a_taken_port_is_said_in_one_sentence() -> None:
    with listen("127.0.0.1", 0) as taken:
        taken.listen()
        with pytest.raises(StackError, match=r"cannot listen on 127\.0\.0\.1:\d+: Address already in use"):
            listen("127.0.0.1", taken.getsockname()[1])
