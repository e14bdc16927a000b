"""The pages behind the documented nginx, asked as a browser would."""

import base64
import json
import ssl
from dataclasses import dataclass
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from websockets.asyncio.client import connect
from websockets.typing import Origin, Subprotocol

from etl_assets_tests.command_line import CommandLine
from etl_assets_tests.nginx import HOST, Nginx
from etl_assets_tests.small import Small

ORIGIN = f"https://{HOST}"


class _Named(HTTPAdapter):
    """Reaches the name in the certificate at the port on this machine."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        super().init_poolmanager(*args, server_hostname=HOST, assert_hostname=HOST, **kwargs)


@dataclass
class Site:
    """The pages behind nginx, and the ports of the two webservers themselves."""

    nginx: Nginx
    small: Small
    operator_port: int
    viewer_port: int

    def ask(
        self,
        user: tuple[str, str] | None = None,
        *,
        method: str = "POST",
        path: str = "/graphql",
        body: bytes | str | None = None,
        **headers: str,
    ) -> requests.Response:
        """Send a request as a browser on the site's own page would, unless headers say else."""
        session = requests.Session()
        session.mount("https://", _Named())
        session.trust_env = False
        named = {name.replace("_", "-"): value for name, value in headers.items() if value}
        return session.request(
            method,
            f"https://127.0.0.1:{self.nginx.port}{path}",
            headers={"Host": HOST, **named},
            data=body.encode() if isinstance(body, str) else body,
            auth=user,
            verify=str(self.nginx.certificate),
            allow_redirects=False,
        )

    def graphql(self, user: tuple[str, str], query: str, **headers: str) -> Any:  # noqa: ANN401
        """Return what an operation gives, sent as the UI does."""
        answer = self.ask(
            user, body=json.dumps({"query": query}), Content_Type="application/json",
            **{"Origin": ORIGIN, **headers},
        )  # fmt: skip
        assert answer.status_code == 200, (answer.status_code, answer.text)
        return answer.json()["data"]

    def partitions(self) -> set[str]:
        """Return the partitions there are."""
        with CommandLine.of(self.small).instance() as instance:
            return set(instance.get_dynamic_partitions("campaigns"))


async def talk(
    site: Site,
    user: tuple[str, str] | None,
    query: str,
    *,
    origin: str = ORIGIN,
    answers: int = 1,
) -> list[str]:
    """Open a WebSocket as the UI does; return the types of the first answers."""
    context = ssl.create_default_context(cafile=str(site.nginx.certificate))
    headers = {}
    if user:
        told = base64.b64encode(":".join(user).encode()).decode()
        headers["Authorization"] = f"Basic {told}"
    said: list[str] = []
    async with connect(
        f"wss://{HOST}/graphql", host="127.0.0.1", port=site.nginx.port, ssl=context,
        origin=Origin(origin), subprotocols=[Subprotocol("graphql-ws")], additional_headers=headers, proxy=None,
    ) as socket:  # fmt: skip
        await socket.send(json.dumps({"type": "connection_init", "payload": {}}))
        await socket.send(json.dumps({"id": "1", "type": "start", "payload": {"query": query}}))
        while len(said) < answers:
            said.append(json.loads(await socket.recv())["type"])
    return said
