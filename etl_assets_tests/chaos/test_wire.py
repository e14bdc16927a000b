"""Connections are refused, cut, ended early, held up: no record may be lost by it.

A clean run shows what is said over the wire; then each fault at each place of it. Whatever
comes of it, the table holds one load, whole, that of the ledger, and a second try without a
fault gives exactly what was put into the source.
"""

import datetime as dt
from collections.abc import Callable
from dataclasses import replace

import pytest
from botocore.config import Config

from etl_assets.core.errors import RegistryError, TransientError
from etl_assets.core.rules.versions import base_of, current_of
from etl_assets.systems import aws
from etl_assets.systems.registry_dynamodb import DynamoDBRegistry
from etl_assets.systems.staging_s3 import S3Staging
from etl_assets_tests.chaos.figures import Figures
from etl_assets_tests.chaos.wire import Fault, Turn, Wire
from etl_assets_tests.chaos.wires import (
    Attempt,
    Wired,
    WiredMysql,
    WiredRedshift,
    WiredS3,
    faults,
    few,
)
from etl_assets_tests.servers import MariaDBServer
from etl_assets_tests.small import Small
from etl_assets_tests.standins.s3 import S3Standin
from etl_assets_tests.systems.redshift_server import Redshift

pytest_plugins = ["etl_assets_tests.systems.redshift_fixtures"]

SHORT = 4
"""Faults per walk in the short form."""

AT = dt.datetime(2026, 11, 24, 23, tzinfo=dt.UTC)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """boto3 waits for an answer for a second instead of a minute."""
    request.getfixturevalue("no_backoff")
    plain = aws._config

    def config(attempts: int, *, path_style: bool) -> Config:
        return plain(attempts, path_style=path_style).merge(Config(read_timeout=1))

    monkeypatch.setattr(aws, "_config", config)


def walk(
    said: Callable[[], list[Turn]],
    check: Callable[[Fault], None],
    name: str,
    figures: Figures,
    *,
    stalls: bool,
    long_form: bool,
) -> None:
    """Run a check under every fault, or under some of every kind."""
    found = list(faults(said(), stalls=stalls))
    assert len({fault.kind for fault in found}) == 5 + stalls
    for fault in found if long_form else few(found, SHORT):
        check(fault)
        figures.add(f"faults on the wire to {name}")


def said_by(wired: Wired) -> list[Turn]:
    """Return what a clean run says."""
    Attempt().go(wired.settings(wired.port))  # makes the tables, which is said only once
    wired.change()
    with Wire(wired.port).running() as wire:
        Attempt().go(wired.settings(wire.port))
    assert wired.rows() == wired.oracle()
    assert len(wire.turns) > 3
    return wire.turns


def survive(wired: Wired, fault: Fault, *, hidden: bool = False) -> None:
    """Check what holds after a load under a fault, and after a second try.

    Args:
        wired: The platform.
        fault: What happens.
        hidden: Whether a single fault must go unnoticed, because requests are tried again.
    """
    before, loads = wired.oracle(), wired.loads()
    wired.change()
    attempt, failed = Attempt(), ""
    with Wire(wired.port, fault).running() as wire:
        try:
            attempt.go(wired.settings(wire.port))
        except TransientError as error:  # and no other: the reason is gone with the fault
            failed = str(error)
    assert wire.fired, f"{fault} did not happen"
    assert not failed or fault.kind != "late", failed
    assert not failed or not hidden or fault.kind == "down", f"{fault}: {failed}"
    assert wired.rows() in ([before, wired.oracle()] if failed else [wired.oracle()]), fault
    attempt.go(wired.settings(wired.port))
    assert wired.rows() == wired.oracle()
    assert wired.loads() == loads + 1, "loaded twice"


def test_no_fault_on_the_wire_to_mysql_loses_a_record(
    small: Small, mariadb: MariaDBServer, figures: Figures, *, long_form: bool
) -> None:
    wired = WiredMysql(small, server=mariadb)
    walk(
        lambda: said_by(wired), lambda fault: survive(wired, fault), "MySQL", figures,
        stalls=True, long_form=long_form,
    )  # fmt: skip


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("attempts", [1, 3])
def test_no_fault_on_the_wire_to_s3_loses_a_record(
    small: Small, s3_place: aws.Place, figures: Figures, attempts: int, *, long_form: bool
) -> None:
    wired = WiredS3(small, place=s3_place, attempts=attempts)
    walk(
        lambda: said_by(wired), lambda fault: survive(wired, fault, hidden=attempts > 1), "S3",
        figures, stalls=True, long_form=long_form,
    )  # fmt: skip


def test_no_fault_on_the_wire_to_redshift_loses_a_record(
    small: Small, redshift: Redshift, figures: Figures, *, long_form: bool
) -> None:
    wired = WiredRedshift(small, redshift=redshift)
    walk(
        lambda: said_by(wired), lambda fault: survive(wired, fault), "Redshift", figures,
        stalls=False, long_form=long_form,
    )  # fmt: skip


def reached_at(registry: DynamoDBRegistry, port: int, attempts: int) -> DynamoDBRegistry:
    """Return the registry at another port."""
    place = replace(registry.place, endpoint_url=f"http://127.0.0.1:{port}")
    return DynamoDBRegistry(place, ["sales"], attempts=attempts, pause=lambda _seconds: None)


def server_port(registry: DynamoDBRegistry) -> int:
    return int(str(registry.place.endpoint_url).rpartition(":")[2])


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("attempts", [1, 3])
def test_a_registry_read_under_a_fault_is_whole_or_no_registry(
    filled_registry: DynamoDBRegistry, figures: Figures, attempts: int, *, long_form: bool
) -> None:
    port, whole = server_port(filled_registry), filled_registry.read()

    def said() -> list[Turn]:
        with Wire(port).running() as wire:
            assert reached_at(filled_registry, wire.port, attempts).read() == whole
        return wire.turns

    def check(fault: Fault) -> None:
        failed = ""
        with Wire(port, fault).running() as wire:
            try:
                assert reached_at(filled_registry, wire.port, attempts).read() == whole
            except TransientError as error:
                failed = str(error)
        assert wire.fired
        assert not failed or fault.kind != "late"
        assert not failed or attempts == 1 or fault.kind == "down", f"{fault}: {failed}"

    walk(said, check, "DynamoDB", figures, stalls=True, long_form=long_form)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("attempts", [1, 3])
def test_rules_published_under_a_fault_are_one_version_or_none(
    filled_registry: DynamoDBRegistry, figures: Figures, attempts: int, *, long_form: bool
) -> None:
    port = server_port(filled_registry)

    def publish(registry: DynamoDBRegistry, over: int) -> None:
        text = f"rules:\n  - {{id: some, kind: filter, keep: quantity < {over + 5}}}\n"
        registry.publish_rules("sales", text, over=over, by="bert", at=AT, comment="So.")

    def said() -> list[Turn]:
        publish(filled_registry, 0)
        with Wire(port).running() as wire:
            publish(reached_at(filled_registry, wire.port, attempts), 1)
        return wire.turns

    def check(fault: Fault) -> None:
        before = filled_registry.rule_versions("sales")
        over, failed = base_of(before), ""
        with Wire(port, fault).running() as wire:
            try:
                publish(reached_at(filled_registry, wire.port, attempts), over)
            except TransientError as error:
                failed = str(error)
        assert wire.fired
        assert not failed or fault.kind != "late"
        published = len(filled_registry.rule_versions("sales")) > len(before)
        assert published or failed
        if published:  # also when nobody was told: the second try then says whose it is
            with pytest.raises(RegistryError, match="bert"):
                publish(filled_registry, over)
        else:
            publish(filled_registry, over)
        after = filled_registry.rule_versions("sales")
        current = current_of(after)
        assert current
        assert f"quantity < {over + 5}" in current.text
        assert [v.version for v in after] == list(range(over + 1, 0, -1))
        assert not any(version.fault for version in after)

    walk(said, check, "DynamoDB (publishing)", figures, stalls=True, long_form=long_form)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("left", [0.7, 1.0])
def test_an_answer_of_aws_that_broke_off_is_not_taken_for_an_empty_one(
    filled_registry: DynamoDBRegistry, s3_staging: S3Staging, left: float
) -> None:
    """boto3 does: half a JSON document is {} to it, and headers without an end are all there are.

    An object is read again by ourselves, so that of a single fault nothing is noticed there.
    """
    s3_staging.put_text("a", "content")
    s3_port = int(str(s3_staging.place.endpoint_url).rpartition(":")[2])

    def stored(port: int) -> S3Staging:
        place = replace(s3_staging.place, endpoint_url=f"http://127.0.0.1:{port}")
        return S3Staging(place, attempts=1)

    reads: list[tuple[int, Callable[[int], object]]] = [
        (server_port(filled_registry), lambda port: reached_at(filled_registry, port, 1).read()),
        (s3_port, lambda port: stored(port).objects()),
    ]
    for server, read in reads:
        with Wire(server).running() as wire:
            assert read(wire.port)
        turn = wire.turns[1]
        fault = Fault("end", turn.link, turn.number, min(int(turn.size * left), turn.size - 1))
        with Wire(server, fault).running() as wire, pytest.raises(TransientError):
            read(wire.port)
        assert wire.fired
    with Wire(s3_port).running() as wire:
        assert stored(wire.port).read_text("a") == "content"
    turn = wire.turns[1]
    fault = Fault("end", turn.link, turn.number, min(int(turn.size * left), turn.size - 1))
    with Wire(s3_port, fault).running() as wire:
        assert stored(wire.port).read_text("a") == "content"
    assert wire.fired


def test_a_fault_that_loses_records_would_be_noticed(
    small: Small, s3_server: S3Standin, redshift: Redshift
) -> None:
    """Planted: a record is removed behind the load's back."""
    del s3_server
    wired = WiredRedshift(small, redshift=redshift)
    Attempt().go(wired.settings(wired.port))
    assert wired.rows() == wired.oracle()
    redshift.run("DELETE FROM sales WHERE sale_id = 3")
    with pytest.raises(AssertionError):
        wired.rows()
