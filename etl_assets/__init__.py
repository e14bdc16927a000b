"""Campaign data from MySQL to Redshift as Dagster assets.

`open_table` reads what was loaded. Importing the package does no I/O and imports nothing but
itself. Start reading at `etl_assets/definitions.py`.
"""

TYPE_CHECKING = False  # that of `typing`, which need not be imported for it
if TYPE_CHECKING:
    from etl_assets.reading import OpenTable, open_table

__all__ = ["OpenTable", "__version__", "open_table"]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """Import what reads the warehouse when it is first asked for."""
    if name in ("OpenTable", "open_table"):
        from etl_assets import reading

        found: object = getattr(reading, name)
        return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
