"""Reading: fields, edges, filters, groups, limits and windows, each against the model."""

from __future__ import annotations

import random

import numpy as np
import pytest
from tests.contract.model import Answer, Model, plain

from smartlearn.core.errors import InvalidQuery
from smartlearn.core.stores.base import Aggregation, MetricStore, Points, SeriesQuery

pytestmark = pytest.mark.contract

S = 1_000_000_000
T = 1_700_000_000 * S
AGGREGATIONS: list[Aggregation] = ["mean", "min", "max", "count", "sum", "last"]


@pytest.fixture
def model(store: MetricStore) -> Model:
    """A store and a model with the same points: some series, gaps, texts, and parts of the fields missing."""
    generator = np.random.default_rng(11)
    model = Model()
    for number, (node, gpu, run) in enumerate(
        [("a", None, "r1"), ("a", "0", "r1"), ("b", "0", None), ("c d,e=f", "1", "r2"), ("ü", None, None)]
    ):
        rows = 120
        # No two series share a time, so that every last value is one value.
        times = T + np.sort(generator.choice(3600, rows, replace=False)).astype(np.int64) * S + number
        columns = {name: generator.normal(50, 20, rows) for name in ("cpu_usage", "memory_usage", "response_time")}
        for column in columns.values():
            column[generator.random(rows) < 0.4] = np.nan
        columns["cpu_usage"][generator.random(rows) < 0.2] = 0.0
        notes = np.array([f"note {row}" if row % 3 else None for row in range(rows)], dtype=np.object_)
        batch = Points("performance", times, {"node": node, "gpu": gpu, "run": run}, {**columns, "text": notes})
        model.write(batch)
        assert store.write([batch]) == []
    return model


def close_to(answer: Answer) -> list[tuple[dict[str, str], list[tuple[int, object]]]]:
    return [
        (tags, [(time, pytest.approx(fields, rel=1e-12, abs=1e-9)) for time, fields in rows]) for tags, rows in answer
    ]


def check(store: MetricStore, model: Model, query: SeriesQuery) -> Answer:
    expected = model.query(query)
    found = plain(store.query(query))
    if query.agg in {"mean", "sum"}:
        numbers = [(tags, [(time, numbers_of(fields)) for time, fields in rows]) for tags, rows in found]
        wanted = [(tags, [(time, numbers_of(fields)) for time, fields in rows]) for tags, rows in expected]
        assert numbers == close_to(wanted)
        texts = [[texts_of(fields) for _, fields in rows] for _, rows in found]
        assert texts == [[texts_of(fields) for _, fields in rows] for _, rows in expected]
    else:
        assert found == expected
    return expected


def numbers_of(fields: dict[str, float | str]) -> dict[str, float | str]:
    return {name: value for name, value in fields.items() if not isinstance(value, str)}


def texts_of(fields: dict[str, float | str]) -> dict[str, float | str]:
    return {name: value for name, value in fields.items() if isinstance(value, str)}


def test_everything_comes_back_by_series_and_time(store: MetricStore, model: Model) -> None:
    assert len(check(store, model, SeriesQuery("performance"))) == 5


@pytest.mark.parametrize("fields", [("cpu_usage",), ("text",), ("memory_usage", "text"), ("text", "cpu_usage", "run")])
def test_rows_without_a_wanted_field_are_left_out(store: MetricStore, model: Model, fields: tuple[str, ...]) -> None:
    check(store, model, SeriesQuery("performance", fields=fields))


def test_every_named_field_is_a_column_even_without_a_value(store: MetricStore, model: Model) -> None:
    for series in store.query(SeriesQuery("performance", fields=("cpu_usage", "nothing", "author"))):
        assert list(series.fields) == ["cpu_usage", "nothing", "author"]
        assert np.isnan(series.fields["nothing"].astype(np.float64)).all()
        assert series.fields["author"].tolist() == [None] * len(series)
    assert store.query(SeriesQuery("performance", fields=("nothing",))) == []


def test_unnamed_fields_without_a_value_are_no_columns(store: MetricStore) -> None:
    times = np.array([T, T + 1], dtype=np.int64)
    store.write([Points("health", times, {"node": ["a", "b"]}, {"score": [1.0, None], "status": [None, "ok"]})])
    assert [list(series.fields) for series in store.query(SeriesQuery("health"))] == [["score"], ["status"]]


def test_columns_have_the_types_of_the_contract(store: MetricStore, model: Model) -> None:
    for series in store.query(SeriesQuery("performance")):
        assert series.measurement == "performance"
        assert series.time.dtype == np.int64
        assert series.fields["cpu_usage"].dtype == np.float64
        assert series.fields["text"].dtype == np.object_


def test_start_is_inclusive_and_stop_exclusive(store: MetricStore, model: Model) -> None:
    times = [time for _, rows in model.query(SeriesQuery("performance", where={"node": "b"})) for time, _ in rows]
    start, stop = times[10], times[20]
    ((_, rows),) = check(store, model, SeriesQuery("performance", start, stop, where={"node": "b"}))
    assert (rows[0][0], rows[-1][0], len(rows)) == (start, times[19], 10)
    check(store, model, SeriesQuery("performance", start + 1, stop + 1))
    assert store.query(SeriesQuery("performance", start, start)) == []
    assert store.query(SeriesQuery("performance", stop, start)) == []
    assert store.query(SeriesQuery("performance", -(2**70), 2**70)) != []


@pytest.mark.parametrize(
    "where",
    [
        {"node": "a"}, {"node": ("a", "b")}, {"node": "c d,e=f"}, {"gpu": None}, {"gpu": None, "run": "r1"},
        {"node": "a", "gpu": ("0", "1")}, {"node": "nobody"}, {"nosuch": "x"}, {"nosuch": None}, {"node": ()},
        {"node": "' OR 1=1 --"}, {"node": 'a" OR "1"="1'},
    ],
)  # fmt: skip
def test_where_matches_tags(store: MetricStore, model: Model, where: dict[str, str | tuple[str, ...] | None]) -> None:
    check(store, model, SeriesQuery("performance", where=where))


@pytest.mark.parametrize("fields", [None, ("cpu_usage",), ("text",)])
@pytest.mark.parametrize(
    "between", [{"cpu_usage": (0.0, 50.0)}, {"memory_usage": (30, 60), "response_time": (0, 1e9)}, {"nosuch": (0, 1)}]
)
def test_between_keeps_rows_by_value(
    store: MetricStore, model: Model, fields: tuple[str, ...] | None, between: dict[str, tuple[float, float]]
) -> None:
    check(store, model, SeriesQuery("performance", fields=fields, between=between))


def test_between_includes_its_low_and_excludes_its_high(store: MetricStore) -> None:
    times = np.arange(T, T + 4, dtype=np.int64)
    store.write([Points("training", times, {"run": "r"}, {"step": [1.0, 2.0, 3.0, 4.0]})])
    (series,) = store.query(SeriesQuery("training", between={"step": (2.0, 4.0)}))
    assert series.fields["step"].tolist() == [2.0, 3.0]


def test_between_reaches_fields_far_apart(store: MetricStore) -> None:
    times = np.arange(T, T + 10, dtype=np.int64)
    columns = {f"f{number}": np.arange(10.0) + number for number in range(100)}
    batch = Points("training", times, {"run": "r"}, columns)
    model = Model()
    model.write(batch)
    store.write([batch])
    check(store, model, SeriesQuery("training", fields=("f0",), between={"f99": (101, 104), "f50": (0, 53)}))
    check(store, model, SeriesQuery("training", between={"f99": (101, 104)}, every=3, agg="max"))


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("limit", [1, 7, 1000])
@pytest.mark.parametrize("group_by", [None, ("node",), ()])
def test_limit_counts_rows_of_each_series(
    store: MetricStore, model: Model, limit: int, newest_first: bool, group_by: tuple[str, ...] | None
) -> None:
    for fields in (None, ("cpu_usage",), ("response_time", "text")):
        query = SeriesQuery(
            "performance", fields=fields, limit=limit, newest_first=newest_first, group_by=group_by, stop=T + 3000 * S
        )
        check(store, model, query)


def test_limit_counts_windows(store: MetricStore, model: Model) -> None:
    for newest_first in (False, True):
        query = SeriesQuery("performance", every=600 * S, agg="max", limit=2, newest_first=newest_first)
        assert [len(rows) for _, rows in check(store, model, query)] == [2] * 5


@pytest.mark.parametrize("group_by", [("node",), ("gpu",), ("gpu", "node"), (), ("nosuch",)])
def test_group_by_merges_series(store: MetricStore, model: Model, group_by: tuple[str, ...]) -> None:
    check(store, model, SeriesQuery("performance", group_by=group_by))
    check(store, model, SeriesQuery("performance", group_by=group_by, fields=("memory_usage",), newest_first=True))


def test_merged_rows_of_equal_time_stay_apart(store: MetricStore) -> None:
    times = np.array([T, T], dtype=np.int64)
    store.write([Points("performance", times, {"node": ["a", "b"]}, {"cpu_usage": [1.0, 2.0]})])
    (series,) = store.query(SeriesQuery("performance", group_by=()))
    assert (series.time.tolist(), sorted(series.fields["cpu_usage"].tolist())) == ([T, T], [1.0, 2.0])


@pytest.mark.parametrize("group_by", [None, ("node",), (), ("run",)])
@pytest.mark.parametrize("agg", AGGREGATIONS)
def test_windows_aggregate_each_field(
    store: MetricStore, model: Model, agg: Aggregation, group_by: tuple[str, ...] | None
) -> None:
    for every in (1 * S, 60 * S, 7 * 60 * S, 86_400 * S):
        check(store, model, SeriesQuery("performance", every=every, agg=agg, group_by=group_by))


@pytest.mark.parametrize("agg", AGGREGATIONS)
def test_a_window_holds_only_what_the_range_holds(store: MetricStore, model: Model, agg: Aggregation) -> None:
    query = SeriesQuery(
        "performance", T + 100 * S + 1, T + 1000 * S, fields=("cpu_usage", "text"), every=300 * S, agg=agg,
        where={"node": ("a", "b")}, between={"memory_usage": (20, 80)}, group_by=("gpu",), newest_first=True,
    )  # fmt: skip
    check(store, model, query)


def test_windows_start_on_the_epochs_grid_before_1970_too(store: MetricStore) -> None:
    times = np.array([-25, -20, -11, -10, -1, 0, 9, 10], dtype=np.int64) * S
    batch = Points("training", times, {"run": "r"}, {"step": np.arange(8.0)})
    model = Model()
    model.write(batch)
    store.write([batch])
    ((_, rows),) = check(store, model, SeriesQuery("training", every=10 * S, agg="count"))
    assert [time // S for time, _ in rows] == [-30, -20, -10, 0, 10]


def test_the_counts_of_a_text_are_floats(store: MetricStore, model: Model) -> None:
    query = SeriesQuery("performance", fields=("text", "author"), every=600 * S, agg="count", group_by=())
    (series,) = store.query(query)
    assert series.fields["text"].dtype == np.float64
    assert series.fields["text"].sum() == 5 * 80
    assert np.isnan(series.fields["author"].astype(np.float64)).all()


def test_series_come_sorted_by_their_tags(store: MetricStore) -> None:
    tags = [("b", "1"), ("a", "2"), ("a", ""), ("", "9"), ("b", "0"), ("a b", "1"), ("B", "1")]
    times = np.full(len(tags), T, dtype=np.int64)
    columns = {"node": [node for node, _ in tags], "gpu": [gpu for _, gpu in tags]}
    store.write([Points("performance", times, columns, {"cpu_usage": 1.0})])
    found = [dict(series.tags) for series in store.query(SeriesQuery("performance"))]
    assert found == sorted(found, key=lambda each: sorted(each.items()))
    assert len(found) == len(tags)


def test_what_is_not_there_is_empty(store: MetricStore) -> None:
    assert store.query(SeriesQuery("performance")) == []
    assert store.query(SeriesQuery("performance", every=S, agg="mean", group_by=())) == []
    assert store.latest("performance") == []
    assert store.fields("performance") == []
    assert store.tag_values("performance", "node") == []
    assert store.measurements() == []


@pytest.mark.parametrize(
    "query",
    [
        SeriesQuery("no such"),
        SeriesQuery("performance", fields=("a b",)),
        SeriesQuery("performance", where={'x"': "y"}),
        SeriesQuery("performance", group_by=("x;",)),
        SeriesQuery("performance", between={"A": (0, 1)}),
        SeriesQuery("performance", between={"text": (0, 1)}),
        SeriesQuery("performance", every=S),
        SeriesQuery("performance", agg="mean"),
        SeriesQuery("performance", every=0, agg="mean"),
        SeriesQuery("performance", limit=0),
    ],
)
def test_a_query_that_cannot_be_says_so(store: MetricStore, query: SeriesQuery) -> None:
    with pytest.raises(InvalidQuery):
        store.query(query)


def test_names_are_checked_wherever_they_come_in(store: MetricStore) -> None:
    for call in (
        lambda: store.latest("a b"),
        lambda: store.delete("a b"),
        lambda: store.delete("a", {"b c": "d"}),
        lambda: store.fields('a"'),
        lambda: store.tag_values("a", "b c"),
    ):
        with pytest.raises(InvalidQuery):
            call()


def test_latest_is_the_newest_row_of_each_series(store: MetricStore, model: Model) -> None:
    for fields, where in ((None, {}), (("cpu_usage",), {}), (("text", "memory_usage"), {"node": "a"})):
        query = SeriesQuery("performance", fields=fields, where=where, limit=1, newest_first=True)
        assert plain(store.latest("performance", fields, where)) == model.query(query)


def test_names_are_listed(store: MetricStore, model: Model) -> None:
    store.write([Points("alerts", np.array([T]), {"rule": "cpu_usage"}, {"value": 1.0})])
    assert store.measurements() == ["alerts", "performance"]
    assert store.fields("performance") == ["cpu_usage", "memory_usage", "response_time", "text"]
    assert store.tag_values("performance", "node") == ["a", "b", "c d,e=f", "ü"]
    assert store.tag_values("performance", "gpu") == ["0", "1"]
    assert store.tag_values("performance", "nosuch") == []


def test_any_query_gives_what_the_model_gives(store: MetricStore, model: Model) -> None:
    generator = random.Random(5)
    for _ in range(150):
        start, stop = sorted(T + generator.randrange(4000) * S for _ in range(2))
        windowed = generator.random() < 0.5
        query = SeriesQuery(
            "performance",
            start=generator.choice([None, start]),
            stop=generator.choice([None, stop]),
            fields=generator.choice([None, ("cpu_usage",), ("text", "response_time"), ("memory_usage", "cpu_usage")]),
            where=generator.choice([{}, {"node": "a"}, {"gpu": ("0", "1")}, {"run": None}]),
            between=generator.choice([{}, {}, {"cpu_usage": (0.0, 40.0)}, {"memory_usage": (10.0, 90.0)}]),
            every=generator.choice([7, 60, 900]) * S if windowed else None,
            agg=generator.choice(AGGREGATIONS) if windowed else None,
            group_by=generator.choice([None, None, ("node",), ("gpu", "run"), ()]),
            limit=generator.choice([None, None, 1, 5]),
            newest_first=generator.random() < 0.5,
        )
        check(store, model, query)
