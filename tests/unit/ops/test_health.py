from __future__ import annotations

from typing import Any

import orjson
import pytest

from smartlearn.ops.health import unhealthy
from smartlearn.ops.http import Answer, get
from smartlearn.ops.live import Heartbeat, parse_heartbeat

WELL = {"broker": {"state": "ok"}, "store": {"state": "ok"}, "workers": {"worker-1": {"state": "running"}}}


def answer(status: int, components: Any) -> Answer:
    return Answer(status, {"status": "degraded", "components": components}, None)


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (Answer(200, {"status": "ok"}, None), None),
        (None, "the dashboard does not answer"),
        (Answer(500, None, None), "the dashboard answers with status 500"),
        (answer(503, []), "the dashboard answers with status 503"),
        (answer(503, WELL), "the dashboard says degraded"),
        (answer(503, {**WELL, "broker": {"state": "down", "reason": "gone"}}), "broker is down: gone"),
        (
            answer(503, {**WELL, "store": {"state": "down"}, "workers": {"worker-2": {"state": "silent"}}}),
            "store is down, worker-2 is silent",
        ),
    ],
)
def test_what_is_not_well_is_said_in_a_sentence(said: Answer | None, sentence: str | None) -> None:
    assert unhealthy(said) == sentence


def test_a_heartbeat_is_read_and_anything_else_is_none() -> None:
    message = {
        "v": 1,
        "kind": "live",
        "worker": "worker-1",
        "pid": 7,
        "sent": 1_700_000_000_000_000,
        "assigned": {"smartlearn.runs": [0, 1]},
        "counts": {"smartlearn.runs": {"in": 3, "stored": 3}},
        "lag": {"smartlearn.runs": 2},
        "performance": {},
    }
    assert parse_heartbeat(orjson.dumps(message)) == Heartbeat(
        worker="worker-1",
        pid=7,
        sent_us=1_700_000_000_000_000,
        assigned={"smartlearn.runs": [0, 1]},
        counts={"smartlearn.runs": {"in": 3, "stored": 3}},
        lag={"smartlearn.runs": 2},
    )
    for bad in (None, b"", b"[]", b"{}", b"\xff", b'"text"', b"3"):
        assert parse_heartbeat(bad) is None


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/health", "nonsense", "http://"])
def test_a_server_that_is_not_there_gives_no_answer(url: str) -> None:
    assert get(url, 0.5) is None
