"""The groups of commands of `etl-assets`."""
