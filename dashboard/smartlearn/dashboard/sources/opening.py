"""Any source of metrics as a history, with the time range that it is about."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, cast

from smartlearn.core.errors import InvalidExport
from smartlearn.core.settings import Settings, load_settings
from smartlearn.dashboard.queries.history import History
from smartlearn.dashboard.queries.window import DAY, HOUR, WIDTH, Window, tier_for
from smartlearn.dashboard.sources.memory import MemoryHistory
from smartlearn.dashboard.sources.records import Records, points_of, times_of

_LISTS: Final = ("performance_metrics", "training_metrics", "user_metrics")
_NEWEST_FROM: Final = ("performance_1h", "interactions_1h", "training")


@dataclass(frozen=True, slots=True)
class Source:
    """A history and how to look at it.

    Attributes:
        history: what to query.
        settings: levels, colours, the smallest group.
        now: ns; what "now" means for it: of a store the present, of other sources their newest record.
        window: the time range to draw.
    """

    history: History
    settings: Settings
    now: int
    window: Window


def open_source(source: object, settings: Settings | None = None) -> Source:
    """A metric store, a collector (an object with the three lists of metrics) or the path of an export, to query.

    Raises:
        InvalidExport: the path does not hold an export, or a record of it is broken.
        TypeError: the object is none of the three.
    """
    settings = settings or load_settings()
    if isinstance(source, str | Path):
        return _of_records(_read_export(Path(source), settings), settings)
    if all(hasattr(source, name) for name in _LISTS):
        return _of_records(_of_collector(source, settings), settings)
    if hasattr(source, "query") and hasattr(source, "tag_values"):
        return _of_store(cast("History", source), settings)
    raise TypeError(
        f"{type(source).__name__} is not a source of figures: give a metric store, a metrics collector or the "
        "path of an export"
    )


def _of_store(history: History, settings: Settings) -> Source:
    """The last 24 hours, or the last that hold anything."""
    now = time.time_ns()
    window = Window(now - DAY, now)
    newest = [int(series.time[-1]) for name in _NEWEST_FROM for series in history.latest(name)]
    if newest and max(newest) < window.start:
        window = Window(max(newest) + HOUR - DAY, max(newest) + HOUR)
    return Source(history, settings, now, window)


def _of_records(records: Records, settings: Settings) -> Source:
    """Everything there is; "now" is the newest record."""
    lists = (records.performance, records.training, records.users)
    spans = [times_of(rows) for rows in lists if rows]
    now = max((int(span.max()) for span in spans), default=time.time_ns()) + 1
    start = min((int(span.min()) for span in spans), default=now - DAY)
    width = WIDTH[tier_for(Window(start, now))]
    window = Window(start - start % width, now)
    return Source(MemoryHistory(points_of(records, settings.rules)), settings, now, window)


def _of_collector(collector: object, settings: Settings) -> Records:
    performance, training, users = ([_zoned(_fields(one)) for one in list(getattr(collector, name))] for name in _LISTS)
    node = str(getattr(collector, "node", None) or settings.node)
    run = str(getattr(collector, "run", None) or "training")
    return Records(performance, training, users, node, run)


def _fields(record: object) -> Mapping[str, Any]:
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        return {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
    return record if isinstance(record, Mapping) else vars(record)


def _zoned(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """A time that a program took with `datetime.now()` is local time."""
    moment = fields.get("timestamp")
    if isinstance(moment, datetime) and moment.tzinfo is None:
        return {**fields, "timestamp": moment.astimezone()}
    return fields


def _read_export(path: Path, settings: Settings) -> Records:
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise InvalidExport(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InvalidExport(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict) or not all(isinstance(content.get(name), list) for name in _LISTS):
        raise InvalidExport(f"{path} is not an export: it needs the lists {', '.join(_LISTS)}")
    for name in _LISTS:
        _check_times(path, name, content[name])
    performance, training, users = (content[name] for name in _LISTS)
    return Records(performance, training, users, settings.node, path.stem)


def _check_times(path: Path, name: str, rows: Sequence[Any]) -> None:
    for number, row in enumerate(rows):
        if not isinstance(row, dict) or "timestamp" not in row:
            raise InvalidExport(f"{path}: {name}[{number}] has no timestamp")
        try:
            times_of([row])
        except (TypeError, ValueError) as error:
            raise InvalidExport(f"{path}: {name}[{number}].timestamp is not a time: {error}") from error
