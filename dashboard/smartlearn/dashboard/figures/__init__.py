"""Every figure: pure functions from what the queries give to `plotly.graph_objects.Figure`.

One module a kind of panel; `VisualizationEngine` puts the panels of a page together, without a server.
"""

from smartlearn.dashboard.figures.engine import VisualizationEngine

__all__ = ["VisualizationEngine"]
