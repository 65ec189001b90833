"""What pages look like: `panels` declare them, these functions make components of a declaration."""

from smartlearn.dashboard.components.cards import card, column_defs, graph, shell
from smartlearn.dashboard.components.frame import frame, frame_around
from smartlearn.dashboard.components.ids import (
    CUSTOM_ID,
    aria,
    body_id,
    filter_id,
    graph_id,
    note_id,
    notice_id,
    page_id,
    root_id,
    stats_id,
    view_id,
)
from smartlearn.dashboard.components.marks import (
    absent,
    advice_list,
    banner,
    empty_note,
    error_note,
    sparkline,
    stat_card,
    status_mark,
)

__all__ = [
    "CUSTOM_ID",
    "absent",
    "advice_list",
    "aria",
    "banner",
    "body_id",
    "card",
    "column_defs",
    "empty_note",
    "error_note",
    "filter_id",
    "frame",
    "frame_around",
    "graph",
    "graph_id",
    "note_id",
    "notice_id",
    "page_id",
    "root_id",
    "shell",
    "sparkline",
    "stat_card",
    "stats_id",
    "status_mark",
    "view_id",
]
