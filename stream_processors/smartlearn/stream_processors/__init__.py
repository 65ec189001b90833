"""The workers: from the input topics to rolling aggregates, tiers, health and alerts in the store."""
