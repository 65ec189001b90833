"""Line protocol, against a formatter that takes one point at a time."""

from __future__ import annotations

import numpy as np
from tests.contract.model import rows_of

from smartlearn.core.stores.base import FieldColumn, Points
from smartlearn.core.stores.line_protocol import encode
from smartlearn.core.stores.prepare import prepare


def one_by_one(points: Points) -> list[object]:
    lines: list[object] = []
    for tags, time, fields in rows_of(points):
        key = points.measurement
        for name, value in tags:
            escaped = value.replace(",", "\\,").replace("=", "\\=").replace(" ", "\\ ")
            key += f",{name}={escaped}"
        values: list[tuple[str, object]] = []
        for name, field in fields.items():
            if isinstance(field, str):
                text = field.replace("\\", "\\\\").replace('"', '\\"')
                values.append((name, f'"{text}"'))
            else:
                values.append((name, field))
        lines.append((key, values, time))
    return lines


def parsed(lines: bytes, names: list[str]) -> list[object]:
    """Lines as (key, fields, time), of values without a comma, a space or an equals sign in texts."""
    found: list[object] = []
    for line in lines.decode().split("\n"):
        head, time = line.rsplit(" ", 1)
        key, fields = head.rsplit(" ", 1)
        pairs = [pair.split("=", 1) for pair in fields.split(",")]
        values = [(name, value if value.startswith('"') else float(value)) for name, value in pairs]
        assert [name for name, _ in values] == [name for name in names if name in dict(values)]
        found.append((key, values, int(time)))
    return found


def test_each_point_is_its_line_in_order() -> None:
    rows = 500
    generator = np.random.default_rng(2)
    numbers = {f"f{power}": generator.normal(0, 10.0**power, rows) for power in range(8)}
    for column in numbers.values():
        column[generator.random(rows) < 0.3] = np.nan
    columns: dict[str, FieldColumn] = {**numbers}
    columns["text"] = [f'a"{row}\\' if row % 4 else None for row in range(rows)]
    nodes = [["a b", "a,b=c", "ü", "back\\slash"][row % 4] for row in range(rows)]
    batch = Points("performance", np.arange(rows) * 10**15, {"source": "s", "node": nodes}, columns)
    prepared, refused = prepare(batch)
    assert refused == []
    assert parsed(encode(prepared), list(columns)) == one_by_one(batch)


def test_floats_are_written_so_that_they_read_back_the_same() -> None:
    values = [0.1, 1e-300, 5e-324, 1.7976931348623157e308, -0.0, 2.0**53 + 2, 1e22, 1e21, 123456789012345680.0]
    prepared, _ = prepare(Points("m", np.arange(len(values)), {}, {"f": values}))
    written = [line.split(b" ")[1].removeprefix(b"f=") for line in encode(prepared).split(b"\n")]
    assert [float(text) for text in written] == values
    assert not any(text.endswith(b"i") for text in written)


def test_the_lines_of_no_points_are_none() -> None:
    prepared, _ = prepare(Points("m", np.zeros(0, dtype=np.int64), {}, {}))
    assert encode(prepared) == b""


def test_a_text_may_be_empty() -> None:
    prepared, _ = prepare(Points("m", np.array([1]), {}, {"text": ""}))
    assert encode(prepared) == b'm text="" 1'
