"""A validated message in memory: what the codec gives and the workers compute on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Int64Array: TypeAlias = NDArray[np.int64]
FloatArray: TypeAlias = NDArray[np.float64]
TextColumn: TypeAlias = str | NDArray[np.object_]

NONFINITE_NAMES = {1: "NaN", 2: "Infinity", 3: "-Infinity"}
"""What a code in `Batch.nonfinite` stands for; 0 is a finite or absent value."""


class Kind(StrEnum):
    """The five kinds of event."""

    PERFORMANCE = "performance"
    TRAINING = "training"
    INTERACTION = "interaction"
    RUN = "run"
    ANNOTATION = "annotation"


IMPORT_SOURCE = "import"
"""The source of every imported row."""

DEMO_SOURCE = "demo"
"""The source of every row of the demo; like an imported one it has a place, since it is made again at each start."""

PLACED_SOURCES = frozenset({IMPORT_SOURCE, DEMO_SOURCE})
"""The sources whose batches have places instead of a boot and a seq."""

EXTERNAL_SOURCE = "external"
"""The source of every event that came as a row, without an envelope."""


@dataclass(frozen=True, slots=True)
class Batch:
    """n events of one kind and one series key, by column.

    Attributes:
        kind: what the rows are.
        source: who sent them; a bounded tag in the store.
        key: the series key: a node, a run; of interactions the message's key (a source, or a learner).
        timestamp: event time, int64 µs since the epoch, shape (n,).
        numbers: a float64 array of shape (n,) per numeric field and metric; NaN where absent or not finite.
        texts: a str where the column is constant, else an object array of str or None, shape (n,).
        nonfinite: int8 codes (`NONFINITE_NAMES`) of shape (n,), only of fields that have any.
        boot: the sender's start, with `seq` the rows' identity; None for imports.
        seq: the number of the first row, counted per (source, boot, key); None for imports.
        place: of an imported batch the number that fills the digits below each row's resolution, shape (n,).
    """

    kind: Kind
    source: str
    key: str
    timestamp: Int64Array
    numbers: Mapping[str, FloatArray]
    texts: Mapping[str, TextColumn]
    nonfinite: Mapping[str, NDArray[np.int8]] = field(default_factory=dict)
    boot: str | None = None
    seq: int | None = None
    place: Int64Array | None = None

    def __len__(self) -> int:
        return len(self.timestamp)

    @property
    def imported(self) -> bool:
        """Whether the rows came from a file: then their panes are computed from the store."""
        return self.seq is None

    def rows(self, start: int, stop: int) -> Batch:
        """The batch of the rows [start, stop), each with the identity it has here."""
        if start == 0 and stop == len(self):
            return self
        part = slice(start, stop)
        return replace(
            self,
            timestamp=self.timestamp[part],
            numbers={name: column[part] for name, column in self.numbers.items()},
            texts={name: column if isinstance(column, str) else column[part] for name, column in self.texts.items()},
            nonfinite={name: codes[part] for name, codes in self.nonfinite.items()},
            seq=None if self.seq is None else self.seq + start,
            place=None if self.place is None else self.place[part],
        )
