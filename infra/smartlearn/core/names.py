"""The names that people give: nodes, runs, subjects, rules, metrics; what they may be."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import StringConstraints

MAX_LABEL = 200
"""Characters of a node, a run, a subject and the like."""

_CONTROL = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
LABEL_PATTERN = rf"^([^{_CONTROL}]*[^{_CONTROL}\\])?$"
"""No control characters, and no backslash at the end: InfluxDB cannot store a tag that ends in one."""
METRIC_PATTERN = r"^[a-z][a-z0-9_]{0,63}$"

Label: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=MAX_LABEL, pattern=LABEL_PATTERN)]
MetricName: TypeAlias = Annotated[str, StringConstraints(pattern=METRIC_PATTERN)]
