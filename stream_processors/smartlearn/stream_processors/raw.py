"""Raw events to and from the store: one point an event, at a time that is its identity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from smartlearn.core.batch import NONFINITE_NAMES, Batch, Kind
from smartlearn.core.identity import stored_time
from smartlearn.core.stores.base import FieldColumn, Points, TagColumn

MEASUREMENT_OF: Final[Mapping[Kind, str]] = {
    Kind.PERFORMANCE: "performance",
    Kind.TRAINING: "training",
    Kind.INTERACTION: "interactions",
    Kind.RUN: "runs",
    Kind.ANNOTATION: "annotations",
}

_TEXT_FIELDS_OF: Final[Mapping[Kind, tuple[str, ...]]] = {
    Kind.PERFORMANCE: (),
    Kind.TRAINING: (),
    Kind.INTERACTION: ("learner",),
    Kind.RUN: ("payload",),
    Kind.ANNOTATION: ("text", "author"),
}


def raw_points(batch: Batch, shard: int | None = None) -> Points:
    """The points of a batch's rows.

    Args:
        batch: n rows.
        shard: of interactions, the shard they are kept in.
    """
    time, at = stored_time(batch)
    texts = _TEXT_FIELDS_OF[batch.kind]
    tags: dict[str, TagColumn] = {"source": batch.source}
    fields: dict[str, FieldColumn] = {**batch.numbers}
    for name, column in batch.texts.items():
        if name in texts:
            fields[name] = column
        else:
            tags[name] = column if isinstance(column, str) else column.tolist()
    if shard is not None:
        tags["shard"] = str(shard)
    if not np.isnan(at).all():
        fields["at"] = at
    for name, codes in batch.nonfinite.items():
        fields[f"{name}_nonfinite"] = np.array([NONFINITE_NAMES.get(int(code)) for code in codes], dtype=np.object_)
    return Points(MEASUREMENT_OF[batch.kind], time, tags, fields)
