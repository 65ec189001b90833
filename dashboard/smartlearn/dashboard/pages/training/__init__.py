"""Training Analytics: which run learns best, whether it still learns, and when it will be done."""

from __future__ import annotations

from typing import Final

from smartlearn.dashboard.pages.training import charts
from smartlearn.dashboard.pages.training.sight import AXIS, SCALE, SMOOTHING, ZOOM, shown_runs
from smartlearn.dashboard.pages.training.signs import advice
from smartlearn.dashboard.pages.training.stats import stats
from smartlearn.dashboard.pages.training.table import COLUMNS, run_rows, setting_columns, settings_chart
from smartlearn.dashboard.panels import Chart, Insights, Page, Table

__all__ = ["PAGE", "advice", "charts", "run_rows", "settings_chart", "shown_runs", "stats"]

PAGE: Final = Page(
    path="/training",
    name="Training Analytics",
    question="Which run learns best, does it still learn, and when is it done?",
    stats=stats,
    panels=(
        Chart(
            "training-loss",
            "Training and validation loss",
            charts.loss,
            span=8,
            height=360,
            choice=SCALE,
            zoom=ZOOM.name,
            help="Validation strong, on its own steps; training thin. The star is the best validation. Drag to zoom.",
        ),
        Insights("training-signs", "What the curves say", advice, empty="No training run is shown", height=360),
        Table(
            "training-runs",
            "Runs",
            COLUMNS,
            run_rows,
            empty="No training run in this time range. Choose a longer one, or run smartlearn demo.",
            height=380,
            more=setting_columns,
            filters=True,
            key="run",
        ),
        Chart(
            "training-against",
            "Difference of runs",
            charts.against,
            unit="loss, below 0 is better",
            span=4,
            zoom=ZOOM.name,
            help="The loss of each run that is drawn minus that of the first one.",
        ),
        Chart(
            "training-gap",
            "Overfitting gap",
            charts.overfitting,
            unit="validation − training loss",
            span=4,
            zoom=ZOOM.name,
            help="Above zero and growing: the run learns its examples by heart.",
        ),
        Chart("training-accuracy", "Accuracy", charts.accuracy, unit="%", span=4, zoom=ZOOM.name),
        Chart("training-rate", "Learning rate", charts.learning_rate, span=4, zoom=ZOOM.name),
        Chart("training-speed", "Speed", charts.speed, unit="steps/s", span=4, zoom=ZOOM.name),
        Chart("training-progress", "Progress", charts.progress, unit="of planned steps", span=4),
        Chart(
            "training-settings",
            "Settings and what came of them",
            settings_chart,
            unit="a line a run, the best ones strongest",
            span=12,
            height=340,
            click="run",
            help="Only settings that differ. Runs that are drawn above keep their colours. Click one to see it alone.",
        ),
        Chart(
            "training-others", "Further metrics", charts.others, unit="that the runs report", span=12, height=320,
            zoom=ZOOM.name,
        ),
    ),
    pickers=("node", "run"),
    places=6,
    icon="training",
    measurement="training",
    choices=(AXIS, SMOOTHING),
    entries=(ZOOM,),
)  # fmt: skip
