"""The five dashboards: Dash on FastAPI, history from the store, the present pushed from the live topic."""
