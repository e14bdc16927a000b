"""DynamoDB on this machine: MiniStack.

AWS's own DynamoDB Local is closer to the real thing, but listens on every address of the
machine and cannot be told otherwise. MiniStack agreed with it on every behaviour the registry
relies on; it never throttles, and writes its tables to disk when it is stopped, not when it is
killed.
"""

from etl_assets_tests.standins.ministack import MiniStack


class DynamoDBStandin(MiniStack):
    """A DynamoDB server; its tables are there after a stop, and lost after a kill."""

    name = "MiniStack (DynamoDB)"
    services = "dynamodb,dynamodbstreams"
