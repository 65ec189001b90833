"""Writing: exact values and times, merged rewrites, what is refused, and names and tags of every kind."""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Callable

import numpy as np
import pytest
from tests.contract.model import Model, plain

from smartlearn.core.stores.base import MetricStore, Points, Refused, SeriesQuery

pytestmark = pytest.mark.contract

T = 1_700_000_000_000_000_000


def points(measurement: str, times: list[int], tags: dict[str, object], **fields: object) -> Points:
    return Points(measurement, np.array(times, dtype=np.int64), tags, fields)  # type: ignore[arg-type]


def test_what_was_written_is_read_back(store: MetricStore) -> None:
    assert store.write([points("performance", [T, T + 5], {"node": "a", "source": "s"}, cpu_usage=[1.5, 2.5])]) == []
    assert plain(store.query(SeriesQuery("performance"))) == [
        ({"node": "a", "source": "s"}, [(T, {"cpu_usage": 1.5}), (T + 5, {"cpu_usage": 2.5})])
    ]


def test_any_float_comes_back_bit_for_bit(store: MetricStore) -> None:
    generator = random.Random(1)
    values = [0.1, 1 / 3, 1e-300, 5e-324, 1.7976931348623157e308, 2.0**53, -(2.0**53) + 1, 1e22, 123456789.123456789]
    while len(values) < 1000:
        (value,) = struct.unpack("<d", generator.randbytes(8))
        if math.isfinite(value):
            values.append(value)
    store.write([points("training", [T + row for row in range(len(values))], {"run": "r"}, training_loss=values)])
    (series,) = store.query(SeriesQuery("training"))
    assert series.fields["training_loss"].tolist() == values


def test_integers_up_to_2_53_are_exact(store: MetricStore) -> None:
    values = [0, 1, -1, 2**53, 2**53 - 1, -(2**53)]
    column = np.array(values, dtype=np.int64)
    store.write([points("training", [T + row for row in range(len(values))], {"run": "r"}, step=column)])
    (series,) = store.query(SeriesQuery("training"))
    assert [int(value) for value in series.fields["step"]] == values


@pytest.mark.parametrize(
    "text", ["", "plain", 'a "quoted" \\ text\\', "two\nlines, with = and ,", "ünï çødé 🎓", "x" * 60_000]
)
def test_any_text_comes_back(store: MetricStore, text: str) -> None:
    store.write([points("runs", [T], {"run": "r", "node": "n"}, payload=text)])
    assert plain(store.query(SeriesQuery("runs"))) == [({"run": "r", "node": "n"}, [(T, {"payload": text})])]


@pytest.mark.parametrize(
    "value",
    [
        "a b", "a,b", "a=b", 'a"b', "a'b", "a\\b", "\\a", "a\\ b", "a\\,b\\=c", "ünï", "数学", "🎓 école", " spaced ",
        "'; DROP TABLE _series; --", "$p0", "%s", "{}", "a/b", "#", "x" * 1000,
    ],
)  # fmt: skip
def test_a_tag_holds_any_visible_text(store: MetricStore, value: str) -> None:
    other = "other"
    store.write([points("interactions", [T, T], {"subject": [value, other], "source": "s"}, accuracy=[0.5, 0.25])])
    assert store.tag_values("interactions", "subject") == sorted([value, other])
    found = plain(store.query(SeriesQuery("interactions", where={"subject": value})))
    assert found == [({"subject": value, "source": "s"}, [(T, {"accuracy": 0.5})])]
    store.delete("interactions", {"subject": value})
    assert store.tag_values("interactions", "subject") == [other]


@pytest.mark.parametrize("value", ["two\nlines", "nul\0", "tab\t", "ends in \\", "x" * 5000, "\ud800"])
def test_a_tag_that_no_store_can_hold_is_refused(store: MetricStore, value: str) -> None:
    (refused,) = store.write([points("interactions", [T, T + 1], {"subject": [value, "ok"]}, accuracy=1.0)])
    assert (refused.tags, refused.time) == ({"subject": value}, T)
    assert "subject" in refused.reason
    assert plain(store.query(SeriesQuery("interactions"))) == [({"subject": "ok"}, [(T + 1, {"accuracy": 1.0})])]


HOSTILE = ['x"; DROP TABLE _series; --', "x y", "", "X", "1x", "_time", "x\n", "x-y", "é", "x" * 200, "$p", "*", "time"]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_refused_and_harms_nothing(store: MetricStore, name: str) -> None:
    good = points("performance", [T], {"node": "a"}, cpu_usage=1.0)
    bad = [
        Points(name, np.array([T]), {"node": "a"}, {"cpu_usage": 1.0}),
        Points("performance", np.array([T]), {name: "a"}, {"cpu_usage": 2.0}),
        Points("performance", np.array([T]), {"node": "a"}, {name: 1.0, "cpu_usage": 2.0}),
    ]
    refused = store.write([good, *bad, good])
    assert [(refusal.measurement, refusal.time) for refusal in refused] == [
        (name, T), ("performance", T), ("performance", T),
    ]  # fmt: skip
    assert all("name" in refusal.reason for refusal in refused)
    assert plain(store.query(SeriesQuery("performance"))) == [({"node": "a"}, [(T, {"cpu_usage": 1.0})])]


def test_a_name_that_is_a_keyword_is_a_name_like_any_other(store: MetricStore) -> None:
    names = ["select", "group", "order", "timestamp", "value", "index", "where", "key"]
    tags: dict[str, object] = {"from": "a", "limit": "b"}
    store.write([points("table", [T], tags, **{name: float(row) for row, name in enumerate(names)})])
    query = SeriesQuery("table", fields=tuple(names), where={"from": "a"}, between={"select": (0, 1)})
    assert plain(store.query(query)) == [
        ({"from": "a", "limit": "b"}, [(T, {name: float(row) for row, name in enumerate(names)})])
    ]


def test_writing_a_point_again_merges_its_fields(store: MetricStore) -> None:
    tags: dict[str, object] = {"node": "a"}
    store.write([points("performance", [T, T + 1], tags, cpu_usage=1.0, memory_usage=2.0)])
    store.write([points("performance", [T], tags, cpu_usage=5.0, response_time=7.0)])
    store.write([points("performance", [T], tags, cpu_usage=[float("nan")], memory_usage=3.0)])
    assert plain(store.query(SeriesQuery("performance"))) == [
        (
            {"node": "a"},
            [
                (T, {"cpu_usage": 5.0, "memory_usage": 3.0, "response_time": 7.0}),
                (T + 1, {"cpu_usage": 1.0, "memory_usage": 2.0}),
            ],
        )
    ]


def test_the_last_of_equal_points_in_one_write_stands(store: MetricStore) -> None:
    store.write(
        [points("performance", [T, T, T], {"node": "a"}, cpu_usage=[1.0, 2.0, 3.0], memory_usage=[1.0, 2.0, None])]
    )
    assert plain(store.query(SeriesQuery("performance"))) == [
        ({"node": "a"}, [(T, {"cpu_usage": 3.0, "memory_usage": 2.0})])
    ]


def test_points_one_nanosecond_apart_are_two(store: MetricStore) -> None:
    store.write([points("performance", [T, T + 1], {"node": "a"}, cpu_usage=[1.0, 2.0])])
    found = plain(store.query(SeriesQuery("performance", start=T + 1, stop=T + 2)))
    assert found == [({"node": "a"}, [(T + 1, {"cpu_usage": 2.0})])]


def test_times_before_1970_and_at_the_ends_are_kept(store: MetricStore) -> None:
    times = [-(2**63) + 2, -1_000_000_000, -1, 0, 1, 2**63 - 2]
    store.write([points("training", times, {"run": "r"}, step=1.0)])
    (series,) = store.query(SeriesQuery("training"))
    assert series.time.tolist() == times
    (last,) = store.query(SeriesQuery("training", start=2**63 - 2))
    assert last.time.tolist() == [2**63 - 2]


def test_a_time_beyond_the_ends_is_refused(store: MetricStore) -> None:
    refused = store.write([points("training", [-(2**63), 2**63 - 1, 5], {"run": "r"}, step=1.0)])
    assert [refusal.time for refusal in refused] == [-(2**63), 2**63 - 1]


def test_absent_fields_and_tags_are_absent(store: MetricStore) -> None:
    tags: dict[str, object] = {"node": ["a", "a", "a", "b"], "gpu": ["", None, "0", None], "run": None}
    fields = {"cpu_usage": [1.0, float("nan"), 3.0, None], "cpu_usage_nonfinite": [None, "NaN", None, None]}
    store.write([points("performance", [T, T + 1, T + 2, T + 3], tags, **fields)])
    assert plain(store.query(SeriesQuery("performance"))) == [
        ({"gpu": "0", "node": "a"}, [(T + 2, {"cpu_usage": 3.0})]),
        ({"node": "a"}, [(T, {"cpu_usage": 1.0}), (T + 1, {"cpu_usage_nonfinite": "NaN"})]),
    ]


def test_a_value_of_the_other_type_is_refused_with_its_point(store: MetricStore) -> None:
    refused = store.write(
        [
            points(
                "interactions", [T, T + 1, T + 2], {"subject": "m"}, accuracy=[0.5, "0.5", 1.0], learner=["p", "q", 3.0]
            ),
            points("interactions", [T + 3], {"subject": "m"}, accuracy=0.75),
        ]
    )
    assert [(refusal.tags, refusal.time) for refusal in refused] == [
        ({"subject": "m"}, T + 1),
        ({"subject": "m"}, T + 2),
    ]
    assert "accuracy" in refused[0].reason
    assert "learner" in refused[1].reason
    assert plain(store.query(SeriesQuery("interactions"))) == [
        ({"subject": "m"}, [(T, {"accuracy": 0.5, "learner": "p"}), (T + 3, {"accuracy": 0.75})])
    ]


@pytest.mark.parametrize("value", [math.inf, -math.inf])
def test_an_infinity_is_refused(store: MetricStore, value: float) -> None:
    refused = store.write([points("training", [T, T + 1], {"run": "r"}, training_loss=np.array([value, 1.0]))])
    assert [refusal.time for refusal in refused] == [T]
    assert "training_loss_nonfinite" in refused[0].reason


def test_constants_arrays_and_lists_are_the_same_column(store: MetricStore) -> None:
    times = np.array([T, T + 1], dtype=np.int64)
    same = [
        Points("health", times, {"node": "a"}, {"score": 1.0, "status": "ok"}),
        Points("health", times, {"node": ["b", "b"]}, {"score": [1, 1.0], "status": ["ok", "ok"]}),
        Points("health", times, {"node": "c"}, {"score": np.ones(2, np.float32), "status": np.array(["ok"] * 2)}),
        Points("health", times, {"node": "d"}, {"score": np.array([1, 1]), "status": np.array(["ok", "ok"], object)}),
    ]
    assert store.write(same) == []
    rows = [(T, {"score": 1.0, "status": "ok"}), (T + 1, {"score": 1.0, "status": "ok"})]
    assert plain(store.query(SeriesQuery("health"))) == [({"node": node}, rows) for node in "abcd"]


def test_nothing_to_write_is_no_error(store: MetricStore) -> None:
    empty = points("performance", [], {"node": []}, cpu_usage=np.zeros(0))
    assert store.write([]) == []
    assert store.write([empty, points("performance", [T], {"node": "a"}, cpu_usage=None)]) == []
    assert store.measurements() == []


def test_a_measurement_without_tags_is_one_series(store: MetricStore) -> None:
    store.write([points("health", [T], {}, score=1.0)])
    assert plain(store.query(SeriesQuery("health"))) == [({}, [(T, {"score": 1.0})])]


def test_more_fields_than_a_table_has_columns_are_kept(store: MetricStore) -> None:
    fields: dict[str, object] = {f"metric_{number}_mean": float(number) for number in range(2500)}
    fields |= {f"metric_{number}_sketch": f"sketch {number}" for number in range(100)}
    store.write([points("performance_10s", [T, T + 1], {"node": "a"}, **fields)])
    ((_, rows),) = plain(store.query(SeriesQuery("performance_10s")))
    assert rows == [(T, fields), (T + 1, fields)]
    assert store.fields("performance_10s") == sorted(fields)


def test_twenty_thousand_points_in_one_write(store: MetricStore) -> None:
    rows = 20_000
    generator = np.random.default_rng(3)
    nodes = [f"node-{number}" for number in generator.integers(0, 50, rows)]
    columns = {f"f{number}": generator.normal(size=rows) for number in range(8)}
    columns["f7"][generator.random(rows) < 0.3] = np.nan
    batch = Points("performance", T + np.arange(rows, dtype=np.int64), {"node": nodes}, columns)
    assert store.write([batch]) == []
    model = Model()
    model.write(batch)
    assert plain(store.query(SeriesQuery("performance"))) == model.query(SeriesQuery("performance"))


def test_writing_twice_changes_nothing(store: MetricStore) -> None:
    rows = 3000
    batch = Points(
        "performance",
        T + np.arange(rows, dtype=np.int64) * 1000,
        {"node": [f"n{row % 7}" for row in range(rows)]},
        {"cpu_usage": np.random.default_rng(4).random(rows)},
    )
    store.write([batch])
    first = plain(store.query(SeriesQuery("performance")))
    store.write([batch])
    assert plain(store.query(SeriesQuery("performance"))) == first


def test_another_instance_sees_what_is_written(opened: Callable[..., MetricStore]) -> None:
    one, two = opened(), opened()
    assert two.query(SeriesQuery("performance")) == []
    one.write([points("performance", [T], {"node": "a"}, cpu_usage=1.0)])
    two.write([points("performance", [T], {"node": "a"}, extra=2.0)])
    one.write([points("performance", [T], {"node": "b"}, third=3.0)])
    expected = [({"node": "a"}, [(T, {"cpu_usage": 1.0, "extra": 2.0})]), ({"node": "b"}, [(T, {"third": 3.0})])]
    assert plain(one.query(SeriesQuery("performance"))) == expected
    assert plain(two.query(SeriesQuery("performance"))) == expected


def test_a_refusal_says_which_point(store: MetricStore) -> None:
    (refused,) = store.write([points("training", [T], {"run": "r", "node": "n"}, step="one")])
    assert refused == Refused("training", {"run": "r", "node": "n"}, T, refused.reason)


def test_a_column_of_another_length_is_the_callers_mistake(store: MetricStore) -> None:
    with pytest.raises(ValueError, match="step"):
        store.write([points("training", [T, T + 1], {"run": "r"}, step=np.zeros(3))])
    with pytest.raises(ValueError, match="run"):
        store.write([points("training", [T, T + 1], {"run": ["r"]}, step=1.0)])
