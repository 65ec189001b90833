"""Stored events as files: the original's JSON, CSV and Parquet."""
