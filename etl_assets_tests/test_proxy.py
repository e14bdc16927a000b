"""The documented nginx before the UI, as real processes: log-in, viewers, and forged requests.

At risk: Dagster has no log-in and runs a mutation from a link. Who is not let in must reach
nothing, who only looks must change nothing, and no page of somebody else's may use the log-in
of a person who visits it.
"""

import asyncio
import functools
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlencode

import pytest
import requests
from websockets.exceptions import InvalidStatus

from etl_assets_tests.command_line import CommandLine
from etl_assets_tests.live_ui import until
from etl_assets_tests.nginx import CONFIG, HOST, Nginx
from etl_assets_tests.proxied import ORIGIN, Site, talk
from etl_assets_tests.servers import free_port
from etl_assets_tests.small import Small
from etl_assets_tests.test_serve import asset_nodes, listening

OPERATOR, VIEWER = ("ann", "red ink, 9 parts"), ("bob", "a blue: one")
QUERY = "{ version }"
ADD = """mutation { addDynamicPartition(partitionKey: "%s", partitionsDefName: "campaigns",
  repositorySelector: {repositoryLocationName: "etl_assets", repositoryName: "__repository__"}) {
    __typename ... on UnauthorizedError { message } } }"""
WIPE = """mutation { wipeAssets(assetPartitionRanges: [{assetKey: {path: ["sales", "rds_extract"]}}]) {
    __typename } }"""
SCHEDULE = """mutation { startSchedule(scheduleSelector: {repositoryLocationName: "etl_assets",
  repositoryName: "__repository__", scheduleName: "refresh_schedule"}) { __typename } }"""
RELOAD = (
    'mutation { reloadRepositoryLocation(repositoryLocationName: "etl_assets") { __typename } }'
)
LAUNCH = """mutation { launchRun(executionParams: {mode: "default", runConfigData: {}, selector: {
  repositoryLocationName: "etl_assets", repositoryName: "__repository__", jobName: "refresh"}}) {
    __typename } }"""
BACKFILL = """mutation { launchPartitionBackfill(backfillParams: {allPartitions: true,
  assetSelection: [{path: ["sales", "rds_extract"]}]}) { __typename } }"""
TERMINATE = 'mutation { terminateRuns(runIds: ["x"]) { ... on TerminateRunsResult {'
TERMINATE += " terminateRunResults { __typename } } } }"
LOCATION = "subscription { locationStateChangeEvents { event { eventType } } }"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Both webservers, with the daemon, behind nginx."""
    small = Small(tmp_path_factory.mktemp("proxied") / "small").build()
    operator, viewer = free_port(), free_port()
    command = [sys.executable, "-m", "etl_assets.cli", "ui", "--port"]
    environment = CommandLine.of(small).environment()
    with ExitStack() as stack:
        for arguments in ([str(operator)], [str(viewer), "--read-only"]):
            process = subprocess.Popen([*command, *arguments], env=environment)
            stack.callback(process.wait)
            stack.callback(process.terminate)
            port = int(arguments[0])
            until(functools.partial(asset_nodes, port))
        users = dict([OPERATOR, VIEWER])
        nginx = stack.enter_context(Nginx({"3000": operator, "3001": viewer}, users, ["ann"]))
        made = Site(nginx, small, operator, viewer)
        until(lambda: _answers(made))
        yield made


def _forged(key: str) -> str:
    """Return a mutation as part of an address."""
    return urlencode({"query": ADD % key})


def _answers(site: Site) -> bool:
    try:
        return site.ask(OPERATOR, method="GET", path="/server_info").status_code == 200
    except requests.ConnectionError:
        return False


def test_without_a_log_in_or_with_a_wrong_password_nothing_is_reached(site: Site) -> None:
    body, kind = json.dumps({"query": QUERY}), "application/json"
    for user in (None, (OPERATOR[0], "wrong"), (OPERATOR[0], ""), ("nobody", OPERATOR[1])):
        answer = site.ask(user, body=body, Content_Type=kind)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == 'Basic realm="etl_assets"'
    for path in ("/", "/server_info", "/runs", "/logs/x", "/download_debug/x"):
        assert site.ask(method="GET", path=path).status_code == 401, path


def test_the_webservers_listen_on_this_machine_alone(site: Site) -> None:
    assert listening(site.operator_port) == {"127.0.0.1"}
    assert listening(site.viewer_port) == {"127.0.0.1"}


def test_who_may_changes_something_and_who_only_looks_does_not(site: Site) -> None:
    made = site.graphql(OPERATOR, ADD % "BY_ANN")
    assert made["addDynamicPartition"]["__typename"] == "AddDynamicPartitionSuccess"
    assert "BY_ANN" in site.partitions()
    refused = site.graphql(VIEWER, ADD % "BY_BOB")
    assert refused["addDynamicPartition"]["__typename"] == "UnauthorizedError"
    assert "BY_BOB" not in site.partitions()
    assert site.graphql(VIEWER, QUERY)["version"]


@pytest.mark.parametrize(
    "mutation", [WIPE, SCHEDULE, RELOAD, LAUNCH, BACKFILL, TERMINATE],
    ids=["wipe", "schedule", "reload", "launch", "backfill", "terminate"],
)  # fmt: skip
def test_a_viewer_can_do_none_of_what_changes_something(site: Site, mutation: str) -> None:
    answer = site.graphql(VIEWER, mutation)
    assert "UnauthorizedError" in json.dumps(answer), answer


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", ["/graphql", "//graphql", "/%67raphql", "/x/../graphql"])
def test_an_operation_in_an_address_is_refused(site: Site, path: str, method: str) -> None:
    for user in (OPERATOR, VIEWER):
        answer = site.ask(user, method=method, path=f"{path}?{_forged('FORGED')}", Accept="*/*")
        assert answer.status_code == 405
    assert "FORGED" not in site.partitions()


def test_the_address_with_a_slash_at_its_end_runs_nothing(site: Site) -> None:
    site.ask(OPERATOR, method="GET", path=f"/graphql/?{_forged('FORGED')}", Accept="*/*")
    assert "FORGED" not in site.partitions()


@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
     "text/plain; application/json", "application/jsonx", "application/graphql"],
)  # fmt: skip
def test_a_form_of_another_page_is_refused_whatever_type_it_says(
    site: Site, content_type: str
) -> None:
    answer = site.ask(
        OPERATOR, path=f"/graphql?{_forged('FORGED')}", body=json.dumps({"query": ADD % "FORGED"}),
        Content_Type=content_type,
    )  # fmt: skip
    assert answer.status_code == 405
    assert "FORGED" not in site.partitions()


@pytest.mark.parametrize(
    "origin", ["https://evil.example", f"http://{HOST}", f"{ORIGIN}.evil.example", "null"]
)
def test_a_request_of_another_origin_is_refused(site: Site, origin: str) -> None:
    answer = site.ask(
        OPERATOR, body=json.dumps({"query": ADD % "FORGED"}), Content_Type="application/json",
        Origin=origin,
    )  # fmt: skip
    assert answer.status_code == 403
    assert "FORGED" not in site.partitions()


def test_the_addresses_that_report_events_are_closed(site: Site) -> None:
    for name in ("report_asset_materialization", "report_asset_check", "report_asset_observation"):
        path = f"/{name}/sales/rds_extract?partition=SP17&check_name=x&passed=true"
        assert site.ask(OPERATOR, path=path).status_code == 403, name


def test_without_the_proxys_rules_all_of_that_goes_through(site: Site) -> None:
    """The planted failure: a proxy that only asks for a password."""
    text = CONFIG.read_text(encoding="utf-8")
    for rule in ("if ($etl_graphql_refused) { return 405; }",
                 "if ($etl_foreign)         { return 403; }", "limit_except GET { deny all; }"):  # fmt: skip
        assert rule in text
        text = text.replace(rule, "")
    ports = {"3000": site.operator_port, "3001": site.viewer_port}
    with Nginx(ports, dict([OPERATOR, VIEWER]), ["ann"], config=text) as nginx:
        open_site = Site(nginx, site.small, site.operator_port, site.viewer_port)
        until(lambda: _answers(open_site))
        by_link = f"/graphql?{_forged('BY_LINK')}"
        open_site.ask(OPERATOR, method="GET", path=by_link, Accept="*/*")
        by_form = f"/graphql?{_forged('BY_FORM')}"
        open_site.ask(OPERATOR, path=by_form, Content_Type="text/plain")
        open_site.ask(
            OPERATOR, body=json.dumps({"query": ADD % "BY_ORIGIN"}),
            Content_Type="application/json", Origin="https://evil.example",
        )  # fmt: skip
    assert {"BY_LINK", "BY_FORM", "BY_ORIGIN"} <= site.partitions()


def test_the_pages_come_whole_and_say_what_browsers_are_to_hold_to(site: Site) -> None:
    for user in (OPERATOR, VIEWER):
        page = site.ask(user, method="GET", path="/assets/sales/redshift_table")
        assert page.status_code == 200
        assert page.headers["X-Frame-Options"] == "DENY"
        assert page.headers["X-Content-Type-Options"] == "nosniff"
        assert page.headers["Strict-Transport-Security"] == "max-age=31536000"
        assert page.headers["Referrer-Policy"] == "same-origin"
        assert "script-src" in page.headers["Content-Security-Policy"]  # Dagster's own
        assert "nginx/" not in page.headers["Server"]
        script = page.text.partition('src="')[2].partition('"')[0]
        loaded = site.ask(user, method="GET", path=script)
        assert loaded.status_code == 200
        assert loaded.headers["Content-Type"].startswith(("text/javascript", "application/java"))


class _Echo(BaseHTTPRequestHandler):
    """Answers with the headers that it got."""

    def do_GET(self) -> None:
        body = json.dumps(dict(self.headers)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def test_the_webserver_is_told_who_asks_and_not_the_password(small: Small) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_address[1]
        with Nginx({"3000": port, "3001": port}, dict([OPERATOR]), []) as nginx:
            echoing = Site(nginx, small, port, port)
            until(lambda: _answers(echoing))
            got = echoing.ask(
                OPERATOR, method="GET", path="/", X_Forwarded_User="root", X_Forwarded_For="9.9.9.9"
            ).json()
        server.shutdown()
    assert "Authorization" not in got
    assert (got["X-Forwarded-User"], got["X-Forwarded-For"]) == ("ann", "127.0.0.1")
    assert (got["Host"], got["X-Forwarded-Proto"]) == (HOST, "https")


def test_large_answers_and_large_requests_pass(site: Site) -> None:
    everything = "{ __schema { types { name description fields { name description type { name"
    everything += " ofType { name } } args { name description } } } } }"
    found = site.graphql(OPERATOR, everything)
    assert len(json.dumps(found)) > 300_000  # more than the proxy's buffers hold
    comment = "#" * (5 << 20)
    assert site.graphql(OPERATOR, f"{QUERY} {comment}")["version"]
    body = json.dumps({"query": f"{QUERY} {'#' * (11 << 20)}"})
    refused = site.ask(OPERATOR, body=body, Content_Type="application/json")
    assert refused.status_code == 413


def test_plain_http_leads_to_tls_and_another_name_nowhere(site: Site) -> None:
    plain = requests.get(
        f"http://127.0.0.1:{site.nginx.plain_port}/runs?a=b", headers={"Host": HOST},
        allow_redirects=False, timeout=30,
    )  # fmt: skip
    assert (plain.status_code, plain.headers["Location"]) == (301, f"{ORIGIN}/runs?a=b")
    rebound = site.ask(OPERATOR, method="GET", path="/", Host="evil.example")
    assert rebound.status_code == 421


def test_the_pages_are_told_of_changes_over_a_websocket(site: Site) -> None:
    for user in (OPERATOR, VIEWER):
        assert asyncio.run(talk(site, user, LOCATION)) == ["connection_ack"]


def test_a_websocket_needs_a_log_in_and_the_sites_own_origin(site: Site) -> None:
    for user, origin, status in (
        (None, ORIGIN, 401),
        ((OPERATOR[0], "wrong"), ORIGIN, 401),
        (OPERATOR, "https://evil.example", 403),
    ):
        with pytest.raises(InvalidStatus) as refused:
            asyncio.run(talk(site, user, LOCATION, origin=origin))
        assert refused.value.response.status_code == status


def test_a_mutation_over_a_websocket_changes_nothing(site: Site) -> None:
    said = asyncio.run(talk(site, OPERATOR, ADD % "BY_SOCKET", answers=2))
    assert said == ["connection_ack", "error"]
    assert "BY_SOCKET" not in site.partitions()
