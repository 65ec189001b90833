"""What figures can be drawn from: a metric store, a collector in this process, or an export file.

`open_source` makes a `History` of any of them, so that queries and figures need not know which it is.
"""

from smartlearn.dashboard.sources.opening import Source, open_source

__all__ = ["Source", "open_source"]
