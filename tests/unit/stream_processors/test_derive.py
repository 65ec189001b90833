"""Two ways to the same rows, and both against a loop over panes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.comparison import close
from tests.reference import PANE, ROLLING, TIERS, aggregate

from smartlearn.core.aggregates import Summary, merge, summarize
from smartlearn.stream_processors.domain.derive import OwnerPanes, Row, rows_of
from smartlearn.stream_processors.domain.panes import PaneValue, SeriesKey
from smartlearn.stream_processors.domain.rolling import RollingWindow
from smartlearn.stream_processors.domain.windows import PaneGrid

GRID = PaneGrid(PANE)
SERIES: tuple[SeriesKey, ...] = ((("node", "a"),), (("gpu", "0"), ("node", "a")))
BASE = 1_790_000_000_000_000 // 3_600_000_000 * 3_600_000_000

# Pane → series → metric → values: mostly close together, sometimes an hour apart.
pane_numbers = st.one_of(st.integers(0, 30), st.integers(340, 400), st.integers(3600, 3620))
metrics = st.dictionaries(
    st.sampled_from(["cpu_usage", "response_time"]),
    st.lists(st.integers(-5, 90).map(float), min_size=1, max_size=3),
    min_size=1,
)
Values = dict[int, dict[int, dict[str, list[float]]]]
contents = st.dictionaries(
    pane_numbers, st.dictionaries(st.integers(0, 1), metrics, min_size=1), min_size=1, max_size=14
)


def summary(values: Mapping[str, list[float]]) -> Summary:
    """The summary of these values, through the vectorised way in."""
    most = max(len(listed) for listed in values.values())
    columns = {name: np.array(listed + [np.nan] * (most - len(listed))) for name, listed in values.items()}
    return summarize(np.zeros(most, np.int64), 1, columns)[0]


def panes_of(values: Values) -> dict[int, PaneValue]:
    return {
        BASE + number * PANE: {SERIES[index]: summary(of_series) for index, of_series in pane.items()}
        for number, pane in sorted(values.items())
    }


Key = tuple[str, bool, SeriesKey, int]


def by_key(rows: Iterable[Row]) -> dict[Key, Summary]:
    found: dict[Key, Summary] = {}
    for row in rows:
        key = (row.window, row.rolling, row.series, row.time)
        assert key not in found, "a row is written once"
        found[key] = merge(row.parts)
    return found


def offline(values: Values) -> dict[Key, dict[str, list[float]]]:
    """Every row that the panes make → metric → its values."""
    rows: dict[Key, dict[str, list[float]]] = {}

    def put(key: Key, of_series: dict[str, list[float]]) -> None:
        for name, listed in of_series.items():
            rows.setdefault(key, {}).setdefault(name, []).extend(listed)

    for number, pane in values.items():
        start = BASE + number * PANE
        for index, of_series in pane.items():
            put(("10s", False, SERIES[index], start), of_series)
            for name, length in TIERS.items():
                put((name, False, SERIES[index], start // length * length), of_series)
            for later, other in values.items():
                end = BASE + later * PANE + PANE
                for name, length in ROLLING.items():
                    if index in other and end - length <= start < end:
                        put((name, True, SERIES[index], end), of_series)
    return rows


def assert_equal(found: Mapping[Key, Summary], expected: Mapping[Key, dict[str, list[float]]]) -> None:
    assert found.keys() == expected.keys()
    for key, columns in expected.items():
        assert set(found[key]) == set(columns)
        for name, listed in columns.items():
            have, want = found[key][name], aggregate(listed)
            assert (have.count, have.min, have.max) == (want["count"], want["min"], want["max"])
            assert have.total == pytest.approx(want["sum"], rel=1e-12, abs=1e-9)
            assert have.sumsq == pytest.approx(want["sumsq"], rel=1e-12, abs=1e-9)
            for percent in (50, 95, 99):
                assert close(f"x_p{percent}", have.quantile(percent / 100), want[f"p{percent}"])


@given(contents)
@settings(max_examples=25)
def test_all_rows_of_a_context_are_those_of_a_loop(values: Values) -> None:
    context = panes_of(values)
    assert_equal(by_key(rows_of(GRID, context, context)), offline(values))


@given(contents, st.data())
@settings(max_examples=25)
def test_rows_of_some_changed_panes_are_all_the_rows_that_hold_one_of_them(values: Values, data: st.DataObject) -> None:
    changed = data.draw(st.sets(st.sampled_from(sorted(values)), min_size=1))
    low, high = GRID.context([BASE + number * PANE for number in changed])
    context = {start: pane for start, pane in panes_of(values).items() if low <= start < high}
    found = by_key(rows_of(GRID, context, [BASE + number * PANE for number in changed]))
    everything = by_key(rows_of(GRID, panes_of(values), panes_of(values)))
    without = {number: pane for number, pane in values.items() if number not in changed}
    untouched = offline(without)
    expected = {key: columns for key, columns in offline(values).items() if untouched.get(key) != columns}
    assert_equal({key: found[key] for key in expected}, expected)
    for key, merged in found.items():
        assert_same(merged, everything[key])


def assert_same(one: Summary, other: Summary) -> None:
    """Equal up to the order of sums."""
    assert one.names == other.names
    np.testing.assert_allclose(one.stats, other.stats, rtol=1e-12, atol=1e-9)
    assert one.cells.tolist() == other.cells.tolist()
    assert one.counts.tolist() == other.counts.tolist()


@given(contents)
@settings(max_examples=25)
def test_appending_pane_by_pane_gives_the_same_rows(values: Values) -> None:
    owner = OwnerPanes()
    written: dict[Key, Summary] = {}
    for start, pane in panes_of(values).items():
        written.update(by_key(owner.append(GRID, start, pane)))
    context = panes_of(values)
    expected = by_key(rows_of(GRID, context, context))
    assert written.keys() == expected.keys()
    for key, merged in expected.items():
        assert_same(written[key], merged)


@given(contents, st.integers(0, 13))
@settings(max_examples=25)
def test_going_on_from_a_stored_context_gives_the_same_rows_as_from_the_beginning(values: Values, cut: int) -> None:
    panes = panes_of(values)
    starts = list(panes)
    from_start = OwnerPanes()
    for start in starts[:cut]:
        list(from_start.append(GRID, start, panes[start]))
    if starts[cut:]:
        low, _ = GRID.context([starts[cut]])
        resumed = OwnerPanes.of({start: panes[start] for start in starts[:cut] if start >= low})
        for start in starts[cut:]:
            one, other = (
                by_key(from_start.append(GRID, start, panes[start])),
                by_key(resumed.append(GRID, start, panes[start])),
            )
            assert one.keys() == other.keys()
            for key, merged in one.items():
                assert_same(merged, other[key])


def test_a_pane_that_is_not_the_next_is_refused() -> None:
    owner = OwnerPanes()
    value: PaneValue = {SERIES[0]: summary({"cpu_usage": [1.0]})}
    list(owner.append(GRID, BASE, value))
    for start in (BASE, BASE - PANE):
        with pytest.raises(ValueError, match="not after"):
            list(owner.append(GRID, start, value))


@given(
    st.lists(
        st.tuples(st.integers(1, 5), metrics),
        min_size=1,
        max_size=25,
    )
)
@settings(max_examples=40)
def test_a_rolling_window_holds_the_panes_within_its_length(steps: list[tuple[int, dict[str, list[float]]]]) -> None:
    length = 6 * PANE
    window = RollingWindow(length)
    at, pushed = 0, []
    for gap, values in steps:
        at += gap * PANE
        pushed.append((at, values))
        found = window.push(at, at + PANE, summary(values))
        inside: dict[str, list[float]] = {}
        for start, columns in pushed:
            if at + PANE - length <= start:
                for name, listed in columns.items():
                    inside.setdefault(name, []).extend(listed)
        assert_equal({("w", True, (), 0): found}, {("w", True, (), 0): inside})
