"""Wherever a worker dies with an import in its hands, the ledger ends as if it had not."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.pipeline import Pipeline
from tests.unit.stream_processors.making import START, Faulty, as_import, performance

from smartlearn.core.errors import StoreUnavailable
from smartlearn.core.stores.base import SeriesQuery
from smartlearn.core.topics import PERFORMANCE

NODES = ("node-a", "node-b", "node-c")
CALLS = ("query", "put_state", "write", "get_state")


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=6, deadline=None)
def test_every_imported_row_is_stored_once_and_its_repetitions_are_duplicates(number: int) -> None:
    rng = random.Random(number)
    with tempfile.TemporaryDirectory() as folder:
        pipeline = Pipeline(Path(folder))
        store = pipeline.store = Faulty(pipeline.store)
        pipeline.start()
        sent: list[tuple[str, int]] = []
        now = START / 1e6
        for _ in range(rng.randrange(5, 25)):
            node, first = rng.choice(NODES), rng.randrange(0, 30)
            places = range(first, first + rng.randrange(1, 12))
            # The same record of a file has the same place whenever it is imported.
            pipeline.send(as_import(performance(node, [place * 3 for place in places]), first_place=first))
            sent += [(node, place) for place in places]
            if rng.random() < 0.4:
                pipeline.send(performance(node, [first * 3], seq=len(sent), sender="host"))
                sent.append((f"live {node}", len(sent)))
            now += rng.uniform(0, 20)
            if rng.random() < 0.6:
                pipeline.step(now, rng.randrange(1, 4))
            if rng.random() < 0.5:
                store.fail(rng.choice(CALLS), rng.randrange(0, 5))
            try:
                pipeline.flush(now, commit=rng.random() < 0.7)
                if rng.random() < 0.2:
                    pipeline.start()
            except StoreUnavailable:
                store.heal()
                if rng.random() < 0.7:
                    pipeline.start()
        store.heal()
        pipeline.settle(now + 3600)
        counts = pipeline.counts(PERFORMANCE)
        assert (counts["in"], counts["stored"], counts["duplicate"]) == (
            len(sent), len(set(sent)), len(sent) - len(set(sent)),
        )  # fmt: skip
        stored = sum(len(series) for series in pipeline.store.query(SeriesQuery("performance")))
        assert stored == len(set(sent))
        pipeline.store.close()
