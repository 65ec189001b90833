"""Events a second: the real worker on real Kafka and InfluxDB, and its peers on the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

from pydantic import SecretStr

from benchmarks import loads
from benchmarks.peers import faust_idiom, quix, telegraf
from benchmarks.report import CannotRun, Figure, median_of
from benchmarks.stage import Carried, Load, Stage, cores_note, owners
from smartlearn.core.settings import InfluxSettings
from smartlearn.core.stores.base import SeriesQuery
from smartlearn.core.stores.influx import InfluxStore

COLUMNAR_ROWS = 3_000_000
RAW_ROWS = 1_000_000
SINGLE_ROWS = 250_000
LISTED_ROWS = 1_000_000
LIMIT_S = 12.0
"""What has not carried its load by then is taken at the rate it had."""

_LISTS = "bench.lists"
_EVENTS = "bench.events"

Measured = Callable[[Stage, Load], Carried]


def columnar(stage: Stage) -> Figure:
    """Columnar batches to rollups in InfluxDB; raw is not kept."""
    load = stage.load("columnar", loads.columnar(COLUMNAR_ROWS))
    return _beside(stage, load, {"Telegraf": telegraf.carry, "Quix Streams": quix.carry}, raw=False)


def columnar_raw(stage: Stage) -> Figure:
    """The same with every sample written as a point."""
    load = stage.load("columnar-raw", loads.columnar(RAW_ROWS))
    figure = _beside(stage, load, {"Telegraf": telegraf.carry}, raw=True)
    target = 1.3 * figure.peers["Telegraf"] if "Telegraf" in figure.peers else None
    return replace(figure, target=target)


def single(stage: Stage) -> Figure:
    """One event a message; raw is not kept."""
    load = stage.load("single", loads.single(SINGLE_ROWS))
    return _beside(stage, load, {"Quix Streams": quix.carry, "Faust idiom": faust_idiom.carry}, raw=False)


def two_workers(stage: Stage) -> Figure:
    """Two workers against one, each started before the load is there, so that partitions are spread already."""
    load = stage.load("columnar", loads.columnar(COLUMNAR_ROWS))
    one = median_of([_work(stage, load, raw=False).rate for _ in range(stage.runs)])
    both = [_together(stage, load, 2) for _ in range(stage.runs)]
    value = median_of([run.rate for run in both])
    notes = [f"one worker {one:,.0f} samples/s, two {value:,.0f}", cores_note(both[-1].cores)]
    return Figure(value / one, notes=notes)


def _beside(stage: Stage, load: Load, peers: Mapping[str, Measured], *, raw: bool) -> Figure:
    """A worker's median rate, beside what its peers make of the same load."""
    ours = [_work(stage, load, raw=raw) for _ in range(stage.runs)]
    theirs, notes = _peers(stage, peers)
    return Figure(median_of([run.rate for run in ours]), theirs, [cores_note(ours[-1].cores), *notes])


def _work(stage: Stage, load: Load, *, raw: bool) -> Carried:
    environment = stage.environment(store__raw=str(raw).lower())
    with stage.worker(environment) as worker:
        found: Carried = stage.carried(environment["SMARTLEARN_KAFKA__GROUP"], load, {"worker": worker})
    if found.finished:
        _check_stored(stage, environment["SMARTLEARN_STORE__INFLUX__PREFIX"], load)
    return found


def _together(stage: Stage, load: Load, workers: int) -> Carried:
    """Several workers on a load; each owns partitions when the watch begins."""
    environment = stage.environment(store__raw="false")
    with ExitStack() as stack:
        names = [f"worker-{number}" for number in range(workers)]
        running = {name: stack.enter_context(stage.worker(environment, name)) for name in names}
        owners(stage, names)
        return stage.carried(environment["SMARTLEARN_KAFKA__GROUP"], load, running)


def _check_stored(stage: Stage, prefix: str, load: Load) -> None:
    """A rate of rows that are not in the store is worth nothing."""
    settings = InfluxSettings(
        url=stage.record.influxdb_url,
        org=stage.record.org,
        prefix=prefix,
        token=SecretStr(stage.influx_token),
    )
    store = InfluxStore(settings)
    try:
        counted = store.query(SeriesQuery("performance_10s", fields=("cpu_usage_count",), group_by=()))
        rows = sum(float(series.fields["cpu_usage_count"].sum()) for series in counted)
    finally:
        store.close()
    if rows < load.rows:
        raise CannotRun(f"{load.rows:,} rows were carried, and the panes in the store count {rows:,.0f}")


def _peers(stage: Stage, peers: Mapping[str, Measured]) -> tuple[dict[str, float], list[str]]:
    """The median of each peer, measured once a run of the benchmarks; what cannot run is a note."""
    found: dict[str, float] = {}
    notes: list[str] = []
    for name, carry in peers.items():
        try:
            rate, note = stage.once(name, partial(_measured, stage, carry))
        except CannotRun as error:
            notes.append(f"{name} did not run: {error}")
        else:
            found[name] = rate
            notes.append(f"{name}: {note}")
    return found, notes


def _measured(stage: Stage, carry: Measured) -> tuple[float, str]:
    load = (
        stage.load("lists", loads.lists(LISTED_ROWS, _LISTS))
        if carry is telegraf.carry
        else stage.load("events", loads.events(SINGLE_ROWS, _EVENTS))
    )
    runs = [carry(stage, load) for _ in range(stage.runs)]
    return median_of([run.rate for run in runs]), cores_note(runs[-1].cores)
