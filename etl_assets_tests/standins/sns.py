"""SNS on this machine, with SQS, from which a test reads what was published."""

from etl_assets_tests.standins.ministack import MiniStack


class SNSStandin(MiniStack):
    """An SNS and SQS server."""

    name = "MiniStack (SNS, SQS)"
    services = "sns,sqs"
