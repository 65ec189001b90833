"""The metric store on InfluxDB 2: a bucket a tier, line protocol in, InfluxQL out."""

from __future__ import annotations

import base64
import datetime as dt
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from urllib.parse import quote

from smartlearn.core.settings import InfluxSettings, RetentionSettings
from smartlearn.core.stores import influxql
from smartlearn.core.stores.base import Points, Refused, Series, SeriesQuery
from smartlearn.core.stores.frames import check_query, grouped, regroup, to_series
from smartlearn.core.stores.influx_client import PATIENCE_S, InfluxClient, PartlyWritten, TooLarge
from smartlearn.core.stores.line_protocol import encode, text_value
from smartlearn.core.stores.prepare import Prepared, prepare
from smartlearn.core.stores.tiers import TIERS, Tier, retention_ns, tier_of

REQUEST_POINTS = 10_000
REQUEST_VALUES = 200_000
"""One request holds at most so many points and values: large enough to be cheap, small enough to be quick."""

STATE = "state"
"""The bucket and the measurement of what is kept beside the points."""

_STATE_PIECE = 500_000
_NS_PER_S = 1_000_000_000


def bucket_of(prefix: str, tier: Tier | str) -> str:
    """The bucket of a tier."""
    return f"{prefix}-{tier}"


class InfluxStore:
    """`MetricStore` on an InfluxDB 2 server, whose buckets and tokens `init_influx` makes."""

    def __init__(
        self,
        settings: InfluxSettings,
        retention: RetentionSettings | None = None,
        *,
        patience_s: float = PATIENCE_S,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._client = InfluxClient(settings, patience_s=patience_s)
        self._prefix = settings.prefix
        self._retention = retention or RetentionSettings()
        self._clock = clock

    def write(self, batch: Iterable[Points]) -> list[Refused]:
        """See `MetricStore.write`; points beyond their bucket's retention are refused."""
        refused: list[Refused] = []
        waiting: dict[Tier, list[Prepared]] = {}
        for points in batch:
            prepared, faults = prepare(points)
            refused.extend(faults)
            prepared, faults = self._within_retention(prepared)
            refused.extend(faults)
            if len(prepared):
                waiting.setdefault(tier_of(points.measurement), []).append(prepared)
        for tier, pieces in waiting.items():
            for request in _requests(pieces):
                refused.extend(self._send(bucket_of(self._prefix, tier), request))
        return refused

    def _within_retention(self, prepared: Prepared) -> tuple[Prepared, list[Refused]]:
        kept = self.retention(prepared.measurement)
        if kept is None:
            return prepared, []
        old = prepared.time < self._clock() - kept
        if not old.any():
            return prepared, []
        reason = f"it is older than the {kept / (86_400 * _NS_PER_S):g} days that {prepared.measurement} is kept"
        return prepared.where(~old), _refusals(prepared.where(old), reason)

    def _send(self, bucket: str, pieces: list[Prepared]) -> list[Refused]:
        """Write one request; where the server refuses a part, find out by halves which points."""
        try:
            self._client.write(bucket, b"\n".join(map(encode, pieces)))
        except (PartlyWritten, TooLarge) as error:
            halves = _halves(pieces)
            if halves:
                return [refusal for half in halves for refusal in self._send(bucket, half)]
            return _refusals(pieces[0], str(error))
        return []

    def query(self, query: SeriesQuery) -> list[Series]:
        """See `MetricStore.query`."""
        check_query(query)
        names = self.fields(query.measurement) if query.fields is None else query.fields
        if not names:
            return []
        statement = influxql.select(query, names)
        answer = self._client.select(self._bucket(query.measurement), statement)
        frame, tags = influxql.frame_of(answer, counts=query.agg == "count")
        if query.every is None and query.group_by is not None and len(frame):
            groups, tags = grouped(tags, query.group_by)
            frame = regroup(frame, groups)
        return to_series(frame, tags, query)

    def latest(
        self, measurement: str, fields: tuple[str, ...] | None = None, where: Mapping[str, str] | None = None
    ) -> list[Series]:
        """See `MetricStore.latest`."""
        return self.query(SeriesQuery(measurement, fields=fields, where=where or {}, limit=1, newest_first=True))

    def delete(
        self,
        measurement: str,
        where: Mapping[str, str] | None = None,
        start: int | None = None,
        stop: int | None = None,
    ) -> None:
        """See `MetricStore.delete`."""
        check_query(SeriesQuery(measurement, where=where or {}))
        conditions = [f"_measurement={text_value(measurement)}"]
        conditions += [f"{name}={text_value(value)}" for name, value in (where or {}).items()]
        first = influxql.MIN_TIME if start is None else max(start, influxql.MIN_TIME)
        last = influxql.MAX_TIME if stop is None else min(stop - 1, influxql.MAX_TIME)
        if first <= last:
            self._client.delete(self._bucket(measurement), " AND ".join(conditions), _rfc3339(first), _rfc3339(last))

    def measurements(self) -> list[str]:
        """See `MetricStore.measurements`."""
        found: set[str] = set()
        for tier in TIERS:
            answer = self._client.select(bucket_of(self._prefix, tier), influxql.show_measurements())
            found.update(influxql.column_of(answer, 0))
        return sorted(found)

    def fields(self, measurement: str) -> list[str]:
        """See `MetricStore.fields`."""
        check_query(SeriesQuery(measurement))
        answer = self._client.select(self._bucket(measurement), influxql.show_fields(measurement))
        return sorted(influxql.column_of(answer, 0))

    def tag_values(self, measurement: str, tag: str) -> list[str]:
        """See `MetricStore.tag_values`."""
        check_query(SeriesQuery(measurement, where={tag: None}))
        answer = self._client.select(self._bucket(measurement), influxql.show_tag_values(measurement, tag))
        return sorted(influxql.column_of(answer, 1))

    def retention(self, measurement: str) -> int | None:
        """See `MetricStore.retention`."""
        return retention_ns(tier_of(measurement), self._retention)

    def expire(self, now: int) -> None:
        """Nothing: the server does it by itself."""

    def get_state(self, key: str) -> bytes | None:
        """See `MetricStore.get_state`."""
        statement = influxql.select_tagged(STATE, "key", _state_key(key))
        for series in self._client.select(bucket_of(self._prefix, STATE), statement):
            row = dict(zip(series["columns"], series["values"][0], strict=True))
            return base64.b64decode("".join(row[f"piece{number}"] for number in range(int(row["pieces"]))))
        return None

    def put_state(self, values: Mapping[str, bytes]) -> None:
        """See `MetricStore.put_state`; each value whole or not at all."""
        lines: list[str] = []
        for key, value in values.items():
            text = base64.b64encode(value).decode()
            pieces = [text[begin : begin + _STATE_PIECE] for begin in range(0, len(text), _STATE_PIECE)]
            fields = [f'piece{number}="{piece}"' for number, piece in enumerate(pieces)]
            lines.append(f"{STATE},key={_state_key(key)} {','.join([f'pieces={len(pieces)}', *fields])} 0")
        self._client.write(bucket_of(self._prefix, STATE), "\n".join(lines).encode())

    def check(self) -> str:
        """See `MetricStore.check`."""
        version = self._client.version()
        self._client.select(bucket_of(self._prefix, "raw"), influxql.show_measurements())
        return f"InfluxDB {version.removeprefix('v')}"

    def close(self) -> None:
        """See `MetricStore.close`."""
        self._client.close()

    def _bucket(self, measurement: str) -> str:
        return bucket_of(self._prefix, tier_of(measurement))


def _requests(pieces: Iterable[Prepared]) -> Iterator[list[Prepared]]:
    """The points in requests of a good size, in their order."""
    request: list[Prepared] = []
    points = values = 0
    for piece in pieces:
        width = len(piece.numbers) + len(piece.texts)
        rows = max(1, min(REQUEST_POINTS, REQUEST_VALUES // width))
        for begin in range(0, len(piece), rows):
            some = piece.rows(begin, begin + rows)
            if request and (points + len(some) > REQUEST_POINTS or values + len(some) * width > REQUEST_VALUES):
                yield request
                request, points, values = [], 0, 0
            request.append(some)
            points += len(some)
            values += len(some) * width
    if request:
        yield request


def _halves(pieces: list[Prepared]) -> list[list[Prepared]]:
    if len(pieces) > 1:
        return [pieces[: len(pieces) // 2], pieces[len(pieces) // 2 :]]
    (piece,) = pieces
    middle = len(piece) // 2
    return [[piece.rows(0, middle)], [piece.rows(middle, len(piece))]] if middle else []


def _refusals(prepared: Prepared, reason: str) -> list[Refused]:
    return [
        Refused(prepared.measurement, prepared.tags[series], instant, reason)
        for series, instant in zip(prepared.series.tolist(), prepared.time.tolist(), strict=True)
    ]


def _state_key(key: str) -> str:
    return quote(key, safe="/:-_.~")


def _rfc3339(instant: int) -> str:
    seconds, rest = divmod(instant, _NS_PER_S)
    moment = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=seconds)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"
