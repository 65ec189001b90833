"""The importer: SmartLearn's JSON exports become events.

A file is checked whole before anything of it is sent. Sending it again, or an overlapping one, changes nothing: an
imported row is known by its content (see placing.py). Times without a zone are UTC; user ids become pseudonyms here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from smartlearn.core.batch import IMPORT_SOURCE, Batch, Int64Array, Kind, TextColumn
from smartlearn.core.errors import InvalidExport, SettingsError
from smartlearn.core.export_format import SECTIONS, format_export_time
from smartlearn.core.export_reading import Table, read_export
from smartlearn.core.pseudonyms import Pseudonymizer
from smartlearn.core.settings import Settings
from smartlearn.core.stack import with_stack
from smartlearn.core.stores.tiers import retention_ns, tier_of
from smartlearn.producers.bulk import Offsets, Progress, send_all
from smartlearn.producers.learners import learner_pseudonyms
from smartlearn.producers.ledger import Ledger
from smartlearn.producers.placing import places

DEFAULT_NODE: Final = "import"
DEFAULT_RUN: Final = "import"

_MEASUREMENT_OF: Final = {
    Kind.PERFORMANCE: "performance",
    Kind.TRAINING: "training",
    Kind.INTERACTION: "interactions",
}
_DAY_NS: Final = 86_400 * 10**9


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import sent.

    Attributes:
        rows: kind → how many events.
        offsets: (topic, partition) → the offset of the last message; what `wait_until_processed` waits for.
    """

    rows: dict[Kind, int]
    offsets: Offsets = field(default_factory=dict)


def import_files(
    settings: Settings,
    files: Sequence[Path],
    *,
    node: str = DEFAULT_NODE,
    run: str = DEFAULT_RUN,
    now_us: int,
    progress: Progress = lambda _done, _total: None,
) -> ImportReport:
    """Send the events of some exports; of all files or, where one is at fault, of none.

    Args:
        settings: where the broker is, the retention, the pseudonym key.
        files: the exports.
        node: the node that the performance samples and trainings are put down to.
        run: the run that the training steps are put down to.
        now_us: the present, µs since the epoch.
        progress: told the rows delivered so far and the rows in all.

    Raises:
        InvalidExport: a file does not follow the format, or holds events that cannot be imported.
        SettingsError: the retention is finite and an event is older, or there is no pseudonym key.
        BrokerUnavailable: no broker answers, or not any more; sending the file again completes the import.
        BrokerError: the broker has no topics, or refuses a message.
    """
    tables = [read_export(path) for path in files]
    for path, found in zip(files, tables, strict=True):
        for table in found.values():
            _check_times(path, table, settings, now_us)
    pseudonyms = learner_pseudonyms(settings) if any(len(found[Kind.INTERACTION]) for found in tables) else None
    batches: list[Batch] = []
    for path, found in zip(files, tables, strict=True):
        for table in found.values():
            try:
                batches += _batches(table, node, run, pseudonyms, settings.producer.batch_rows)
            except ValueError as error:
                raise InvalidExport(f"{path} cannot be imported: {table.section.name}: {error}") from error
    # Per key in the order of time, whatever order the files were named in.
    batches.sort(key=lambda batch: int(batch.timestamp[0]))
    offsets = send_all(with_stack(settings).kafka, batches, progress, ledger=Ledger(settings.data_dir))
    return ImportReport({kind: sum(len(found[kind]) for found in tables) for kind in SECTIONS}, offsets)


def _check_times(path: Path, table: Table, settings: Settings, now_us: int) -> None:
    """Refuse what a worker would refuse, before the first event is sent."""
    if not len(table):
        return
    first, last = int(np.argmin(table.timestamp)), int(np.argmax(table.timestamp))
    tier = tier_of(_MEASUREMENT_OF[table.section.kind])
    kept = retention_ns(tier, settings.store.retention)
    if kept is not None and int(table.timestamp[first]) * 1000 < now_us * 1000 - kept:
        raise SettingsError(
            f"{path}: {table.section.name}[{first}] (record {first + 1}) is of "
            f"{format_export_time(int(table.timestamp[first]))}, and store.retention.{tier}_days keeps "
            f"{kept / _DAY_NS:g} days only: raise SMARTLEARN_STORE__RETENTION__{tier.upper()}_DAYS or remove it"
        )
    if int(table.timestamp[last]) > now_us + round(settings.windows.future_s * 1e6):
        raise InvalidExport(
            f"{path}: {table.section.name}[{last}] (record {last + 1}): timestamp is "
            f"{format_export_time(int(table.timestamp[last]))} UTC, which is in the future"
        )


def _batches(table: Table, node: str, run: str, pseudonyms: Pseudonymizer | None, batch_rows: int) -> Iterator[Batch]:
    """The rows of an array in time order, cut into batches."""
    if not len(table):
        return
    kind = table.section.kind
    texts: dict[str, list[str]] = dict(table.texts)
    if kind is Kind.INTERACTION:
        assert pseudonyms is not None
        texts = {"learner": [pseudonyms.of(user) for user in texts.pop("user_id")], **texts}
    # Only the columns of the format enter: what a later version adds would change the places of old files.
    codes = [_with_codes(table, name) for name in table.numbers]
    series = (
        list(zip(texts["subject"], texts["difficulty"], texts["action"], strict=True)) if texts else [0] * len(table)
    )
    place = places(table.timestamp, codes, list(texts.values()), series)
    order = np.argsort(table.timestamp, kind="stable")
    key, labels = _labels(kind, node, run)
    whole = Batch(
        kind,
        IMPORT_SOURCE,
        key,
        table.timestamp[order],
        {name: column[order] for name, column in table.numbers.items() if not _absent(table, name)},
        labels | {name: _objects(values, order) for name, values in texts.items()},
        {name: column[order] for name, column in table.nonfinite.items()},
        place=place[order],
    )
    for start in range(0, len(whole), batch_rows):
        yield whole.rows(start, min(start + batch_rows, len(whole)))


def _with_codes(table: Table, name: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """A column in which absent, NaN and the infinities differ, as they do in the file."""
    column = table.numbers[name]
    codes = table.nonfinite.get(name)
    if codes is None:
        return column
    return np.where(codes > 0, np.array([np.nan, -1e308, np.inf, -np.inf])[codes], column)


def _absent(table: Table, name: str) -> bool:
    return name not in table.nonfinite and bool(np.isnan(table.numbers[name]).all())


def _labels(kind: Kind, node: str, run: str) -> tuple[str, dict[str, TextColumn]]:
    if kind is Kind.PERFORMANCE:
        return node, {"node": node}
    if kind is Kind.TRAINING:
        return run, {"run": run, "node": node}
    return IMPORT_SOURCE, {}


def _objects(values: list[str], order: Int64Array) -> TextColumn:
    column = np.empty(len(values), dtype=np.object_)
    column[:] = values
    return column[order]
