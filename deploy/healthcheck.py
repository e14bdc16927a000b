"""Exit 0 when a process of the deployment answers: `healthcheck.py code-location|daemon|webserver`.

Run by ECS in the process's own container. Only what a check needs is imported, since it runs
each minute.
"""

import os
import sys
import urllib.request

CODE_LOCATION = "127.0.0.1:4000"
WEBSERVER = "http://127.0.0.1:3000/server_info"
_SECONDS = 10


def check_code_location(address: str = CODE_LOCATION) -> bool:
    """Return whether the gRPC server says that it serves."""
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    with grpc.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service="DagsterApi")
        try:
            answer = stub.Check(request, timeout=_SECONDS)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def check_webserver(url: str = WEBSERVER) -> bool:
    """Return whether the webserver answers."""
    try:
        with urllib.request.urlopen(url, timeout=_SECONDS) as answer:  # noqa: S310
            return bool(answer.status == 200)  # noqa: PLR2004
    except OSError:
        return False


def main(arguments: list[str]) -> int:
    """Check the process that is named; return the exit code."""
    match arguments:
        case ["code-location"]:
            return 0 if check_code_location() else 1
        case ["webserver"]:
            return 0 if check_webserver() else 1
        case ["daemon"]:  # asks Dagster's storage when each daemon was last heard of
            os.execvp("dagster-daemon", ["dagster-daemon", "liveness-check"])  # noqa: S606, S607
    print("healthcheck.py code-location|daemon|webserver", file=sys.stderr)  # noqa: T201
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
