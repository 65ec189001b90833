"""An export in a store, through the importer and the workers' code, without a broker."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from unittest.mock import patch

from tests.pipeline import Pipeline

from smartlearn.core.batch import Batch
from smartlearn.producers import importer

NODE = "tutor-1"
RUN = "run-1"


def import_into(pipeline: Pipeline, export: Path, *, node: str = NODE, run: str = RUN) -> None:
    """Import a file as `smartlearn import` does, and let the workers finish it."""
    batches: list[Batch] = []

    def send_all(_kafka: object, found: Iterable[Batch], *_: object, **__: object) -> dict[tuple[str, int], int]:
        batches.extend(found)
        return {}

    with patch.object(importer, "send_all", send_all):
        importer.import_files(pipeline.settings, [export], node=node, run=run, now_us=1 << 60)
    for batch in batches:
        pipeline.send(batch, at=int(batch.timestamp.max()))
    pipeline.settle(max(int(batch.timestamp.max()) for batch in batches) / 1e6 + 3600)
