"""S3 on this machine: MiniStack, which checks SHA-256 and If-None-Match as S3 does."""

from etl_assets_tests.standins.ministack import MiniStack


class S3Standin(MiniStack):
    """An S3 server; objects are on disk when a request is answered, also after a kill."""

    name = "MiniStack (S3)"
    services = "s3"
