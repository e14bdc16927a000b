"""The outside systems, one module each: input and output, nothing else.

Nothing here imports Dagster. What a system must do is in `protocols.py`; which one a URL
means is in `connect.py`.
"""
