"""A stand-in for Amazon Redshift: a proxy that speaks PostgreSQL's protocol before PostgreSQL."""

from etl_assets_tests.standins.redshift.standin import RedshiftStandin, RedshiftStandinError

__all__ = ["RedshiftStandin", "RedshiftStandinError"]
