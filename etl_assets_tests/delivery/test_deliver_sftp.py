"""Files on an SFTP server: whole or not there, only on a server that is known.

At risk: a file that a partner takes half, or that goes to somebody else's server.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from etl_assets.core.errors import PermanentError, TransientError
from etl_assets.systems.deliver_sftp import SftpDestination, SftpUrl
from etl_assets.systems.delivering import Login
from etl_assets_tests.delivery.sftp import SftpServer
from etl_assets_tests.servers import free_port


@pytest.fixture(scope="module")
def server() -> Iterator[SftpServer]:
    """A server of OpenSSH's."""
    with SftpServer() as server:
        yield server


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A finished file."""
    made = tmp_path / "made"
    made.write_bytes(b"0123456789" * 100_000)
    return made


def destination(server: SftpServer, url: str = "", key: str = "user_key") -> SftpDestination:
    login = Login(key_file=str(server.folder / key))
    return SftpDestination(SftpUrl.parse(url or server.url()), login)


def test_a_file_replaces_the_one_that_is_there(server: SftpServer, file: Path) -> None:
    target = destination(server, server.url(server.files / "deep" / "er"))
    target.put("a.csv", file)
    there = server.files / "deep" / "er" / "a.csv"
    assert there.read_bytes() == file.read_bytes()
    file.write_bytes(b"other")
    target.put("a.csv", file)
    assert there.read_bytes() == b"other"
    assert [found.name for found in there.parent.iterdir()] == ["a.csv"]
    assert target.uri("a.csv").endswith(f":{server.port}{there}")


def test_what_was_abandoned_goes_after_a_day(server: SftpServer, file: Path) -> None:
    server.files.mkdir(exist_ok=True)
    old, young, other = (
        server.files / name for name in (".b.csv.1.part", ".b.csv.2.part", ".c.csv.1.part")
    )
    for left in (old, young, other):
        left.write_text("half")
    for left in (old, other):
        os.utime(left, (time.time() - 90_000,) * 2)
    destination(server).put("b.csv", file)
    assert [left.exists() for left in (old, young, other)] == [False, True, True]


def test_a_server_with_another_key_gets_nothing(server: SftpServer, file: Path) -> None:
    url = server.url(host_key="SHA256:" + "A" * 43)
    with pytest.raises(PermanentError, match="the server's key is another than the known one"):
        destination(server, url).put("never.csv", file)
    assert not (server.files / "never.csv").exists()


def test_a_server_that_nobody_knows_gets_nothing(
    server: SftpServer, file: Path, tmp_path: Path
) -> None:
    url = server.url().partition("?")[0]
    known = tmp_path / "known_hosts"
    with pytest.raises(PermanentError, match=r"key is not known.*ssh-keyscan"):
        destination(server, f"{url}?known_hosts={known}").put("never.csv", file)
    key = (server.folder / "host_key.pub").read_text().split()[:2]
    known.write_text(f"[127.0.0.1]:{server.port} {' '.join(key)}\n")
    destination(server, f"{url}?known_hosts={known}").put("known.csv", file)
    assert (server.files / "known.csv").exists()


def test_a_login_that_is_refused_says_so(server: SftpServer, file: Path) -> None:
    with pytest.raises(PermanentError, match=r"refused the login of .* Check the feed's password"):
        destination(server, key="other_key").put("a.csv", file)


def test_a_folder_that_cannot_be_written_says_so(server: SftpServer, file: Path) -> None:
    (server.files).mkdir(exist_ok=True)
    (server.files / "plain").write_text("a file")
    with pytest.raises(PermanentError, match="is no folder"):
        destination(server, server.url(server.files / "plain")).put("a.csv", file)
    with pytest.raises(PermanentError, match=r"Writing sftp://.* failed"):
        destination(server, server.url(Path("/proc/nothing"))).put("a.csv", file)


def test_a_server_that_cannot_be_reached_is_tried_again(server: SftpServer, file: Path) -> None:
    url = server.url().replace(f":{server.port}/", f":{free_port()}/")
    with pytest.raises(TransientError, match="failed"):
        destination(server, url).put("a.csv", file)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("sftp://u:secret@h/f", "carries a password"),
        ("sftp://h/f", "lacks user"),
        ("sftp://u@h", "lacks user, host or folder"),
        ("sftp://u@h/f?key=1", "unknown option `key`"),
        ("sftp://u@h/f?host_key=md5:1", "no fingerprint"),
    ],
)
def test_a_url_that_is_not_clear_is_refused(url: str, problem: str) -> None:
    with pytest.raises(PermanentError, match=problem) as caught:
        SftpUrl.parse(url)
    assert "secret" not in str(caught.value)
