"""Rules at work: checked, tried, planned and applied, in DuckDB."""
