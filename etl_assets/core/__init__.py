"""What the platform knows, without touching anything.

Nothing here imports Dagster, a database driver or the systems, nor reads the
clock, the environment or a file (`etl_assets_tests/test_layers.py` walks the
imports). Add here what can be tested by calling it.
"""
