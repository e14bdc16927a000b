"""Campaign data from MySQL to Redshift as Dagster assets.

Importing the package does no I/O and imports nothing but itself. Start reading
at `etl_assets/definitions.py`.
"""

__version__ = "0.1.0"
