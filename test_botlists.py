"""The specification of botlists, and a sandbox of DBots and LBots to try it on.

    python -m pytest                              check every promise
    python test_botlists.py                       see every call, without an account or a network
    python test_botlists.py --serve [PORT]        keep the sandbox up, for a script of one's own

The sandbox behaves as the documents of the two services say. Tests that need a server to misbehave
use Peer, which sends just the bytes that it is told to.
"""

from __future__ import annotations

import argparse
import base64
import collections
import contextlib
import functools
import gc
import gzip
import inspect
import io
import itertools
import json
import logging
import os
import pickle
import re
import runpy
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import textwrap
import threading
import time
import traceback
import types
import warnings
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Callable, Iterator, NamedTuple, Union

import pytest
import urllib3
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

import botlists
from botlists import DBotsClient, LBotsClient

HERE = Path(__file__).resolve().parent
BOT = "264811613708746752"
FAN = 367330084337745920  # a user who has favourited the bot
STRANGER = 145557815287611393  # one who has not

# The sandbox


class Received(NamedTuple):
    """A request as a server saw it."""

    at: float
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body.decode())


class Refusal(Exception):
    """What a handler of the sandbox raises to answer with an error."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(status, reason)
        self.status = status
        self.reason = reason


class Sandbox(HTTPServer):
    """Both services on one port, with one bot on each, and a state that calls really change."""

    def __init__(self, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        super().__init__("127.0.0.1", port, ssl_context=tls)
        self.reset()
        self.expect_request(re.compile("")).respond_with_handler(self.respond)

    def reset(self) -> None:
        self.received: list[Received] = []
        self.user_key = "dbots-user-key"
        self.other_key = "dbots-key-of-somebody-else"
        self.dbots_token = "dbots-token-1"
        self.guild_count = 0
        self.vote_webhook_url: str | None = None
        self.changes: list[dict[str, Any]] = []
        self.lbots_token = "lbots-token-1"
        self.shards: dict[Any, int] = {}  # None: a post without a shard
        self.favourites = {FAN: datetime(2019, 1, 21, 1, 19, 38, tzinfo=timezone.utc)}
        self.windows: dict[str, list[float]] = {"stats": [], "favourites": []}

    @property
    def dbots_url(self) -> str:
        return self.url_for("/dbots/api/v1")

    @property
    def lbots_url(self) -> str:
        return self.url_for("/lbots/api/v1")

    def respond(self, request: Request) -> Response:
        self.received.append(
            Received(
                time.monotonic(),
                request.method,
                request.path,
                dict(request.headers),
                request.get_data(),
            )
        )
        # Behind a proxy the services have hosts of their own, here they have paths.
        lbots = request.path.startswith("/lbots/") or request.host.startswith("lbots.")
        path = re.sub("^(/[dl]bots)?/api/v1", "", request.path)
        routes = self.LBOTS if lbots else self.DBOTS
        answer: dict[str, Any] = {"status_code": 200, "success": True} if lbots else {}
        try:
            for method, pattern, handler in routes:
                match = re.fullmatch(pattern, path)
                if match and method == request.method:
                    answer.update(handler(self, request, *match.groups()))
                    return self.answer(200, answer)
            if not lbots:  # the site's page, whatever is asked for
                return Response("<!doctype html><title>DBots</title>", content_type="text/html")
            raise Refusal(404, "Not Found")
        except Refusal as refusal:
            if lbots:
                answer = {"status_code": refusal.status, "success": False, "error": refusal.reason}
            else:
                answer = {"message": refusal.reason}
            return self.answer(refusal.status, answer)

    @staticmethod
    def answer(status: int, document: dict[str, Any]) -> Response:
        return Response(json.dumps(document), status, content_type="application/json")

    # DBots

    def check_dbots_token(self, request: Request, bot: str) -> None:
        if bot != BOT:
            raise Refusal(404, "Not found")
        if request.headers.get("Authorization") != self.dbots_token:
            raise Refusal(401, "Unauthorized")

    def check_user_key(self, request: Request, bot: str) -> None:
        key = request.headers.get("Authorization")
        if key not in (self.user_key, self.other_key):
            raise Refusal(401, "Unauthorized")
        if key == self.other_key or bot != BOT:
            raise Refusal(400, "Bot not manageable")

    def dbots_stats(self, request: Request, bot: str) -> dict[str, Any]:
        self.check_dbots_token(request, bot)
        self.guild_count = json.loads(request.get_data())["guildCount"]
        return {"guildCount": self.guild_count}

    def dbots_log(self, request: Request, bot: str) -> dict[str, Any]:
        self.check_user_key(request, bot)
        return {"_id": BOT, "changes": self.changes, "analytics": {}}

    def dbots_regen(self, request: Request, bot: str) -> dict[str, Any]:
        self.check_user_key(request, bot)
        self.dbots_token = f"dbots-token-{int(self.dbots_token[12:]) + 1}"
        return {"token": self.dbots_token}

    def dbots_api(self, request: Request, bot: str) -> dict[str, Any]:
        self.check_user_key(request, bot)
        url = self.vote_webhook_url
        return {"_id": BOT, "token": self.dbots_token, "voteWebhookURL": url, "__v": 0}

    def dbots_edit(self, request: Request, bot: str) -> dict[str, Any]:
        self.check_user_key(request, bot)
        old, new = self.vote_webhook_url, json.loads(request.get_data())["voteWebhookURL"]
        self.vote_webhook_url = new
        now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        states = {"old": {"voteWebhookURL": old}, "new": {"voteWebhookURL": new}}
        self.changes.append({"at": now, "by": "145557815287611393", "changes": states})
        return self.dbots_api(request, bot)

    DBOTS = (
        ("POST", "/bots/([^/]+)/stats", dbots_stats),
        ("GET", "/bots/([^/]+)/log", dbots_log),
        ("GET", "/bots/([^/]+)/keys/regen", dbots_regen),
        ("GET", "/bots/([^/]+)/api", dbots_api),
        ("PATCH", "/bots/([^/]+)/api", dbots_edit),
    )

    # LBots

    def check_lbots_token(self, request: Request, bot: str) -> None:
        if request.headers.get("Authorization") != self.lbots_token:
            raise Refusal(401, "Unauthorized")
        if bot != BOT:
            raise Refusal(404, "Bot does not exist")

    def check_limit(self, endpoint: str, calls: int, seconds: float) -> None:
        now = time.monotonic()
        window = [at for at in self.windows[endpoint] if now - at < seconds]
        self.windows[endpoint] = [*window, now]
        if len(window) >= calls:
            raise Refusal(429, "Too Many Requests")

    def lbots_stats(self, request: Request, bot: str) -> dict[str, Any]:
        self.check_lbots_token(request, bot)
        self.check_limit("stats", 20, 5)
        stats = json.loads(request.get_data())
        numbers = [stats.get(key, 0) for key in ("guild_count", "shard_id", "shard_count")]
        if "guild_count" not in stats or any(type(number) is not int for number in numbers):
            raise Refusal(400, "Invalid post data")
        self.shards[stats.get("shard_id")] = stats["guild_count"]
        return {}

    def lbots_favourites(self, request: Request, bot: str) -> dict[str, Any]:
        self.check_lbots_token(request, bot)
        self.check_limit("favourites", 3, 4)
        return {"favourites": len(self.favourites), "favorites": len(self.favourites)}

    def lbots_favourited(self, request: Request, bot: str, user: str) -> dict[str, Any]:
        self.check_lbots_token(request, bot)
        at = self.favourites.get(int(user))
        return {
            "userid": int(user),
            "time": at and http_date(at),
            "favourited": at is not None,
            "favorited": at is not None,
        }

    def lbots_invalidate(self, request: Request, bot: str) -> dict[str, Any]:
        self.check_lbots_token(request, bot)
        self.lbots_token = f"lbots-token-{int(self.lbots_token[12:]) + 1}"
        return {}

    LBOTS = (
        ("POST", "/bots/([^/]+)/stats", lbots_stats),
        ("GET", "/bots/([^/]+)/favou?rites", lbots_favourites),
        ("GET", "/bots/([^/]+)/favou?rites/user/([0-9]+)", lbots_favourited),
        ("GET", "/bots/([^/]+)/invalidate", lbots_invalidate),
    )

    @property
    def total(self) -> int:
        """The number of guilds that LBots shows: the sum of the shards, if any were posted."""
        sharded = [count for shard, count in self.shards.items() if shard is not None]
        return sum(sharded) if sharded else self.shards.get(None, 0)


# Servers that do what they are told


Answer = Union[bytes, Callable[[socket.socket], None]]


def answer(status: int = 200, body: Any = b"", reason: str = "Said So", **headers: str) -> bytes:
    """The bytes of an HTTP answer; `body` is sent as JSON unless it's bytes."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = {"Content-Length": str(len(content))}
    fields.update((name.replace("_", "-"), value) for name, value in headers.items())
    lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {text}" for name, text in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + content


def read_request(stream: Any) -> Received | None:
    """The next request on a connection, or None at its end."""
    first = stream.readline().split()
    if len(first) < 3:
        return None
    headers = {}
    for line in iter(stream.readline, b"\r\n"):
        name, _, value = line.decode("latin-1").partition(":")
        headers[name] = value.strip()
    body = stream.read(int(headers.get("Content-Length", 0)))
    return Received(time.monotonic(), first[0].decode(), first[1].decode(), headers, body)


class Server:
    """A loopback TCP server that hands each connection to `serve` in a thread of its own."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.tls = tls
        self.connections = 0
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(128)
        self.port = self.listener.getsockname()[1]
        self.sockets: list[socket.socket] = []
        self.ending = False
        self.acceptor = threading.Thread(target=self.accept, daemon=True)
        self.acceptor.start()

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}"

    def accept(self) -> None:
        while True:
            connection, _ = self.listener.accept()
            if self.ending:
                connection.close()
                return
            self.connections += 1
            self.sockets.append(connection)
            threading.Thread(target=self.run, args=(connection,), daemon=True).start()

    def run(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):  # a client may go away at any time
            if self.tls is not None:
                connection = self.tls.wrap_socket(connection, server_side=True)
                self.sockets.append(connection)
            with connection:
                self.serve(connection)

    def serve(self, connection: socket.socket) -> None:
        raise NotImplementedError

    def hang_up(self) -> None:
        """Close all connections, as a service does with idle ones."""
        for connection in self.sockets:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.sockets.clear()

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exc_info: object) -> None:
        # Awake, or it could go on to accept for the next server, whose socket has the same number.
        self.ending = True
        socket.create_connection(("127.0.0.1", self.port)).close()
        self.acceptor.join()
        self.listener.close()
        self.hang_up()


class Peer(Server):
    """Answers requests, on kept connections, with `answers` in turn and then with the last again.

    An answer is bytes to send, or a function of the socket. b"" closes the connection.
    """

    def __init__(self, *answers: Answer, tls: ssl.SSLContext | None = None) -> None:
        self.answers = collections.deque(answers)
        self.ended = threading.Event()  # a client has closed a connection
        self.received: list[Received] = []
        self.lock = threading.Lock()
        super().__init__(tls)

    def serve(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as stream:
            for request in iter(lambda: read_request(stream), None):
                with self.lock:
                    self.received.append(request)
                    more = len(self.answers) > 1
                    said = self.answers.popleft() if more else self.answers[0]
                if said == b"":
                    return
                if isinstance(said, bytes):
                    connection.sendall(said)
                else:
                    said(connection)
        self.ended.set()


class Proxy(Server):
    """A proxy: CONNECT and absolute URLs, with `hosts` resolved as told, and a password if told."""

    def __init__(self, hosts: dict[str, int] | None = None, password: str | None = None) -> None:
        self.hosts = hosts or {}
        self.password = password
        self.received: list[Received] = []
        super().__init__()

    def serve(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as stream:
            request = read_request(stream)
        if request is None:
            return
        self.received.append(request)
        if self.password and request.headers.get("Proxy-Authorization") != self.password:
            connection.sendall(answer(407, reason="Who Are You"))
            return
        where = request.path.replace("http://", "").split("/")[0]
        port = self.hosts.get(where) or int(where.split(":")[1])
        with socket.create_connection(("127.0.0.1", port)) as target:
            if request.method == "CONNECT":
                connection.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
            else:
                path = "/" + request.path.split("/", 3)[3]
                headers = {**request.headers, "Proxy-Authorization": ""}  # its own, not passed on
                lines = [f"{name}: {value}" for name, value in headers.items() if value]
                head = "\r\n".join([f"{request.method} {path} HTTP/1.1", *lines, "", ""])
                target.sendall(head.encode() + request.body)
            back = threading.Thread(target=pump, args=(target, connection), daemon=True)
            back.start()
            pump(connection, target)
            back.join()


def pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        for data in iter(lambda: source.recv(65536), b""):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:  # a reset is passed on
        reset(sink)


def reset(connection: socket.socket) -> None:
    """Close without a farewell, so that the other side meets a ConnectionResetError."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RD)
    connection.close()


# A test authority, and certificates of it for two hosts with one key, until 2120.

AUTHORITY = """
-----BEGIN CERTIFICATE-----
MIIBiTCCATCgAwIBAgIUOt+Hd4SNk+O4CdKaEvDZlMJCAhUwCgYIKoZIzj0EAwIw
IjEgMB4GA1UEAwwXYm90bGlzdHMgdGVzdCBhdXRob3JpdHkwIBcNMjAwMTAxMDAw
MDAwWhgPMjEyMDAxMDEwMDAwMDBaMCIxIDAeBgNVBAMMF2JvdGxpc3RzIHRlc3Qg
YXV0aG9yaXR5MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEzjA8SItqRISXmjab
9fGJA4EU5eIb6sgNp67wLULJAYKQP/TKdHvZuqQVEV0uDFL0TVUzRARhS1YZB1qy
EO6JJ6NCMEAwHQYDVR0OBBYEFN5Ow0xY9US0DTR6k+iMdrqef93GMA8GA1UdEwEB
/wQFMAMBAf8wDgYDVR0PAQH/BAQDAgEGMAoGCCqGSM49BAMCA0cAMEQCIDDi9igx
cRF0LfZUCX0UJTech4xwJx9kNJZzyr/X9tiOAiAhIQkKJnK7+xogEbsebszr1bww
JH90I5tXX6E7BuGmHw==
-----END CERTIFICATE-----
"""
CERTIFICATE = """
-----BEGIN CERTIFICATE-----
MIIB5zCCAYygAwIBAgIUe2lNxPsnruekLySa+UPBwS4B5EcwCgYIKoZIzj0EAwIw
IjEgMB4GA1UEAwwXYm90bGlzdHMgdGVzdCBhdXRob3JpdHkwIBcNMjAwMTAxMDAw
MDAwWhgPMjEyMDAxMDEwMDAwMDBaMBgxFjAUBgNVBAMMDWJvdGxpc3RzIHRlc3Qw
WTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAASkzg51dUAmccuUkzybH5tRj5j2N6Fd
uUrnaPxWipIDjnw1T8XqG2pT++dKYe9MIhFA42FTtoVnmSD//6XMyKtwo4GnMIGk
MB0GA1UdDgQWBBTFrn53apeKUmt9Q+vhrkek/m5j5jAMBgNVHRMBAf8EAjAAMA4G
A1UdDwEB/wQEAwIHgDATBgNVHSUEDDAKBggrBgEFBQcDATAfBgNVHSMEGDAWgBTe
TsNMWPVEtA00epPojHa6nn/dxjAvBgNVHREEKDAmgglsb2NhbGhvc3SCCGRib3Rz
LmNvgglsYm90cy5vcmeHBH8AAAEwCgYIKoZIzj0EAwIDSQAwRgIhAPWIYRH0saw/
OH+gsoDDiETDpBFLj/0C6yEnnZ/MgiOSAiEA1gZ983VT6r/Tk+m9Hl5SMdXVUZM9
2ta6tv/XYIR5UQY=
-----END CERTIFICATE-----
"""
OTHER_CERTIFICATE = """
-----BEGIN CERTIFICATE-----
MIIBzjCCAXSgAwIBAgIUPGatSOmvxogE85uAgq7tjcujLRswCgYIKoZIzj0EAwIw
IjEgMB4GA1UEAwwXYm90bGlzdHMgdGVzdCBhdXRob3JpdHkwIBcNMjAwMTAxMDAw
MDAwWhgPMjEyMDAxMDEwMDAwMDBaMBcxFTATBgNVBAMMDGFub3RoZXIgaG9zdDBZ
MBMGByqGSM49AgEGCCqGSM49AwEHA0IABKTODnV1QCZxy5STPJsfm1GPmPY3oV25
Sudo/FaKkgOOfDVPxeobalP750ph70wiEUDjYVO2hWeZIP//pczIq3CjgZAwgY0w
HQYDVR0OBBYEFMWufndql4pSa31D6+GuR6T+bmPmMAwGA1UdEwEB/wQCMAAwDgYD
VR0PAQH/BAQDAgeAMBMGA1UdJQQMMAoGCCsGAQUFBwMBMB8GA1UdIwQYMBaAFN5O
w0xY9US0DTR6k+iMdrqef93GMBgGA1UdEQQRMA+CDW90aGVyLmV4YW1wbGUwCgYI
KoZIzj0EAwIDSAAwRQIgEaR8U0kNJxcloOgPIeMb+4P54me6JbmEZVeJUjunCewC
IQCmyWFQAuB+IfmNMGQXdyEGwXXzc8JrRJ3g88ducCsuJg==
-----END CERTIFICATE-----
"""
KEY = """
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQghKXjL3K+wC6rQbvi
koEMgMgbEFFXK7ruQPl8jXou6O+hRANCAASkzg51dUAmccuUkzybH5tRj5j2N6Fd
uUrnaPxWipIDjnw1T8XqG2pT++dKYe9MIhFA42FTtoVnmSD//6XMyKtw
-----END PRIVATE KEY-----
"""


def tls_context(folder: Path, certificate: str = CERTIFICATE) -> ssl.SSLContext:
    """A server's context; the certificate is for localhost, 127.0.0.1, dbots.co and lbots.org."""
    file = folder / "server.pem"
    file.write_text(certificate + KEY)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(str(file))
    return context


# Fixtures


@pytest.fixture(scope="session")
def server() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(server: Sandbox) -> Sandbox:
    server.reset()
    return server


@pytest.fixture
def dbots(sandbox: Sandbox) -> Iterator[DBotsClient]:
    with DBotsClient(
        BOT, sandbox.dbots_token, user_key=sandbox.user_key, base_url=sandbox.dbots_url
    ) as client:
        yield client


@pytest.fixture
def lbots(sandbox: Sandbox) -> Iterator[LBotsClient]:
    with LBotsClient(BOT, sandbox.lbots_token, base_url=sandbox.lbots_url) as client:
        yield client


@pytest.fixture(autouse=True)
def no_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy, certificate or secret of the machine's reaches a test."""
    names = {"all_proxy", "http_proxy", "https_proxy", "no_proxy", "request_method"}
    secrets = {"dbots_token", "dbots_user_key", "lbots_token", "ssl_cert_file", "ssl_cert_dir"}
    for name in list(os.environ):
        if name.lower() in names | secrets:
            monkeypatch.delenv(name)


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that botlists would have slept between attempts; it doesn't in fact."""
    slept: list[float] = []
    clock = types.SimpleNamespace(
        sleep=slept.append, time=time.time, monotonic=lambda: time.monotonic() + sum(slept)
    )
    monkeypatch.setattr(botlists, "time", clock)
    return slept


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """The ports on 127.0.0.1 that host names stand for; other names do not exist."""
    ports: dict[str, int] = {}
    resolve = socket.getaddrinfo

    def look_up(host: Any, port: Any, *rest: Any, **more: Any) -> Any:
        if host in ports:
            return resolve("127.0.0.1", ports[host], *rest, **more)
        if re.search("[a-z]", str(host)) and host != "localhost":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return resolve(host, port, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return ports


TOKEN = "a-t0ken/of.some+length="
KEY_OF_USER = "the-key-of-a-user"
DONE = {"status_code": 200, "success": True}


def dbots_at(server: Server, **options: Any) -> DBotsClient:
    return DBotsClient(BOT, TOKEN, user_key=KEY_OF_USER, base_url=server.url, **options)


def lbots_at(server: Server, **options: Any) -> LBotsClient:
    return LBotsClient(BOT, TOKEN, base_url=server.url, **options)


def text_of(error: BaseException) -> str:
    """All that a traceback shows, and the repr."""
    lines = traceback.format_exception(type(error), error, error.__traceback__)
    return "".join([*lines, repr(error)])


# Layout


def run(*command: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        text=True,
        cwd=str(cwd) if cwd else None,
        env={**os.environ, "PYTHONPATH": str(HERE), **env},
        timeout=60,
        check=False,
    )


def test_a_copy_in_any_package_works_unchanged(sandbox: Sandbox, tmp_path: Path) -> None:
    package = tmp_path / "bot" / "vendored"
    package.mkdir(parents=True)
    shutil.copy(str(HERE / "botlists.py"), str(package / "lists.py"))
    script = (
        "from bot.vendored import lists; import sys;"
        f"print(lists.DBotsClient({BOT}, 'dbots-token-1', base_url={sandbox.dbots_url!r})"
        ".post_stats(7), 'botlists' in sys.modules)"
    )
    done = run("-c", script, cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert (done.stdout, done.stderr) == ("7 False\n", "")


def test_only_urllib3_and_the_standard_library_are_imported() -> None:
    script = (
        "import sys, urllib3; before = set(sys.modules); import botlists;"
        "print([getattr(sys.modules[n], '__file__', None) for n in set(sys.modules) - before"
        " if n != 'botlists'])"
    )
    done = run("-c", script)
    assert done.stderr == ""
    shown = done.stdout.replace(os.path.dirname(urllib3.__file__), "")
    assert not re.search("(site|dist)-packages", shown)


def test_argparse_and_urllib_request_are_imported_only_when_needed() -> None:
    script = (
        "import sys, urllib3, botlists; botlists.DBotsClient(1, 't');"
        "print({'argparse', 'urllib.request'} & set(sys.modules))"
    )
    assert run("-c", script).stdout == "set()\n"


def test_it_works_where_there_is_no_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "register_at_fork")
    names = runpy.run_path(botlists.__file__)
    with Peer(GOOD) as peer:
        assert names["DBotsClient"](BOT, TOKEN, base_url=peer.url).post_stats(1) == 1


def test_all_names_exist_and_are_documented() -> None:
    assert set(botlists.__all__) >= {"DBotsClient", "LBotsClient", "BotListError", "Favourite"}
    for name in botlists.__all__:
        assert getattr(botlists, name).__doc__
    for client in (DBotsClient, LBotsClient):
        for name, member in vars(client).items():
            assert name.startswith("_") or member.__doc__


# Clients


def test_the_arguments_and_their_defaults() -> None:
    more = "timeout=10.0, retries=2, max_wait=30.0, pool=None"
    for client, arguments in (
        (DBotsClient, "bot_id, token=None, *, user_key=None, base_url='https://dbots.co/api/v1', "),
        (LBotsClient, "bot_id, token, *, base_url='https://lbots.org/api/v1', "),
    ):
        signature = inspect.signature(client)
        bare = [
            parameter.replace(annotation=inspect.Parameter.empty)
            for parameter in signature.parameters.values()
        ]
        assert str(inspect.Signature(bare)) == f"({arguments}{more})"


def test_dbots_post_stats(sandbox: Sandbox, dbots: DBotsClient) -> None:
    assert dbots.post_stats(893) == 893
    assert sandbox.guild_count == 893
    [request] = sandbox.received
    assert (request.method, request.path) == ("POST", f"/dbots/api/v1/bots/{BOT}/stats")
    assert request.body == b'{"guildCount": 893}'
    assert request.headers["Authorization"] == "dbots-token-1"
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["User-Agent"] == f"botlists/{botlists.__version__}"


def test_dbots_post_stats_gives_what_the_service_holds() -> None:
    with Peer(answer(body={"guildCount": 900, "more": {}})) as peer, dbots_at(peer) as dbots:
        assert dbots.post_stats(893) == 900


def test_dbots_edit_api_and_get_api(sandbox: Sandbox, dbots: DBotsClient) -> None:
    url = "https://example.com/vote"
    document = dbots.edit_api(vote_webhook_url=url)
    assert document == botlists.ApiDocument(BOT, "dbots-token-1", url)
    assert dbots.get_api() == document
    assert dbots.edit_api(vote_webhook_url=None).vote_webhook_url is None
    edit, get, clear = sandbox.received
    assert (edit.method, edit.path) == ("PATCH", f"/dbots/api/v1/bots/{BOT}/api")
    assert (edit.json, clear.json) == ({"voteWebhookURL": url}, {"voteWebhookURL": None})
    assert edit.headers["Content-Type"] == "application/json"
    assert (get.method, get.path) == ("GET", edit.path)
    assert get.body == b""
    assert "Content-Type" not in get.headers
    assert {request.headers["Authorization"] for request in sandbox.received} == {"dbots-user-key"}


def test_dbots_get_log(sandbox: Sandbox, dbots: DBotsClient) -> None:
    assert dbots.get_log() == botlists.AuditLog(BOT, ())
    dbots.edit_api(vote_webhook_url="https://example.com/vote")
    log = dbots.get_log()
    [change] = log.changes
    assert log.bot_id == BOT
    assert change.by == "145557815287611393"
    assert change.old == {"voteWebhookURL": None}
    assert change.new == {"voteWebhookURL": "https://example.com/vote"}
    assert abs(datetime.now(timezone.utc) - change.at) < timedelta(minutes=1)
    assert sandbox.received[-1][1:3] == ("GET", f"/dbots/api/v1/bots/{BOT}/log")


CHANGE = {
    "at": "2020-08-07T12:56:27.100Z",
    "by": "145557815287611393",
    "changes": {"old": {"a": 1}, "new": {"a": [2]}},
    "unknown": True,
}


@pytest.mark.parametrize("changes", [CHANGE, [CHANGE]], ids=["documented", "as the source"])
def test_dbots_get_log_takes_one_change_or_a_list(changes: Any) -> None:
    body = {"_id": BOT, "changes": changes, "analytics": {}}
    with Peer(answer(body=body)) as peer, dbots_at(peer) as dbots:
        [change] = dbots.get_log().changes
    at = datetime(2020, 8, 7, 12, 56, 27, 100000, timezone.utc)
    assert change == botlists.AuditChange(at, "145557815287611393", {"a": 1}, {"a": [2]})
    assert change.at.tzinfo is timezone.utc


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2020-08-07T12:56:27Z", datetime(2020, 8, 7, 12, 56, 27)),
        ("2020-08-07T14:56:27.100+02:00", datetime(2020, 8, 7, 12, 56, 27, 100000)),
        ("2020-08-07T12:56:27", datetime(2020, 8, 7, 12, 56, 27)),
        ("Fri, 07 Aug 2020 12:56:27 GMT", datetime(2020, 8, 7, 12, 56, 27)),
        ("Fri, 07 Aug 2020 12:56:27 -0100", datetime(2020, 8, 7, 13, 56, 27)),
        ("Fri, 07 Aug 2020 12:56:27 -0000", datetime(2020, 8, 7, 12, 56, 27)),
        ("2020-08-07T12:56:27.1Z", datetime(2020, 8, 7, 12, 56, 27, 100000)),
        ("2020-08-07T12:56:27.123456789Z", datetime(2020, 8, 7, 12, 56, 27, 123456)),
    ],
)
def test_dates_are_aware_and_in_utc(text: str, at: datetime) -> None:
    said = answer(body={"_id": BOT, "changes": {**CHANGE, "at": text}})
    with Peer(said) as peer:
        [change] = dbots_at(peer).get_log().changes
    assert change.at == at.replace(tzinfo=timezone.utc)
    assert change.at.tzinfo is timezone.utc


def test_dbots_regenerate_key_replaces_the_token(sandbox: Sandbox, dbots: DBotsClient) -> None:
    assert dbots.regenerate_key() == sandbox.dbots_token == "dbots-token-2"
    [request] = sandbox.received
    assert (request.method, request.path) == ("GET", f"/dbots/api/v1/bots/{BOT}/keys/regen")
    assert dbots.post_stats(5) == 5
    assert sandbox.received[-1].headers["Authorization"] == "dbots-token-2"
    assert dbots.get_api().token == "dbots-token-2"


@pytest.mark.parametrize("body", ["new/t0ken", {"token": "new/t0ken", "__v": 0}])
def test_dbots_regenerate_key_takes_a_string_or_an_object(body: Any) -> None:
    with Peer(answer(body=body), answer(body={"guildCount": 1})) as peer:
        dbots = DBotsClient(BOT, user_key=KEY_OF_USER, base_url=peer.url)
        assert dbots.regenerate_key() == "new/t0ken"
        dbots.post_stats(1)
        assert peer.received[-1].headers["Authorization"] == "new/t0ken"


def test_lbots_post_stats(sandbox: Sandbox, lbots: LBotsClient) -> None:
    assert lbots.post_stats(893) is None  # type: ignore[func-returns-value]
    assert sandbox.total == 893
    [request] = sandbox.received
    assert (request.method, request.path) == ("POST", f"/lbots/api/v1/bots/{BOT}/stats")
    assert request.body == b'{"guild_count": 893}'
    assert request.headers["Authorization"] == "lbots-token-1"
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["User-Agent"] == f"botlists/{botlists.__version__}"


class Index:
    """An integer that is no int, like numpy's."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value


class Loud(int):
    """An int that prints as something else, as members of enums do."""

    def __str__(self) -> str:
        return "../1"

    __repr__ = __str__


def test_lbots_post_stats_sends_what_is_given_and_zeros_too(
    sandbox: Sandbox, lbots: LBotsClient
) -> None:
    lbots.post_stats(19902, shard_count=19)
    lbots.post_stats(0, shard_id=0, shard_count=4)
    lbots.post_stats(Index(564), shard_id=Loud(2), shard_count=Index(4))  # type: ignore[arg-type]
    assert [request.json for request in sandbox.received] == [
        {"guild_count": 19902, "shard_count": 19},
        {"guild_count": 0, "shard_id": 0, "shard_count": 4},
        {"guild_count": 564, "shard_id": 2, "shard_count": 4},
    ]


def test_lbots_post_shard_stats_of_a_sequence(sandbox: Sandbox, lbots: LBotsClient) -> None:
    seen: list[tuple[int, int]] = []
    lbots.post_shard_stats([5, 0, 7], progress=lambda *step: seen.append(step))
    assert [request.json for request in sandbox.received] == [
        {"guild_count": count, "shard_id": shard, "shard_count": 3}
        for shard, count in enumerate([5, 0, 7])
    ]
    assert sandbox.total == 12
    assert seen == [(1, 3), (2, 3), (3, 3)]
    del seen[:]
    lbots.post_shard_stats((1, 2), shard_count=8, progress=lambda *step: seen.append(step))
    assert [request.json["shard_count"] for request in sandbox.received[3:]] == [8, 8]
    assert seen == [(1, 2), (2, 2)]


def test_lbots_post_shard_stats_of_a_mapping(sandbox: Sandbox, lbots: LBotsClient) -> None:
    lbots.post_shard_stats({5: 50, 0: 1}, shard_count=6)
    assert [request.json for request in sandbox.received] == [
        {"guild_count": 50, "shard_id": 5, "shard_count": 6},
        {"guild_count": 1, "shard_id": 0, "shard_count": 6},
    ]


def test_lbots_get_favourites(sandbox: Sandbox, lbots: LBotsClient) -> None:
    assert lbots.get_favourites() == 1
    sandbox.favourites[STRANGER] = datetime.now(timezone.utc)
    assert lbots.get_favorites() == 2
    [request, _] = sandbox.received
    assert (request.method, request.path) == ("GET", f"/lbots/api/v1/bots/{BOT}/favourites")


def test_lbots_has_favourited(sandbox: Sandbox, lbots: LBotsClient) -> None:
    fan = lbots.has_favourited(FAN)
    assert fan.time is not None and fan.time.tzinfo is timezone.utc
    assert fan == (FAN, True, datetime(2019, 1, 21, 1, 19, 38, tzinfo=timezone.utc))
    assert lbots.has_favorited(str(STRANGER)) == (STRANGER, False, None)
    [request, _] = sandbox.received
    path = f"/lbots/api/v1/bots/{BOT}/favourites/user/{FAN}"
    assert (request.method, request.path) == ("GET", path)


def test_american_names_are_the_same() -> None:
    members = vars(LBotsClient)
    assert members["get_favorites"] is members["get_favourites"]
    assert members["has_favorited"] is members["has_favourited"]


def test_lbots_favourites_in_either_spelling() -> None:
    with Peer(
        answer(body={**DONE, "favorites": 30}),
        answer(body={**DONE, "time": None, "favorited": True, "user": 1, "more": []}),
    ) as peer:
        lbots = lbots_at(peer)
        assert lbots.get_favourites() == 30
        assert lbots.has_favourited(FAN) == (FAN, True, None)


def test_both_spellings_of_the_paths_are_in_the_sandbox(sandbox: Sandbox) -> None:
    headers = {"Authorization": sandbox.lbots_token}
    pool = urllib3.PoolManager()
    for path in ("favourites", "favorites", f"favourites/user/{FAN}", f"favorites/user/{FAN}"):
        got = pool.request("GET", f"{sandbox.lbots_url}/bots/{BOT}/{path}", headers=headers)
        assert got.status == 200 and json.loads(got.data.decode())["success"] is True


def test_lbots_invalidate_token(sandbox: Sandbox, lbots: LBotsClient) -> None:
    assert lbots.invalidate_token() is None  # type: ignore[func-returns-value]
    [request] = sandbox.received
    assert (request.method, request.path) == ("GET", f"/lbots/api/v1/bots/{BOT}/invalidate")
    assert sandbox.lbots_token == "lbots-token-2"
    with pytest.raises(botlists.Unauthorized):
        lbots.post_stats(1)


@pytest.mark.parametrize("bot_id", [BOT, int(BOT), Index(int(BOT)), Loud(BOT), "00" + BOT])
def test_attributes_and_repr(bot_id: Any) -> None:
    for client in (
        DBotsClient(bot_id, TOKEN, user_key=KEY_OF_USER, base_url="https://example.com/api/v1/"),
        LBotsClient(bot_id, TOKEN, base_url="https://example.com/api/v1/"),
    ):
        assert (client.bot_id, client.base_url) == (BOT, "https://example.com/api/v1")
        name = type(client).__name__
        assert repr(client) == f"{name}(bot_id='{BOT}', base_url='https://example.com/api/v1')"
    for highest in (2**64 - 1, str(2**64 - 1), "0" * 5000 + str(2**64 - 1)):
        assert DBotsClient(highest).bot_id == str(2**64 - 1)
    assert DBotsClient(1).base_url == "https://dbots.co/api/v1"
    assert LBotsClient(1, TOKEN).base_url == "https://lbots.org/api/v1"


@pytest.mark.parametrize("prefix", ["", "/", "/api/v1", "/api/v1/"])
def test_a_base_url_with_and_without_a_path_or_slash(prefix: str) -> None:
    with Peer(answer(body={"guildCount": 1})) as peer:
        DBotsClient(1, TOKEN, base_url=peer.url + prefix).post_stats(1)
        assert peer.received[0].path == prefix.rstrip("/") + "/bots/1/stats"


def test_close_ends_the_connections_and_a_later_call_opens_one() -> None:
    with Peer(answer(body={"guildCount": 1})) as peer:
        with dbots_at(peer) as dbots:
            dbots.post_stats(1)
            dbots.post_stats(1)
            assert peer.connections == 1
        assert peer.ended.wait(5)
        dbots.post_stats(1)
        assert peer.connections == 2
        dbots.close()
        dbots.close()


def test_a_client_that_is_forgotten_closes_its_connections() -> None:
    with Peer(GOOD) as peer, warnings.catch_warnings(record=True) as seen:
        gc.collect()
        warnings.simplefilter("always")
        del seen[:]
        dbots_at(peer).post_stats(1)
        gc.collect()
        assert peer.ended.wait(5)
        assert [str(warning.message) for warning in seen] == []
        # On urllib3 2 its own pools do it; so here is what does it on 1.26.
        connection = botlists._HTTPConnection("127.0.0.1", peer.port)
        connection.connect()
        idle = botlists._IdleConnections(1)
        idle.put(connection)
        del idle
        gc.collect()
        assert connection.sock is None


# Results


def test_results_are_immutable_named_tuples() -> None:
    favourite = botlists.Favourite(FAN, True, None)
    with pytest.raises(AttributeError):
        favourite.favourited = False  # type: ignore[misc]
    assert favourite._fields == ("user_id", "favourited", "time")
    assert botlists.ApiDocument._fields == ("bot_id", "token", "vote_webhook_url")
    assert botlists.AuditLog._fields == ("bot_id", "changes")
    assert botlists.AuditChange._fields == ("at", "by", "old", "new")


def test_a_favourite_is_true_if_favourited() -> None:
    assert botlists.Favourite(FAN, True, None)
    assert not botlists.Favourite(FAN, False, datetime.now(timezone.utc))


def test_an_api_documents_repr_hides_the_token() -> None:
    document = botlists.ApiDocument(BOT, TOKEN, "https://example.com/vote")
    assert document.token == TOKEN
    assert TOKEN not in f"{document} {document!r} {[document]}"
    assert "https://example.com/vote" in repr(document)


# Errors: the arguments

HUGE = [10**5000, -(10**5000)]
COUNTS = [*HUGE, -1, True, 1.5, "893", None, b"1", Index(-1), float("nan"), [1]]
IDS = ["../1", "１２３", 0, 2**64, 2**70, -1, True, 1.0, "", " 1", "1\n", "1_0", "+1", "0", None]
IDS += ["1" * 30, "0" * 5000, b"1", *HUGE]
SECRETS = ["", " ", "a\n", "a\r\nX: 1", " a", "a ", "ключ", "a\0b", "a\x7f", 5, b"bytes"]
URLS: list[Any] = ["", "dbots.co", "ftp://dbots.co", "http://", "http:///x", "http://h:99999"]
URLS += ["https://u:p@h/", "http://h/?q", "http://h/#f", "http://h/\n", "http://h\r", 5, None]
URLS += ["http://h?", "http://h/#", "http://h /", "http://h/a b", "http://h ", " http://h"]
URLS += [f"http://{'a' * 64}.com", "http://h/\u00ad"]
BAD_CALLS: list[tuple[str, Callable[[Any, Any], object]]] = [
    *(("guild_count", lambda d, lb, v=v: d.post_stats(v)) for v in COUNTS),
    *(("guild_count", lambda d, lb, v=v: lb.post_stats(v)) for v in COUNTS),
    *(
        ("shard_id", lambda d, lb, v=v: lb.post_stats(1, shard_id=v, shard_count=4))
        for v in [*(c for c in COUNTS if c is not None), 4, 5]
    ),
    *(
        ("shard_count", lambda d, lb, v=v: lb.post_stats(1, shard_id=0, shard_count=v))
        for v in COUNTS
        if v is not None
    ),
    ("shard_id", lambda d, lb: lb.post_stats(1, shard_id=0, shard_count=0)),
    ("shard_id", lambda d, lb: lb.post_stats(1, shard_id=-1)),
    *(
        ("guild_counts", lambda d, lb, v=v: lb.post_shard_stats(v))
        for v in [5, None, "12", b"12", bytearray(b"12"), {1, 2}, iter([1]), list, [], object(),
                  re.match("", "")]  # which, as numbers of numpy's, has items and is no sequence
    ),
    *(("guild_counts", lambda d, lb, v=v: lb.post_shard_stats([1, v])) for v in COUNTS),
    ("guild_counts", lambda d, lb: lb.post_shard_stats({}, shard_count=1)),
    ("guild_counts", lambda d, lb: lb.post_shard_stats({0: "1"}, shard_count=1)),
    ("shard_count", lambda d, lb: lb.post_shard_stats({0: 1})),
    ("shard_count", lambda d, lb: lb.post_shard_stats([1, 2], shard_count=1)),
    ("shard_count", lambda d, lb: lb.post_shard_stats([1, 2], shard_count=0)),
    ("shard_count", lambda d, lb: lb.post_shard_stats({1: 1}, shard_count=1)),
    ("shard_count", lambda d, lb: lb.post_shard_stats([1], shard_count=1.0)),
    ("shard_id", lambda d, lb: lb.post_shard_stats({-1: 1}, shard_count=1)),
    ("shard_id", lambda d, lb: lb.post_shard_stats({"0": 1}, shard_count=1)),
    ("progress", lambda d, lb: lb.post_shard_stats([1], progress=5)),
    *(("user_id", lambda d, lb, v=v: lb.has_favourited(v)) for v in IDS),
    *(("vote_webhook_url", lambda d, lb, v=v: d.edit_api(vote_webhook_url=v)) for v in (5, b"")),
]
BAD_CLIENTS: list[tuple[str, dict[str, Any]]] = [
    *(("bot_id", {"bot_id": v}) for v in IDS),
    *(("token", {"token": v}) for v in SECRETS),
    *(("base_url", {"base_url": v}) for v in URLS),
    *(
        ("timeout", {"timeout": v})
        for v in [0, -1, float("nan"), "1", None, True]
    ),
    *(("retries", {"retries": v}) for v in [-1, 1.0, True, "1", None]),
    *(("max_wait", {"max_wait": v}) for v in [-1, float("nan"), "1", None, True]),
    *(("pool", {"pool": v}) for v in [5, urllib3.HTTPConnectionPool("localhost"), object()]),
]


@pytest.mark.parametrize(("name", "call"), BAD_CALLS)
def test_bad_arguments_of_a_call_are_named_and_nothing_is_sent(
    sandbox: Sandbox,
    dbots: DBotsClient,
    lbots: LBotsClient,
    name: str,
    call: Callable[[Any, Any], object],
) -> None:
    with pytest.raises((TypeError, ValueError), match=name):
        call(dbots, lbots)
    assert sandbox.received == []


@pytest.mark.parametrize("client", [DBotsClient, LBotsClient])
@pytest.mark.parametrize(("name", "given"), BAD_CLIENTS)
def test_bad_arguments_of_a_client_are_named(
    client: Any, name: str, given: dict[str, Any]
) -> None:
    with pytest.raises((TypeError, ValueError), match=name) as caught:
        client(**dict({"bot_id": BOT, "token": TOKEN}, **given))
    assert TOKEN not in text_of(caught.value)


@pytest.mark.parametrize("value", SECRETS)
def test_a_bad_user_key_is_named(value: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="user_key"):
        DBotsClient(BOT, TOKEN, user_key=value)


def test_a_missing_token_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="token"):
        LBotsClient(BOT, None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="token"):
        LBotsClient(BOT)  # type: ignore[call-arg]


def test_a_secret_in_the_wrong_place_is_not_shown() -> None:
    for wrong in (
        lambda: LBotsClient(TOKEN, BOT),
        lambda: DBotsClient(BOT, TOKEN + "\n"),
        lambda: DBotsClient(BOT, TOKEN, base_url=f"https://user:{TOKEN}@dbots.co"),
        lambda: DBotsClient(BOT, TOKEN, base_url=TOKEN),
        lambda: DBotsClient(BOT, TOKEN).post_stats(TOKEN),  # type: ignore[arg-type]
    ):
        with pytest.raises((TypeError, ValueError)) as caught:
            wrong()
        assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("call", ["get_log", "regenerate_key", "get_api"])
def test_a_missing_user_key_is_a_value_error_that_names_it(call: str) -> None:
    with pytest.raises(ValueError, match="user_key"):
        getattr(DBotsClient(BOT, TOKEN), call)()


def test_a_missing_dbots_token_is_a_value_error_that_names_it() -> None:
    with pytest.raises(ValueError, match="token"):
        DBotsClient(BOT, user_key=KEY_OF_USER).post_stats(1)
    with pytest.raises(ValueError, match="user_key"):
        DBotsClient(BOT, TOKEN).edit_api(vote_webhook_url=None)


@pytest.mark.parametrize("token", ["Bot a b", "~", "!~"])
def test_a_secret_may_be_any_printable_ascii(token: str) -> None:
    with Peer(GOOD) as peer:
        LBotsClient(BOT, token, base_url=peer.url).post_stats(1)
        assert peer.received[0].headers["Authorization"] == token


# The last but one: 2**32 ms and a little.
@pytest.mark.parametrize("value", [0.5, 3, 1e9, float("inf"), 4294967.3, 10**400])
def test_numbers_of_any_kind_are_fine_for_seconds(value: float) -> None:
    with Peer(slow(GOOD, 0.05)) as peer:
        assert dbots_at(peer, timeout=value, max_wait=value, retries=0).post_stats(1) == 1


# Errors: the answers


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, botlists.BadRequest),
        (401, botlists.Unauthorized),
        (402, botlists.APIError),
        (403, botlists.Forbidden),
        (404, botlists.NotFound),
        (407, botlists.APIError),
        (418, botlists.APIError),
        (429, botlists.TooManyRequests),
        (500, botlists.ServerError),
        (503, botlists.ServerError),
        (520, botlists.ServerError),
        (599, botlists.ServerError),
        (600, botlists.APIError),
    ],
)
def test_each_status_has_its_error(status: int, kind: type[botlists.APIError]) -> None:
    body = json.dumps({"message": "because"}).encode()
    with Peer(answer(status, body, Retry_After="120")) as peer:
        with pytest.raises(botlists.APIError) as caught:
            dbots_at(peer, retries=0).post_stats(1)
        error = caught.value
        assert type(error) is kind
        assert (error.status, error.message, error.body) == (status, "because", body)
        assert error.retry_after == 120
        assert str(error) == f"{status}: because"


def test_the_tree_of_errors() -> None:
    for error in (botlists.TransportError, botlists.InvalidResponse, botlists.APIError):
        assert error.__bases__ == (botlists.BotListError,)
    assert botlists.TransportTimeout.__bases__ == (botlists.TransportError,)
    names = "BadRequest Unauthorized Forbidden NotFound TooManyRequests ServerError"
    for name in [*names.split(), "DeprecatedEndpoint"]:
        assert getattr(botlists, name).__bases__ == (botlists.APIError,)


def test_the_documented_refusals(sandbox: Sandbox, dbots: DBotsClient, lbots: LBotsClient) -> None:
    url: Any = {"base_url": sandbox.dbots_url}
    with pytest.raises(botlists.Unauthorized, match="401: Unauthorized"):
        DBotsClient(BOT, "wrong", **url).post_stats(1)
    with pytest.raises(botlists.NotFound, match="404: Not found"):
        DBotsClient(1, sandbox.dbots_token, **url).post_stats(1)
    with pytest.raises(botlists.BadRequest, match="400: Bot not manageable"):
        DBotsClient(BOT, user_key=sandbox.other_key, **url).get_log()
    with pytest.raises(botlists.InvalidResponse, match="200: the answer is not JSON"):
        DBotsClient(BOT, TOKEN, base_url=sandbox.url_for("/nowhere")).post_stats(1)
    url = {"base_url": sandbox.lbots_url}
    with pytest.raises(botlists.Unauthorized, match="401: Unauthorized"):
        LBotsClient(BOT, "wrong", **url).post_stats(1)
    with pytest.raises(botlists.NotFound, match="404: Bot does not exist"):
        LBotsClient(1, sandbox.lbots_token, **url).get_favourites()
    for _ in range(3):
        lbots.get_favourites()
    with pytest.raises(botlists.TooManyRequests, match="429: Too Many Requests"):
        LBotsClient(BOT, sandbox.lbots_token, max_wait=0, **url).get_favourites()


@pytest.mark.parametrize(
    ("http_status", "fields", "status", "kind"),
    [
        (200, {"status_code": 401}, 401, botlists.Unauthorized),
        (404, {"status_code": 403}, 403, botlists.Forbidden),
        (200, {"status_code": 429}, 429, botlists.TooManyRequests),
        (302, {"status_code": 503}, 503, botlists.ServerError),
        (200, {"status_code": 418}, 418, botlists.APIError),
        (200, {"status_code": 200}, 200, botlists.APIError),
        (200, {"status_code": True}, 200, botlists.APIError),
        (404, {"status_code": "403"}, 404, botlists.NotFound),
        (404, {"status_code": 399}, 404, botlists.NotFound),
        (404, {"status_code": 400}, 400, botlists.BadRequest),
        (404, {"status_code": 999}, 999, botlists.APIError),
        (404, {"status_code": 1000}, 404, botlists.NotFound),
        (404, {"message": "other"}, 404, botlists.NotFound),
        (404, {}, 404, botlists.NotFound),
    ],
)
def test_success_false_is_an_error_whatever_the_http_status(
    http_status: int, fields: dict[str, Any], status: int, kind: type[botlists.APIError]
) -> None:
    body = {"success": False, "error": "because", "favourites": 1, **fields}
    with Peer(answer(http_status, body)) as peer:
        with pytest.raises(botlists.APIError) as caught:
            lbots_at(peer, retries=0).get_favourites()
        assert type(caught.value) is kind
        assert (caught.value.status, caught.value.message) == (status, "because")


@pytest.mark.parametrize("status", [200, 401, 410, 503])
def test_deprecated_whatever_the_status(status: int, naps: list[float]) -> None:
    body = {"status_code": status, "success": status == 200, "error": "DEPRECATED"}
    with Peer(answer(status, body)) as peer:
        with pytest.raises(botlists.DeprecatedEndpoint, match="DEPRECATED") as caught:
            lbots_at(peer).post_stats(1)
        assert caught.value.status == status
        assert len(peer.received) == 1


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"message": "mine", "error": "other"}, "mine"),
        ({"message": 5, "error": "other"}, "other"),
        ({"message": " "}, "The Reason"),
        ({"message": "\u200b\n"}, "The Reason"),
        ({"detail": "unquoted"}, "The Reason"),
        ([], "The Reason"),
        (b"", "The Reason"),
        (b"Too many requests, please try later.\n", "Too many requests, please try later."),
        (b"<html>\r\n<b>502</b>\r\n", "<html>  <b>502</b>"),
        (b"\xff\xfe broken", "\ufffd\ufffd broken"),
        (b"[" * 200000, "The Reason"),
        (b'{"token": "cut', "The Reason"),
        (b'"cut', "The Reason"),
        (b"x" * 200000, "x" * 65536),
        (b"oops", "oops"),
    ],
)
def test_message_is_the_services_or_the_text_or_the_reason(body: Any, message: str) -> None:
    with Peer(answer(418, body, reason="The Reason")) as peer:
        with pytest.raises(botlists.APIError) as caught:
            dbots_at(peer).post_stats(1)
        assert caught.value.message == message
        assert len(str(caught.value)) <= 300


def test_message_of_an_answer_without_any() -> None:
    with Peer(answer(404, reason="")) as peer, pytest.raises(botlists.NotFound, match="Not Found"):
        dbots_at(peer).post_stats(1)


def test_an_errors_text_is_one_short_clean_line() -> None:
    nasty = "a\r\nb\x1b[31m\0\x85\u2028\u202ec" + "d" * 1000
    said = answer(400, {"message": nasty})
    with Peer(said) as peer, pytest.raises(botlists.BadRequest) as caught:
        dbots_at(peer).post_stats(1)
    text = str(caught.value)
    assert text.startswith("400: a  b [31m")
    assert len(text) == 300
    assert text.isprintable() and len(text.splitlines()) == 1
    for unprintable in "\u00ad\u061c\u200b\ufeff\U000e0001\ud800":
        assert str(refusal({"message": f"a{unprintable}b"})) == "400: a b"


def refusal(body: Any) -> botlists.BadRequest:
    with Peer(answer(400, body)) as peer, pytest.raises(botlists.BadRequest) as caught:
        dbots_at(peer).post_stats(1)
    return caught.value


def test_an_errors_text_is_cut_at_300_characters() -> None:
    assert str(refusal({"message": "d" * 295})) == "400: " + "d" * 295
    assert str(refusal({"message": "d" * 296})) == "400: " + "d" * 292 + "..."


@pytest.mark.parametrize("status", [200, 401, 500])
def test_secrets_that_a_service_repeats_are_not_shown(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for body in ({"message": f"bad {TOKEN}, {KEY_OF_USER}!"}, f"{KEY_OF_USER}{TOKEN}".encode()):
        said = answer(status, body, reason=TOKEN)
        with Peer(said) as peer, pytest.raises(botlists.BotListError) as caught:
            dbots_at(peer).post_stats(1)
        shown = text_of(caught.value) + caplog.text + repr(vars(caught.value).get("message"))
        assert TOKEN not in shown and KEY_OF_USER not in shown


def test_a_secret_on_two_lines_is_not_shown() -> None:
    with Peer(answer(400, b"no to\nken")) as peer, pytest.raises(botlists.BadRequest) as caught:
        LBotsClient(BOT, "to ken", base_url=peer.url).post_stats(1)
    assert str(caught.value) == "400: no ***"


def test_a_secret_within_another_is_not_shown() -> None:
    with Peer(answer(400, {"message": "bad abc-def"})) as peer:
        client = DBotsClient(BOT, "abc", user_key="abc-def", base_url=peer.url)
        with pytest.raises(botlists.BadRequest, match=r"^400: bad \*\*\*$"):
            client.get_log()


@pytest.mark.parametrize(
    "body", [b'{"token": "new/t0ken"}', b"new/t0ken", b'"new/t0ken', b'{"token": "new/t0ken", "x']
)
def test_a_new_token_in_a_refusal_is_not_shown(body: bytes) -> None:
    with Peer(answer(500, body)) as peer:
        with pytest.raises(botlists.ServerError) as caught:
            dbots_at(peer).regenerate_key()
        assert "new/t0ken" not in text_of(caught.value)
        assert caught.value.body == body
        assert caught.value.message == "Said So"
    with Peer(answer(500, b"No way")) as peer, pytest.raises(botlists.ServerError, match="No way"):
        dbots_at(peer).regenerate_key()


def test_a_token_that_was_replaced_is_not_shown_either() -> None:
    with Peer(answer(body="new/t0ken"), answer(400, {"message": f"{TOKEN}, new/t0ken"})) as peer:
        dbots = dbots_at(peer)
        dbots.regenerate_key()
        with pytest.raises(botlists.BadRequest, match=r"400: \*\*\*, \*\*\*"):
            dbots.post_stats(1)


@pytest.mark.parametrize("token", [TOKEN, "it's \"quoted\"", "back\\slash"])
@pytest.mark.parametrize(
    "said", ["what is @?\r\n\r\n", "HTTP/1.1 @\r\n\r\n", "@/1.1 200 OK\r\n\r\n", '"@"']
)
def test_what_stands_in_place_of_an_answer_is_not_shown(
    said: str, token: str, naps: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with Peer(say_and_close(said.replace("@", token).encode())) as peer:
        for known in (token, TOKEN):  # a new token too
            client = DBotsClient(BOT, known, user_key=known, base_url=peer.url)
            for call in (client.get_log, client.regenerate_key):
                with pytest.raises(botlists.TransportError) as caught:
                    call()
                for shown in (token, repr(token)[1:-1], repr(repr(token))[2:-2]):
                    assert shown not in text_of(caught.value) + caplog.text


@pytest.mark.parametrize("line", ["@", " @", "From @", "A: b\r@"])
@pytest.mark.parametrize("place", ["first", "last"])
def test_header_lines_that_cannot_be_read_are_not_logged(
    place: str, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    lines = [b"Content-Length: 0", line.replace("@", TOKEN).encode()]
    if place == "first":
        lines.reverse()
    lines = [b"HTTP/1.1 401 No", *lines, b"", b""]
    with Peer(say_and_close(b"\r\n".join(lines))) as peer, pytest.raises(botlists.Unauthorized):
        dbots_at(peer).post_stats(1)
    assert "/stats" in caplog.text and TOKEN not in caplog.text


def test_every_error_pickles_with_its_attributes(sandbox: Sandbox) -> None:
    errors: list[botlists.BotListError] = [botlists.TransportTimeout("late", True)]
    peers = [answer(429, {"message": "m"}, Retry_After="7"), answer(200, b"<html>"), b""]
    for said in peers:
        with Peer(said) as peer, pytest.raises(botlists.BotListError) as caught:
            dbots_at(peer, retries=0).post_stats(1)
        errors.append(caught.value)
    assert [type(error).__name__ for error in errors[1:]] == [
        "TooManyRequests",
        "InvalidResponse",
        "TransportError",
    ]
    for error in errors:
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            copy = pickle.loads(pickle.dumps(error, protocol))
            assert type(copy) is type(error)
            assert vars(copy) == vars(error)
            assert (str(copy), repr(copy)) == (str(error), repr(error))


def without(whole: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in whole.items() if key != name}


API = {"_id": BOT, "token": "t", "voteWebhookURL": "u"}
LOG = {"_id": BOT, "changes": CHANGE}
FAVOURITED = {**DONE, "time": None, "favourited": False}
WRONG: list[Any] = [None, True, 1.0, "1", [], {}]


def wrong_answers() -> Iterator[tuple[str, Any]]:
    """(method, answer) for every field of every answer, left out or of each wrong type."""
    promised: dict[str, tuple[dict[str, Any], dict[str, type]]] = {
        "post_stats": ({"guildCount": 1}, {"guildCount": int}),
        "get_api": (API, {"_id": str, "token": str, "voteWebhookURL": str}),
        "get_log": (LOG, {"_id": str, "changes": list}),
        "post": (DONE, {"status_code": int, "success": bool}),
        "get_favourites": (
            {**DONE, "favourites": 1},
            {"status_code": int, "success": bool, "favourites": int},
        ),
        "has_favourited": (
            FAVOURITED,
            {"status_code": int, "success": bool, "time": type(None), "favourited": bool},
        ),
        "invalidate_token": (DONE, {"status_code": int, "success": bool}),
    }
    for method, (whole, fields) in promised.items():
        for name, kind in fields.items():
            yield method, without(whole, name)
            for value in WRONG:
                nullable = name == "voteWebhookURL" and value is None
                if type(value) is not kind and not nullable:
                    yield method, {**whole, name: value}
        for value in WRONG:
            yield method, value
    for name in ("at", "by", "changes"):
        yield "get_log", {**LOG, "changes": [CHANGE, without(CHANGE, name)]}
        for value in WRONG:
            if name != "by" or not isinstance(value, str):
                yield "get_log", {**LOG, "changes": {**CHANGE, name: value}}
    bad_states: list[Any] = [{"old": {}}, {"new": {}}, {"old": {}, "new": 1}, {"old": 1, "new": {}}]
    for states in bad_states:
        yield "get_log", {**LOG, "changes": {**CHANGE, "changes": states}}
    late = "Fri, 31 Dec 9999 23:59:59 -2359"
    for at in ("yesterday", "9999-99-99T00:00:00.000Z", "0001-01-01T00:00:00+23:59", late, ""):
        yield "get_log", {**LOG, "changes": {**CHANGE, "at": at}}
        yield "has_favourited", {**FAVOURITED, "time": at}
    for token in (*WRONG[:3], *WRONG[4:], "", "a\nb", " a", "ключ", {"token": 5}, {"key": "a"}):
        yield "regenerate_key", token


CALLS: dict[str, Callable[[Server], object]] = {
    "post_stats": lambda server: dbots_at(server).post_stats(1),
    "get_log": lambda server: dbots_at(server).get_log(),
    "get_api": lambda server: dbots_at(server).get_api(),
    "regenerate_key": lambda server: dbots_at(server).regenerate_key(),
    "post": lambda server: lbots_at(server).post_stats(1),
    "get_favourites": lambda server: lbots_at(server).get_favourites(),
    "has_favourited": lambda server: lbots_at(server).has_favourited(FAN),
    "invalidate_token": lambda server: lbots_at(server).invalidate_token(),
}


@pytest.mark.parametrize("method", sorted(CALLS))
def test_an_answer_that_lacks_or_mistypes_a_field_is_invalid(method: str) -> None:
    documents = [document for name, document in wrong_answers() if name == method]
    assert len(documents) >= 9
    with Peer(*(answer(body=document) for document in documents)) as peer:
        for document in documents:
            with pytest.raises(botlists.InvalidResponse) as caught:
                CALLS[method](peer)
            assert caught.value.status == 200
            assert caught.value.body == json.dumps(document).encode()
            assert caught.value.__cause__ is None
        assert len(peer.received) == len(documents)


def gzipped() -> bytes:
    stream = io.BytesIO()
    with gzip.GzipFile(fileobj=stream, mode="wb") as file:
        file.write(b'"token"')
    return stream.getvalue()


UNPROMISED = {
    "a page": answer(200, b"<!doctype html><title>DBots</title>", Content_Type="text/html"),
    "a page that says it is JSON": answer(200, b"<html></html>", Content_Type="application/json"),
    "nothing": answer(200),
    "cut JSON": answer(200, b'{"guildCount": 89'),
    "two documents": answer(200, b'"a""b"'),
    "brackets": answer(200, b"[" * 200000),
    "nested": answer(200, b"[" * 200000 + b"]" * 200000),
    "a constant": answer(200, b'{"guildCount": 1, "x": NaN, "token": "t"}'),
    "a long number": answer(200, b'{"guildCount": 1, "token": "t", "x": %s}' % (b"9" * 4301)),
    "not UTF-8": answer(200, b'"\xff"'),
    "UTF-16": answer(200, '"token"'.encode("utf-16")),
    "no content": answer(204),
    "created, but no JSON": answer(201, b"OK"),
    "early hints": answer(103) + answer(200, "token"),
    "switching protocols": answer(101),
    "not modified": answer(304),
    "moved": answer(301, "token", Location="/elsewhere"),
    "moved, with the method": answer(307, "token", Location="http://127.0.0.1:1/"),
    "compressed": answer(200, gzipped(), Content_Encoding="gzip"),
    "said to be compressed": answer(200, {"guildCount": 1}, Content_Encoding="gzip"),
    "compressed in two ways": answer(200, gzipped(), Content_Encoding="gzip, gzip"),
}


@pytest.mark.parametrize("method", ["post_stats", "regenerate_key"])
@pytest.mark.parametrize("what", sorted(UNPROMISED))
def test_an_unpromised_answer_is_invalid_and_the_client_goes_on(what: str, method: str) -> None:
    good = answer(200, {"guildCount": 3, "token": "t"})
    with Peer(UNPROMISED[what], good) as peer, dbots_at(peer, timeout=5) as dbots:
        started = time.monotonic()
        with pytest.raises(botlists.InvalidResponse) as caught:
            dbots.post_stats(1) if method == "post_stats" else dbots.regenerate_key()
        assert time.monotonic() - started < 5
        assert len(str(caught.value)) <= 300
        assert len(peer.received) == 1
        assert dbots.post_stats(1) == 3


@pytest.mark.parametrize(
    "said",
    [
        answer(201, {"guildCount": 4}),
        answer(200, {"guildCount": 4}, Content_Encoding="Identity"),
        answer(200, {"guildCount": 4}, Content_Encoding=""),
        answer(100) + answer(200, {"guildCount": 4}),
        answer(200, b'{"guildCount": 4, "more": %s}' % (b"9" * 4300)),
    ],
    ids=["201", "identity", "no encoding", "100 before", "many digits"],
)
def test_an_unusual_answer_that_keeps_the_promise_is_fine(said: bytes) -> None:
    with Peer(said) as peer:
        assert dbots_at(peer).post_stats(4) == 4


@pytest.mark.parametrize(
    ("log", "text"),
    [
        ({"_id": BOT}, "changes is missing"),
        ({"_id": BOT, "changes": None}, "changes is not of type dict"),
        ({"_id": BOT, "changes": {}}, "at is missing"),
    ],
)
def test_what_an_answer_lacks_is_named(log: Any, text: str) -> None:
    with Peer(answer(body=log)) as peer, pytest.raises(botlists.InvalidResponse, match=text):
        dbots_at(peer).get_log()


def test_a_regenerated_key_that_cannot_be_read_is_kept_in_the_body() -> None:
    for body in (b"new/t0ken", b"<new/t0ken>", b'{"key": "new/t0ken"}', b'"new/t0ken" '[:-2]):
        with Peer(answer(200, body)) as peer:
            with pytest.raises(botlists.InvalidResponse) as caught:
                dbots_at(peer).regenerate_key()
            assert caught.value.body == body
            assert "new/t0ken" not in text_of(caught.value)
            assert len(peer.received) == 1


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize("framing", ["length", "chunks", "none"])
def test_a_body_over_16_mib_is_not_read_further(framing: str, status: int) -> None:
    sent = 0

    def flood(connection: socket.socket) -> None:
        nonlocal sent
        piece = b" " * 2**20
        headers = {
            "length": {"Content-Length": str(200 * 2**20)},
            "chunks": {"Transfer-Encoding": "chunked"},
            "none": {"Connection": "close"},
        }[framing]
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        connection.sendall(f"HTTP/1.1 {status} OK\r\n{lines}\r\n".encode())
        try:
            for _ in range(200):
                chunk = b"100000\r\n" + piece + b"\r\n" if framing == "chunks" else piece
                connection.sendall(chunk)
                sent += len(piece)
        except OSError:
            dropped.set()

    dropped = threading.Event()
    with Peer(flood, answer(body={"guildCount": 4})) as peer, dbots_at(peer) as dbots:
        with pytest.raises(botlists.InvalidResponse, match="more than 16 MiB") as caught:
            dbots.post_stats(1)
        assert dropped.wait(5)
        assert 2**24 < len(caught.value.body) < 2**24 + 2**17
        assert dbots.post_stats(1) == 4
        assert peer.connections == 2
        assert sent < 40 * 2**20


def test_a_body_of_16_mib_is_read() -> None:
    body = b'{"guildCount": 5}'.ljust(2**24)
    with Peer(answer(200, body)) as peer, dbots_at(peer) as dbots:
        assert dbots.post_stats(1) == 5


def test_a_body_in_chunks_is_read_and_the_connection_kept() -> None:
    said = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b'8\r\n{"guildC\r\n9;x=y\r\nount": 6}\r\n0\r\nTrailer: x\r\n\r\n'
    )
    with Peer(said) as peer, dbots_at(peer) as dbots:
        assert [dbots.post_stats(1), dbots.post_stats(1)] == [6, 6]
        assert peer.connections == 1


# Errors: the way


BROKEN = {
    "closed": b"",
    "not HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
    "a bad status": b"HTTP/1.1 abc OK\r\n\r\n",
    "a cut status line": b"HTT",
    "too many headers": b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 2000,
    "a long header": b"HTTP/1.1 200 OK\r\na: " + b"b" * 10**6 + b"\r\n\r\n",
    "a cut body": b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"guildCount": 1}',
    "a cut chunk": b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n99\r\n{"guildCount": 1}',
    "a bad chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "a negative chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n12345\r\n",
    "a proxy's words": b"Tunnel connection failed: 407 no\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\n{}",
}


def silence(connection: socket.socket) -> None:
    """No answer, for as long as the client waits for one."""
    connection.recv(1)


def say_and_close(said: bytes) -> Answer:
    def answer_with(connection: socket.socket) -> None:
        connection.sendall(said)
        connection.shutdown(socket.SHUT_RDWR)

    return answer_with


@pytest.mark.parametrize("own_pool", [False, True])
@pytest.mark.parametrize("what", sorted(BROKEN))
def test_a_broken_answer_is_a_transport_error_and_the_client_goes_on(
    what: str, own_pool: bool
) -> None:
    good = answer(body={"guildCount": 3})
    pool = urllib3.PoolManager() if own_pool else None
    with Peer(say_and_close(BROKEN[what]), good) as peer, dbots_at(peer, pool=pool) as dbots:
        with pytest.raises(botlists.TransportError) as caught:
            dbots.regenerate_key()
        assert type(caught.value) is botlists.TransportError
        assert caught.value.sent is True
        assert isinstance(caught.value.__cause__, urllib3.exceptions.HTTPError)
        assert len(str(caught.value)) <= 300 and len(str(caught.value).splitlines()) == 1
        assert len(peer.received) == 1
        assert dbots.post_stats(1) == 3


CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("said", "more"),
    [
        (CHUNKS + b"-1\r\n", b" "),
        (CHUNKS + b'11\r\n{"guildCount": 1}\r\n0\r\n', b"a: b\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["a chunk of -1 bytes", "trailers", "100 Continue"],
)
def test_an_answer_without_end_has_one(said: bytes, more: bytes) -> None:
    def flood(connection: socket.socket) -> None:
        connection.sendall(said)
        with contextlib.suppress(OSError):
            while not stop.is_set():
                connection.sendall(more * 2**10)
        ended.set()

    stop, ended = threading.Event(), threading.Event()
    with Peer(flood) as peer:
        try:
            [error] = in_threads(1, lambda: dbots_at(peer, retries=0).post_stats(1), 10)
        finally:
            stop.set()
        assert type(error) is botlists.TransportError
        assert ended.wait(5)


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def full_backlog() -> tuple[socket.socket, list[socket.socket]]:
    """A listener that takes no connection any more, so that connecting to it times out."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    fillers = []
    for _ in range(8):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
        fillers.append(filler)
    return listener, fillers


@pytest.mark.parametrize("method", ["post_stats", "regenerate_key"])
def test_what_was_surely_not_sent_is_said_and_repeated(
    method: str, naps: list[float], names: dict[str, int]
) -> None:
    listener, fillers = full_backlog()
    full = f"http://127.0.0.1:{listener.getsockname()[1]}"
    for url, kind in (
        (f"http://127.0.0.1:{unused_port()}", botlists.TransportError),
        ("http://name.invalid", botlists.TransportError),
        (full, botlists.TransportTimeout),
    ):
        del naps[:]
        client = DBotsClient(BOT, TOKEN, user_key=KEY_OF_USER, base_url=url, timeout=0.1)
        with pytest.raises(botlists.TransportError, match="not sent") as caught:
            client.post_stats(1) if method == "post_stats" else client.regenerate_key()
        assert type(caught.value) is kind
        assert caught.value.sent is False
        assert caught.value.__cause__ is not None
        assert len(naps) == 2
    for used in (*fillers, listener):
        used.close()


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\n", answer(200, b"{}")[:-1]])
def test_a_silent_service_is_a_timeout(said: bytes) -> None:
    def stop_there(connection: socket.socket) -> None:
        connection.sendall(said)
        silence(connection)

    with Peer(stop_there) as peer:
        started = time.monotonic()
        with pytest.raises(botlists.TransportTimeout) as caught:
            dbots_at(peer, timeout=0.2, retries=0).post_stats(1)
        assert 0.2 <= time.monotonic() - started < 2
        assert caught.value.sent is True
        assert isinstance(caught.value.__cause__, urllib3.exceptions.HTTPError)


def test_the_timeout_is_for_each_wait_not_for_all() -> None:
    def drip(connection: socket.socket) -> None:
        for byte in answer(body={"guildCount": 8}, reason=""):
            connection.sendall(bytes([byte]))
            dripped.wait(0.01)

    dripped = threading.Event()
    with Peer(drip) as peer:
        assert dbots_at(peer, timeout=0.3, retries=0).post_stats(1) == 8


# Traffic: limits


def fit(times: list[float], calls: int, window: float) -> bool:
    """Whether no window of that length holds more than `calls` of `times`."""
    times = sorted(times)
    return all(later - at >= window for at, later in zip(times, times[calls:]))


def post(lbots: LBotsClient, times: int) -> None:
    for _ in range(times):
        lbots.post_stats(1)


def slow(said: bytes, *seconds: float) -> Answer:
    """An answer that takes each of `seconds` in turn, over and over."""
    turns = itertools.cycle(seconds)

    def answer_late(connection: socket.socket) -> None:
        threading.Event().wait(next(turns))
        connection.sendall(said)

    return answer_late


def in_threads(
    number: int, work: Callable[[], object], seconds: float = 60
) -> list[BaseException]:
    """Do `work` in that many threads at once; return what they raised."""
    raised: list[BaseException] = []

    def run_one() -> None:
        try:
            work()
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=run_one, daemon=True) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds)
        assert not thread.is_alive()
    return raised


def eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.fixture
def short_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LBotsClient, "_LIMITS", {"stats": (4, 0.3), "favourites": (2, 0.3)})


def test_the_documented_limits_are_kept_end_to_end() -> None:
    """45 posts, 45 shards, 4 threads of 11 posts and 7 favourite counts, each by one client."""
    with contextlib.ExitStack() as stack:
        peers = [
            stack.enter_context(Peer(slow(answer(body={**DONE, "favourites": 1}), 0, 0.02, 0.05)))
            for _ in range(4)
        ]
        posts, shards, threads, favourites = (lbots_at(peer) for peer in peers)
        works: list[Callable[[], object]] = [
            lambda: post(posts, 45),
            lambda: shards.post_shard_stats(range(45)),
            lambda: in_threads(4, lambda: post(threads, 11)),
            lambda: [favourites.get_favourites() for _ in range(7)],
        ]
        took: dict[int, float] = {}
        started = time.monotonic()

        def work() -> None:
            number = numbers.pop()
            works[number]()
            took[number] = time.monotonic() - started

        numbers = [0, 1, 2, 3]
        assert in_threads(4, work) == []
        times = [[request.at for request in peer.received] for peer in peers]
        assert [len(seen) for seen in times] == [45, 45, 44, 7]
        assert all(fit(seen, 20, 5) for seen in times[:3]) and fit(times[3], 3, 4)
        # On a machine with time for it 10.1 and 8.1.
        assert all(10 <= took[number] < 13 for number in (0, 1, 2)) and 8 <= took[3] < 11


def test_an_answers_delay_does_not_bend_a_limit(short_windows: None) -> None:
    with Peer(slow(answer(body=DONE), 0, 0.25, 0, 0.1, 0.2)) as peer:
        lbots = lbots_at(peer)
        assert in_threads(4, lambda: post(lbots, 4)) == []
        times = [request.at for request in peer.received]
        assert len(times) == 16
        assert fit(times, 4, 0.3)


def test_threads_waste_next_to_nothing_of_a_limit(short_windows: None) -> None:
    with Peer(answer(body=DONE)) as peer:
        lbots = lbots_at(peer)
        started = time.monotonic()
        assert in_threads(10, lambda: post(lbots, 2)) == []
        assert 1.2 <= time.monotonic() - started < 2.5
        assert fit([request.at for request in peer.received], 4, 0.3)


def test_one_slow_answer_does_not_hold_back_the_others(short_windows: None) -> None:
    with Peer(slow(answer(body=DONE), 0.9), answer(body=DONE)) as peer:
        lbots = lbots_at(peer)
        waiting = threading.Thread(target=lbots.post_stats, args=(1,))
        waiting.start()
        eventually(lambda: peer.received)
        post(lbots, 6)
        assert waiting.is_alive()
        waiting.join()


def test_endpoints_without_a_limit_are_not_held_back(short_windows: None) -> None:
    body = {**DONE, "time": None, "favourited": True, "guildCount": 1}
    with Peer(answer(body=body)) as peer:
        lbots, dbots = lbots_at(peer, max_wait=0), dbots_at(peer, max_wait=0)
        for _ in range(50):
            lbots.has_favourited(FAN)
            dbots.post_stats(1)


def test_each_limit_is_its_own(short_windows: None) -> None:
    with Peer(answer(body={**DONE, "favourites": 1})) as peer:
        lbots = lbots_at(peer, max_wait=0)
        post(lbots, 4)
        for _ in range(2):
            lbots.get_favourites()
        for call in (lambda: lbots.post_stats(1), lbots.get_favourites):
            with pytest.raises(botlists.TooManyRequests):
                call()


def test_all_that_is_documented_may_go_without_a_wait() -> None:
    with Peer(answer(body={**DONE, "favourites": 1})) as peer:
        lbots = lbots_at(peer, max_wait=0)
        for call, number in ((lambda: post(lbots, 1), 20), (lbots.get_favourites, 3)):
            del peer.received[:]
            for _ in range(number):
                call()
            with pytest.raises(botlists.TooManyRequests, match="not sent"):
                call()
            assert len(peer.received) == number


def test_a_turn_too_late_for_max_wait_is_refused_at_once_and_unsent() -> None:
    with Peer(answer(body={**DONE, "favourites": 1})) as peer:
        for max_wait in (0, 3.5):
            lbots = lbots_at(peer, max_wait=max_wait)
            for _ in range(3):
                lbots.get_favourites()
            started = time.monotonic()
            with pytest.raises(botlists.TooManyRequests, match="not sent") as caught:
                lbots.get_favourites()
            assert time.monotonic() - started < 0.3
            error = caught.value
            assert (error.status, error.body, error.__cause__) == (429, b"", None)
            assert error.retry_after is not None and 3.5 < error.retry_after <= 4
        assert len(peer.received) == 6


def test_who_waits_behind_others_is_refused_at_once_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LBotsClient, "_LIMITS", {"stats": (4, 1.0), "favourites": (1, 1.0)})
    with Peer(slow(answer(body=DONE), 0.05)) as peer:
        lbots = lbots_at(peer, max_wait=1.8)
        raised = in_threads(20, lambda: lbots.post_stats(1))
        # Four go at once, four after 1.05 s; the others could go after 2 s at the earliest.
        assert len(peer.received) == 8
        assert len(raised) == 12
        assert all(type(error) is botlists.TooManyRequests for error in raised)


def test_those_who_wait_go_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LBotsClient, "_LIMITS", {"stats": (1, 0.1), "favourites": (1, 1.0)})
    with Peer(answer(body=DONE)) as peer:
        lbots = lbots_at(peer)
        limit = lbots._limits["stats"]
        lbots.post_stats(0)
        threads = []
        for number in range(1, 6):
            threads.append(threading.Thread(target=lbots.post_stats, args=(number,)))
            threads[-1].start()
            eventually(lambda: len(limit._queue) + len(peer.received) > len(threads))
        for thread in threads:
            thread.join(30)
        assert [request.json["guild_count"] for request in peer.received] == list(range(6))


def test_no_wait_is_longer_than_the_clock_says(naps: list[float], short_windows: None) -> None:
    with Peer(answer(body=DONE)) as peer:
        post(lbots_at(peer), 40)
        assert len(peer.received) == 40
    assert 2.4 < sum(naps) <= 9 * 0.3


def test_max_wait_is_for_all_of_a_call(short_windows: None) -> None:
    with Peer(answer(body=DONE)) as peer:
        lbots = lbots_at(peer, max_wait=0.7)
        with pytest.raises(botlists.TooManyRequests):
            lbots.post_shard_stats([1] * 13)
        assert len(peer.received) == 12
        lbots.post_stats(1)


def test_every_attempt_counts_against_a_limit(
    monkeypatch: pytest.MonkeyPatch, naps: list[float]
) -> None:
    monkeypatch.setattr(LBotsClient, "_LIMITS", {"stats": (4, 30.0), "favourites": (1, 1.0)})
    with Peer(answer(503), answer(503), answer(body=DONE)) as peer:
        lbots = lbots_at(peer)
        lbots.post_stats(1)
        lbots.post_stats(1)
        assert len(peer.received) == 4
        lbots._max_wait = 0
        with pytest.raises(botlists.TooManyRequests):
            lbots.post_stats(1)


def test_an_attempt_that_cannot_be_repeated_in_time_raises_why_it_should_be(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(LBotsClient, "_LIMITS", {"stats": (1, 30.0), "favourites": (1, 30.0)})
    with Peer(answer(503, {**DONE, "error": "down"})) as peer:
        with pytest.raises(botlists.ServerError, match="503: down"):
            lbots_at(peer, max_wait=5).post_stats(1)
        assert len(peer.received) == 1
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []


def test_an_interrupted_wait_leaves_the_limit_whole(short_windows: None) -> None:
    class Interrupt(BaseException):
        pass

    def interrupt(*args: object) -> None:
        raise Interrupt

    with Peer(answer(body=DONE)) as peer:
        lbots = lbots_at(peer)
        post(lbots, 4)
        old = signal.signal(signal.SIGALRM, interrupt)
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        try:
            with pytest.raises(Interrupt):
                lbots.post_stats(1)
        finally:
            signal.signal(signal.SIGALRM, old)
        started = time.monotonic()
        assert in_threads(4, lambda: lbots.post_stats(1)) == []
        assert time.monotonic() - started < 0.6
        assert len(peer.received) == 8


# Traffic: repeats

GOOD = answer(body={**DONE, "guildCount": 1, "token": "t"})


@pytest.mark.parametrize("said", [b"", answer(429), answer(502), answer(503), answer(504)])
def test_what_may_pass_is_repeated_with_backoff_and_jitter(
    said: bytes, naps: list[float]
) -> None:
    firsts = set()  # that no two clients knock at the same time
    for _ in range(4):
        del naps[:]
        with Peer(said, said, GOOD) as peer:
            assert dbots_at(peer).post_stats(1) == 1
            assert len(peer.received) == 3
        assert 0.5 <= naps[0] <= 1 and 1 <= naps[1] <= 2
        firsts.add(naps[0])
    assert len(firsts) == 4


def test_a_timeout_is_repeated(naps: list[float]) -> None:
    with Peer(silence, GOOD) as peer:
        assert dbots_at(peer, timeout=0.1).post_stats(1) == 1
        assert len(peer.received) == 2


@pytest.mark.parametrize("retries", [0, 1, 4])
def test_retries_is_the_number_of_further_attempts(retries: int, naps: list[float]) -> None:
    with Peer(answer(503)) as peer:
        with pytest.raises(botlists.ServerError):
            dbots_at(peer, retries=retries).post_stats(1)
        assert len(peer.received) == 1 + retries
        assert len(naps) == retries


@pytest.mark.parametrize("status", [400, 401, 403, 404, 418, 500, 501, 505])
def test_a_final_status_is_not_repeated(status: int, naps: list[float]) -> None:
    with Peer(answer(status)) as peer:
        with pytest.raises(botlists.APIError):
            dbots_at(peer).post_stats(1)
        assert len(peer.received) == 1


def test_an_invalid_answer_is_not_repeated(naps: list[float]) -> None:
    with Peer(answer(body={})) as peer:
        with pytest.raises(botlists.InvalidResponse):
            dbots_at(peer).post_stats(1)
        assert len(peer.received) == 1


ONE_SHOTS = ["regenerate_key", "invalidate_token"]


@pytest.mark.parametrize("method", ONE_SHOTS)
@pytest.mark.parametrize(
    "said",
    [
        b"",
        silence,
        answer(502),
        answer(503, Retry_After="0"),
        answer(504),
        answer(500),
        answer(200, b"cut")[:-1],
        say_and_close(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"),
    ],
    ids=["closed", "silent", "502", "503", "504", "500", "late", "cut"],
)
def test_a_rotation_is_never_sent_twice(said: Answer, method: str, naps: list[float]) -> None:
    with Peer(said, GOOD) as peer:
        client: Any = dbots_at if method == "regenerate_key" else lbots_at
        with pytest.raises(botlists.BotListError) as caught:
            getattr(client(peer, timeout=0.2), method)()
        assert getattr(caught.value, "sent", True) is True
        assert len(peer.received) == 1
        assert naps == []


@pytest.mark.parametrize("method", ONE_SHOTS)
def test_a_rotation_is_repeated_when_it_surely_did_nothing(
    method: str, naps: list[float]
) -> None:
    with Peer(answer(429), GOOD) as peer:
        client: Any = dbots_at if method == "regenerate_key" else lbots_at
        getattr(client(peer), method)()
        assert len(peer.received) == 2


@pytest.mark.parametrize("call", ["post_stats", "invalidate_token", "regenerate_key"])
def test_a_connection_closed_while_idle_is_replaced_silently(
    call: str, caplog: pytest.LogCaptureFixture
) -> None:
    with Peer(GOOD) as peer:
        client: Any = (lbots_at if call == "invalidate_token" else dbots_at)(peer, retries=0)
        client.post_stats(1)
        peer.hang_up()
        args = [1] if call == "post_stats" else []
        getattr(client, call)(*args)
        assert peer.connections == 2
        assert len(peer.received) == 2
    assert [record for record in caplog.records if record.levelno >= logging.INFO] == []


def http_date(at: datetime) -> str:
    return at.strftime("%a, %d %b %Y %H:%M:%S GMT")


def dated(text: str) -> str:
    """`text`, or if it says "in N s" the date of then."""
    found = re.fullmatch("in (-?[0-9]+) s", text)
    if found is None:
        return text
    return http_date(datetime.now(timezone.utc) + timedelta(seconds=int(found.group(1))))


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("value", "low", "high"),
    [("7", 7, 7), ("0", 0, 0), (" 12 ", 12, 12), ("1.5", 1.5, 1.5), ("in 20 s", 18, 21)],
)
def test_retry_after_is_obeyed(
    value: str, low: float, high: float, status: int, naps: list[float]
) -> None:
    with Peer(answer(status, Retry_After=dated(value)), GOOD) as peer:
        assert dbots_at(peer).post_stats(1) == 1
        assert len(peer.received) == 2
    assert low <= sum(naps) <= high


@pytest.mark.parametrize("value", ["86400", "31", "in 3600 s"])
def test_retry_after_beyond_max_wait_raises_at_once(value: str, naps: list[float]) -> None:
    with Peer(answer(429, Retry_After=dated(value))) as peer:
        with pytest.raises(botlists.TooManyRequests) as caught:
            dbots_at(peer).post_stats(1)
        assert len(peer.received) == 1
    assert naps == []
    assert caught.value.retry_after is not None and caught.value.retry_after > 30


def test_waits_together_stay_within_max_wait(naps: list[float]) -> None:
    with Peer(answer(429, Retry_After="4")) as peer:
        with pytest.raises(botlists.TooManyRequests):
            dbots_at(peer, retries=9, max_wait=10).post_stats(1)
        assert len(peer.received) == 3
    assert naps == [4, 4]


NONSENSE = ["-5", "nan", "inf", "1e999", "9" * 30, "", " ", "soon", "1,2", "0x10", "１２", "+5"]
NONSENSE += ["20300101112", "2030-01-01T00:00:00Z", "1" * 10, "in -60 s", "in 2000000000 s"]
NONSENSE += ["Fri, 31 Dec 9999 23:59:59 -2359", "Thu, 99 Foo 9999 99:99:99 GMT",]


@pytest.mark.parametrize("value", NONSENSE)
def test_nonsense_in_retry_after_is_ignored(value: str, naps: list[float]) -> None:
    raw = answer(503, Retry_After="@").replace(b"@", dated(value).encode("utf-8"))
    with Peer(raw, GOOD) as peer:
        assert dbots_at(peer).post_stats(1) == 1
        [nap] = naps
        assert 0.5 <= nap <= 1
    with Peer(raw) as peer:
        with pytest.raises(botlists.ServerError) as caught:
            dbots_at(peer, retries=0).post_stats(1)
        assert caught.value.retry_after is None


def test_a_429_without_retry_after_waits_for_the_documented_window(naps: list[float]) -> None:
    good = answer(body={**DONE, "favourites": 1})
    for call, window in (("post_stats", 5), ("get_favourites", 4)):
        del naps[:]
        with Peer(answer(429), answer(429, Retry_After="nan"), good) as peer:
            lbots = lbots_at(peer)
            lbots.post_stats(1) if call == "post_stats" else lbots.get_favourites()
        assert naps == [window, window]
    with Peer(answer(429)) as peer, pytest.raises(botlists.TooManyRequests) as caught:
        lbots_at(peer, max_wait=4.9).post_stats(1)
    assert caught.value.retry_after is None
    assert naps == [4, 4]


def test_max_wait_0_never_sleeps(naps: list[float]) -> None:
    for said in (answer(429), answer(503), answer(429, Retry_After="1"), b""):
        with Peer(said) as peer:
            with pytest.raises(botlists.BotListError):
                dbots_at(peer, max_wait=0).post_stats(1)
            assert len(peer.received) == 1
    with Peer(answer(429, Retry_After="0"), GOOD) as peer:
        assert dbots_at(peer, max_wait=0).post_stats(1) == 1
    assert naps == []


# Traffic: threads and forks


class Echo(Peer):
    """Answers has_favourited with the user in the path as the time, so that mix-ups show."""

    def __init__(self) -> None:
        super().__init__(GOOD)

    def serve(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as stream:
            for request in iter(lambda: read_request(stream), None):
                user = int(request.path.rsplit("/", 1)[1])
                when = http_date(datetime(2000, 1, 1) + timedelta(seconds=user))
                connection.sendall(answer(body={**DONE, "time": when, "favourited": True}))


def ask(client: LBotsClient, users: range) -> None:
    for user in users:
        at = client.has_favourited(user).time
        assert at is not None
        assert at.timestamp() - 946684800 == user


def test_threads_may_share_a_client() -> None:
    with Echo() as peer:
        lbots = lbots_at(peer)
        starts = iter(range(1, 900, 100))
        assert in_threads(8, lambda: ask(lbots, range(next(starts), 10**6)[:60])) == []
        assert peer.connections <= 8


def test_threads_that_start_together_share_what_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    new_manager = botlists._new_manager

    def slowly(*args: Any) -> urllib3.PoolManager:
        opened.append(args)
        threading.Event().wait(0.1)
        return new_manager(*args)

    monkeypatch.setattr(botlists, "_new_manager", slowly)
    with Peer(GOOD) as peer:
        dbots = dbots_at(peer)
        assert in_threads(4, lambda: dbots.post_stats(1)) == []
        assert len(opened) == 1
        assert peer.connections <= 4


def test_more_threads_than_kept_connections() -> None:
    def wait_for_all(connection: socket.socket) -> None:
        together.wait(30)
        connection.sendall(answer(body={"guildCount": 1}))

    with Peer(wait_for_all) as peer:
        dbots = dbots_at(peer)
        for number in (15, 10):
            together = threading.Barrier(number)
            assert in_threads(number, lambda: dbots.post_stats(1)) == []
            assert peer.connections == 15
        together = threading.Barrier(11)
        assert in_threads(11, lambda: dbots.post_stats(1)) == []
        assert peer.connections == 16


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without fork")
@pytest.mark.parametrize("own_pool", [False, True])
def test_a_client_may_be_used_on_both_sides_of_a_fork(own_pool: bool) -> None:
    with Echo() as peer:
        pool = urllib3.PoolManager() if own_pool else None
        lbots = lbots_at(peer, pool=pool)
        ask(lbots, range(1, 3))
        done = threading.Event()

        def keep_asking() -> None:
            for start in itertools.count(1000, 20):
                ask(lbots, range(start, start + 20))
                if done.is_set():
                    return

        parent = threading.Thread(target=lambda: raised.extend(in_threads(3, keep_asking)))
        raised: list[BaseException] = []
        parent.start()
        children = []
        for child in range(12):
            pid = os.fork()
            if not pid:
                status = 1
                try:
                    ask(lbots, range(100 * child + 1, 100 * child + 41))
                    lbots.close()
                    status = 0
                finally:
                    os._exit(status)
            children.append(pid)
        try:
            assert [wait_for(pid) for pid in children] == [0] * 12
        finally:
            done.set()
            parent.join(60)
        assert raised == []
        ask(lbots, range(1, 3))


def wait_for(pid: int) -> int:
    """The exit status of a child; one that hangs is killed."""
    alarm = threading.Timer(60, os.kill, (pid, signal.SIGKILL))
    alarm.start()
    try:
        return os.waitpid(pid, 0)[1]
    finally:
        alarm.cancel()


def test_a_child_has_connections_and_locks_of_its_own() -> None:
    with Peer(answer(body=DONE)) as peer:
        lbots = lbots_at(peer)
        lbots.post_stats(1)
        with lbots._limits["stats"]._lock, lbots._opening:  # as other threads may, at a fork
            botlists._after_fork()  # as it is called in the child
            assert in_threads(1, lambda: lbots.post_stats(1), 10) == []
        assert peer.connections == 2


def test_a_request_in_flight_at_a_fork_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LBotsClient, "_LIMITS", {"stats": (2, 30.0), "favourites": (1, 1.0)})
    with Peer(silence, answer(body=DONE)) as peer:
        lbots = lbots_at(peer, max_wait=0, retries=0)
        waiting = threading.Thread(target=in_threads, args=(1, lambda: lbots.post_stats(1)))
        waiting.start()
        eventually(lambda: peer.received)
        botlists._after_fork()
        lbots.post_stats(1)
        with pytest.raises(botlists.TooManyRequests):
            lbots.post_stats(1)
        peer.hang_up()
        waiting.join(30)


def test_a_call_that_forks_goes_on_in_the_child(
    monkeypatch: pytest.MonkeyPatch, naps: list[float]
) -> None:
    """As when a signal's handler forks: in a wait for the limit, or for the answer."""
    def answer_in_child(connection: socket.socket) -> None:
        botlists._after_fork()
        connection.sendall(answer(body={**DONE, "favourites": 1}))

    def sleep_in_child(seconds: float) -> None:
        naps.append(seconds)
        botlists._after_fork()

    with Peer(answer_in_child) as peer:
        lbots = lbots_at(peer)
        monkeypatch.setattr(vars(botlists)["time"], "sleep", sleep_in_child)
        for _ in range(5):
            assert lbots.get_favourites() == 1
        assert len(lbots._limits["favourites"]._free) == 3
        assert naps


def test_who_waits_in_the_parent_is_not_ahead_of_the_child(naps: list[float]) -> None:
    with Peer(answer(body={**DONE, "favourites": 1})) as peer:
        lbots = lbots_at(peer, max_wait=4)
        for _ in range(3):
            lbots.get_favourites()
        # Threads that wait, and that the child does not have.
        lbots._limits["favourites"]._queue.extend([object(), object(), object()])
        botlists._after_fork()
        assert lbots.get_favourites() == 1


def test_a_fork_copies_the_settings_of_a_pool_and_not_its_connections() -> None:
    with Peer(GOOD) as peer:
        pool = urllib3.PoolManager(headers={"X-Setting": "kept"}, maxsize=3)
        dbots = dbots_at(peer, pool=pool)
        dbots.post_stats(1)
        botlists._after_fork()  # as it is called in the child
        dbots.post_stats(1)
        assert peer.connections == 2
        assert dbots._pool is not pool and type(dbots._pool) is urllib3.PoolManager
        assert dbots._pool.connection_pool_kw == {"maxsize": 3}
        pool.request("GET", peer.url)
        assert peer.connections == 2


def test_a_fork_keeps_what_the_parent_used_of_a_limit(short_windows: None) -> None:
    with Peer(answer(body=DONE)) as peer:
        lbots = lbots_at(peer, max_wait=0)
        post(lbots, 4)
        botlists._after_fork()
        with pytest.raises(botlists.TooManyRequests):
            lbots.post_stats(1)


def test_clients_that_are_gone_are_forgotten() -> None:
    gc.collect()
    before = len(botlists._clients)
    clients = [DBotsClient(BOT) for _ in range(5)]
    assert len(botlists._clients) == before + 5
    del clients
    gc.collect()
    assert len(botlists._clients) <= before


# Traffic: proxies and TLS


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A server's TLS context whose authority the system trusts."""
    authority = tmp_path / "authority.pem"
    authority.write_text(AUTHORITY)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    return tls_context(tmp_path)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_tls_with_a_trusted_authority(host: str, trusted: ssl.SSLContext) -> None:
    with Peer(GOOD, tls=trusted) as peer:
        dbots = DBotsClient(BOT, TOKEN, base_url=f"https://{host}:{peer.port}")
        assert dbots.post_stats(1) == 1
        assert dbots.post_stats(1) == 1
        assert peer.connections == 1


def test_what_stands_behind_an_answer_is_never_the_next_one(trusted: ssl.SSLContext) -> None:
    for tls in (trusted, None):
        said = [answer(200, "first").ljust(8192) + answer(200, "stale"), answer(200, "second")]
        with Peer(*said, tls=tls) as peer:
            dbots = dbots_at(peer)
            assert (dbots.regenerate_key(), dbots.regenerate_key()) == ("first", "second")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("own_pool", [False, True])
@pytest.mark.parametrize("fault", ["unknown authority", "another host"])
def test_a_refused_certificate_stops_the_token_and_is_not_repeated(
    fault: str,
    own_pool: bool,
    host: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    naps: list[float],
) -> None:
    if fault == "another host":
        authority = tmp_path / "authority.pem"
        authority.write_text(AUTHORITY)
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    certificate = OTHER_CERTIFICATE if fault == "another host" else CERTIFICATE
    pool = urllib3.PoolManager() if own_pool else None
    with Peer(GOOD, tls=tls_context(tmp_path, certificate)) as peer:
        url = f"https://{host}:{peer.port}"
        for call in ("get_log", "regenerate_key"):
            client = DBotsClient(BOT, user_key=KEY_OF_USER, base_url=url, pool=pool)
            with pytest.raises(botlists.TransportError, match="not sent") as caught:
                getattr(client, call)()
            assert caught.value.sent is False
            assert isinstance(caught.value.__cause__, urllib3.exceptions.HTTPError)
        assert peer.received == []
        assert peer.connections == 2
    assert naps == []


class Ear(Server):
    """Hears what it is told first, and hangs up."""

    def serve(self, connection: socket.socket) -> None:
        self.heard = connection.recv(65536)


def test_plain_http_on_a_tls_port_is_an_error(naps: list[float]) -> None:
    with Ear() as peer:
        url = peer.url.replace("http:", "https:")
        with pytest.raises(botlists.TransportError) as caught:
            DBotsClient(BOT, TOKEN, base_url=url, retries=0).post_stats(1)
        assert isinstance(caught.value.__cause__, urllib3.exceptions.HTTPError)
        assert peer.heard[0] == 22  # a handshake
        assert TOKEN.encode() not in peer.heard


def test_tls_before_1_2_is_not_spoken(monkeypatch: pytest.MonkeyPatch) -> None:
    lax = ssl.create_default_context()
    lax.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED  # the default before Python 3.10
    monkeypatch.setattr(ssl, "create_default_context", lambda: lax)
    context = botlists._tls_context(DBotsClient(BOT)._url)
    assert context is not None and context.minimum_version == ssl.TLSVersion.TLSv1_2


@pytest.mark.skipif(sys.version_info < (3, 8), reason="a Python that has no SSLKEYLOGFILE")
def test_tls_that_cannot_be_set_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, naps: list[float]
) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "nowhere" / "keys"))
    with pytest.raises(botlists.TransportError, match="TLS cannot be set up") as caught:
        DBotsClient(BOT, TOKEN).post_stats(1)
    assert caught.value.sent is False


def test_a_refused_fingerprint_stops_the_token_and_is_not_repeated(
    trusted: ssl.SSLContext, tmp_path: Path, naps: list[float]
) -> None:
    pool = urllib3.PoolManager(
        assert_fingerprint="00" * 32, ca_certs=str(tmp_path / "authority.pem")
    )
    with Peer(GOOD, tls=trusted) as peer:
        url = f"https://localhost:{peer.port}"
        with pytest.raises(botlists.TransportError, match="not sent") as caught:
            DBotsClient(BOT, user_key=KEY_OF_USER, base_url=url, pool=pool).regenerate_key()
        assert caught.value.sent is False
        assert (peer.received, peer.connections, naps) == ([], 1, [])


def test_a_pool_with_an_own_authority(tmp_path: Path) -> None:
    context = ssl.create_default_context(cadata=AUTHORITY)
    with Peer(GOOD, tls=tls_context(tmp_path)) as peer:
        pool = urllib3.PoolManager(ssl_context=context)
        url = f"https://localhost:{peer.port}"
        with DBotsClient(BOT, TOKEN, base_url=url, pool=pool) as dbots:
            dbots.post_stats(1)
        assert pool.request("GET", url + "/still/open").status == 200
        assert peer.connections == 1


@pytest.mark.parametrize("own_pool", [False, True])
def test_http_through_a_proxy(own_pool: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    with Peer(GOOD) as peer, Proxy({"lists.example": peer.port}) as proxy:
        pool = urllib3.ProxyManager(proxy.url) if own_pool else None
        if not own_pool:
            monkeypatch.setenv("http_proxy", proxy.url)
        url = "http://lists.example/api/v1"
        assert DBotsClient(BOT, TOKEN, base_url=url, pool=pool).post_stats(893) == 1
        [request] = proxy.received
        assert (request.method, request.path) == ("POST", f"{url}/bots/{BOT}/stats")
        assert request.headers["Host"] == "lists.example"
        assert "Proxy-Authorization" not in request.headers
        assert peer.received[0].json == {"guildCount": 893}
        assert peer.received[0].headers["Authorization"] == TOKEN


@pytest.mark.parametrize("own_pool", [False, True])
def test_https_through_a_proxy(
    own_pool: bool, trusted: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Peer(GOOD, tls=trusted) as peer, Proxy({"dbots.co:443": peer.port}) as proxy:
        pool = urllib3.ProxyManager(proxy.url) if own_pool else None
        if not own_pool:
            monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        dbots = DBotsClient(BOT, TOKEN, pool=pool)
        assert dbots.post_stats(893) == 1
        assert dbots.post_stats(893) == 1
        [request] = proxy.received
        assert (request.method, request.path) == ("CONNECT", "dbots.co:443")
        assert "Authorization" not in request.headers
        assert peer.received[0].headers["Authorization"] == TOKEN


@pytest.mark.parametrize(
    ("scheme", "names", "used"),
    [
        ("http", ["http_proxy"], True),
        ("http", ["HTTP_PROXY"], True),
        ("http", ["all_proxy"], True),
        ("http", ["ALL_PROXY"], True),
        ("http", ["https_proxy"], False),
        ("https", ["https_proxy"], True),
        ("https", ["HTTPS_PROXY"], True),
        ("https", ["ALL_PROXY"], True),
        ("https", ["http_proxy"], False),
        ("http", ["HTTP_PROXY", "REQUEST_METHOD"], False),
        ("http", ["http_proxy", "REQUEST_METHOD"], True),
        ("http", ["no_such_all_proxy"], False),
    ],
)
def test_proxy_variables(
    scheme: str,
    names: list[str],
    used: bool,
    trusted: ssl.SSLContext,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tls = trusted if scheme == "https" else None
    with Peer(GOOD, tls=tls) as peer, Proxy() as proxy:
        for name in names:
            monkeypatch.setenv(name, f"127.0.0.1:{proxy.port}")  # as curl, without a scheme too
        dbots_at(peer).post_stats(1)
        assert len(proxy.received) == used
        assert len(peer.received) == 1


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_proxy_of_a_scheme_is_before_that_of_all(
    scheme: str, trusted: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = trusted if scheme == "https" else None
    with Peer(GOOD, tls=tls) as peer, Proxy() as proxy:
        monkeypatch.setenv(f"{scheme}_proxy", proxy.url)
        monkeypatch.setenv("all_proxy", f"http://127.0.0.1:{unused_port()}")
        assert dbots_at(peer).post_stats(1) == 1
        assert len(proxy.received) == 1


@pytest.mark.parametrize(
    ("value", "used"),
    [
        ("*", False),
        ("lists.example", False),
        ("LISTS.example", False),
        ("example", False),
        (".example", False),
        ("other.example, .lists.example", False),
        ("lists.example:80", False),
        ("lists.example:8080", True),
        ("ists.example", True),
        ("lists.example.com", True),
        ("", True),
    ],
)
def test_no_proxy(
    value: str, used: bool, names: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Peer(GOOD) as peer, Proxy({"lists.example": peer.port}) as proxy:
        names.update({"lists.example": peer.port, "lists.example.": peer.port})
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", value)
        assert DBotsClient(BOT, TOKEN, base_url="http://lists.example").post_stats(1) == 1
        assert len(proxy.received) == used
        if not used:
            DBotsClient(BOT, TOKEN, base_url="http://lists.example.").post_stats(1)
            assert len(proxy.received) == 0


@pytest.mark.parametrize(
    ("value", "used"),
    [
        ("127.0.0.1", False),
        ("10.0.0.0/8, 127.0.0.0/8", False),
        ("127.0.0.1/8", False),
        ("10.0.0.0/8", True),
        ("::1", True),
        ("127.0.0.0/x", True),
    ],
)
def test_no_proxy_with_addresses(value: str, used: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    with Peer(GOOD) as peer, Proxy() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", value)
        assert dbots_at(peer).post_stats(1) == 1
        assert len(proxy.received) == used


def test_no_proxy_with_the_port_of_https(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "socks5://refused-if-it-were-used")
    monkeypatch.setenv("no_proxy", "dbots.co:443")
    assert DBotsClient(BOT, TOKEN).base_url == "https://dbots.co/api/v1"
    monkeypatch.setenv("no_proxy", "dbots.co:80")
    with pytest.raises(ValueError, match="https_proxy"):
        DBotsClient(BOT, TOKEN)


@pytest.mark.parametrize("value", ["::1", "[::1]", "fe80::/10,::/64"])
def test_no_proxy_with_ipv6(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "socks5://refused-if-it-were-used")
    monkeypatch.setenv("no_proxy", value)
    assert DBotsClient(BOT, TOKEN, base_url="https://[::1]:8443").base_url == "https://[::1]:8443"
    with pytest.raises(ValueError, match="https_proxy"):
        DBotsClient(BOT, TOKEN, base_url="https://[2001:db8::1]:8443")


@pytest.mark.parametrize(
    ("userinfo", "plain"),
    [("user:pass", "user:pass"), ("us%40er:p%3Aa%2Fs%C3%A9", "us@er:p:a/sé"), ("u", "u:")],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_proxy_credentials(
    scheme: str,
    userinfo: str,
    plain: str,
    trusted: ssl.SSLContext,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    password = "Basic " + base64.b64encode(plain.encode()).decode()
    tls = trusted if scheme == "https" else None
    with Peer(GOOD, tls=tls) as peer, Proxy(password=password) as proxy:
        monkeypatch.setenv(f"{scheme}_proxy", f"http://{userinfo}@127.0.0.1:{proxy.port}")
        assert dbots_at(peer).post_stats(1) == 1
        assert "Proxy-Authorization" not in peer.received[0].headers
        assert proxy.received[0].headers["Proxy-Authorization"] == password


@pytest.mark.parametrize("method", ["get_log", "regenerate_key"])
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("own_pool", [False, True])
def test_a_proxy_that_refuses(
    own_pool: bool,
    scheme: str,
    method: str,
    trusted: ssl.SSLContext,
    monkeypatch: pytest.MonkeyPatch,
    naps: list[float],
) -> None:
    tls = trusted if scheme == "https" else None
    with Peer(GOOD, tls=tls) as peer, Proxy(password="Basic x") as proxy:
        pool = urllib3.ProxyManager(proxy.url) if own_pool else None
        if not own_pool:
            monkeypatch.setenv(f"{scheme}_proxy", proxy.url)
        with pytest.raises(botlists.TransportError, match="407.*not sent") as caught:
            getattr(dbots_at(peer, pool=pool), method)()
        assert type(caught.value) is botlists.TransportError
        assert caught.value.sent is False
        assert len(proxy.received) == 3
        assert peer.received == []


def test_a_proxys_words_are_cleaned(monkeypatch: pytest.MonkeyPatch, naps: list[float]) -> None:
    said = f"HTTP/1.1 403 \x1b[31m\x85bad {TOKEN}\r\n\r\n".encode("latin-1")
    with Peer(say_and_close(said)) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        with pytest.raises(botlists.TransportError, match="403") as caught:
            DBotsClient(BOT, TOKEN).post_stats(1)
    assert caught.value.sent is False
    assert str(caught.value).isprintable() and TOKEN not in text_of(caught.value)


def test_http_through_an_https_proxy(
    trusted: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Peer(GOOD, tls=trusted) as proxy:  # which answers in place of the service
        monkeypatch.setenv("http_proxy", f"https://u:p@localhost:{proxy.port}")
        dbots = DBotsClient(BOT, TOKEN, base_url="http://lists.example")
        assert [dbots.post_stats(1), dbots.post_stats(1)] == [1, 1]
        assert proxy.received[0].path == f"http://lists.example/bots/{BOT}/stats"
        assert proxy.received[0].headers["Proxy-Authorization"] == "Basic dTpw"
        assert proxy.connections == 1


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_https_proxy_with_another_hosts_certificate(
    scheme: str,
    trusted: ssl.SSLContext,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    naps: list[float],
) -> None:
    with Peer(GOOD, tls=tls_context(tmp_path, OTHER_CERTIFICATE)) as proxy:
        monkeypatch.setenv("all_proxy", f"https://u:p@localhost:{proxy.port}")
        dbots = DBotsClient(BOT, user_key=KEY_OF_USER, base_url=f"{scheme}://dbots.co")
        with pytest.raises(botlists.TransportError, match="not sent") as caught:
            dbots.regenerate_key()
        assert caught.value.sent is False
        assert proxy.received == []


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_an_https_proxy_has_a_name(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", f"https://{host}:8443")
    with pytest.raises(ValueError, match="https_proxy.* name of an https proxy"):
        DBotsClient(BOT, TOKEN)


def test_a_services_own_407_is_no_proxys(trusted: ssl.SSLContext) -> None:
    with Peer(answer(407), GOOD, tls=trusted) as peer, Proxy() as proxy:
        dbots = dbots_at(peer, pool=urllib3.ProxyManager(proxy.url))
        with pytest.raises(botlists.APIError, match="407"):
            dbots.regenerate_key()
        assert len(peer.received) == 1


@pytest.mark.parametrize("own_pool", [False, True])
def test_a_silent_proxy_is_a_timeout(own_pool: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    with Peer(silence) as proxy:
        pool = urllib3.ProxyManager(proxy.url) if own_pool else None
        if not own_pool:
            monkeypatch.setenv("https_proxy", proxy.url)
        with pytest.raises(botlists.TransportTimeout):
            DBotsClient(BOT, TOKEN, pool=pool, timeout=0.2, retries=0).post_stats(1)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_is_not_there(
    scheme: str, monkeypatch: pytest.MonkeyPatch, naps: list[float]
) -> None:
    monkeypatch.setenv("all_proxy", f"http://user:passw0rd@127.0.0.1:{unused_port()}")
    dbots = DBotsClient(BOT, user_key=KEY_OF_USER, base_url=f"{scheme}://lists.example")
    with pytest.raises(botlists.TransportError, match="not sent") as caught:
        dbots.regenerate_key()
    assert caught.value.sent is False
    assert len(naps) == 2
    assert "passw0rd" not in text_of(caught.value) + repr(vars(dbots._open().opener))


@pytest.mark.parametrize("own_pool", [False, True])
def test_a_connection_lost_behind_a_proxy_may_have_been_used(
    own_pool: bool, trusted: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch, naps: list[float]
) -> None:
    for tls in (trusted, None):
        with Peer(reset, GOOD, tls=tls) as peer, Proxy() as proxy:
            pool = urllib3.ProxyManager(proxy.url) if own_pool else None
            if not own_pool:
                monkeypatch.setenv("ALL_PROXY", proxy.url)
            with pytest.raises(botlists.TransportError) as caught:
                dbots_at(peer, pool=pool).regenerate_key()
            assert caught.value.sent is True
            assert len(peer.received) == 1


@pytest.mark.parametrize(
    "url", ["socks5://127.0.0.1:1", "http:///x", "http://h:99999", "http://[::1"]
)
def test_a_bad_proxy_variable_is_named_and_not_shown(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", url)
    with pytest.raises(ValueError, match="https_proxy") as caught:
        DBotsClient(BOT, TOKEN)
    assert url not in str(caught.value)
    DBotsClient(BOT, TOKEN, base_url="http://127.0.0.1")
    DBotsClient(BOT, TOKEN, pool=urllib3.PoolManager())


def test_a_pool_that_blocks_is_given_its_connections_back() -> None:
    pool = urllib3.PoolManager(maxsize=1, block=True)
    said = [answer(204), answer(500), answer(103), b"", answer(200, b"{")]
    with Peer(*said, answer(200, b" " * 2**25), GOOD) as peer:
        dbots = dbots_at(peer, pool=pool, retries=0)
        for _ in range(6):
            [error] = in_threads(1, lambda: dbots.post_stats(1), 10)
            assert isinstance(error, botlists.BotListError)
        assert in_threads(1, lambda: dbots.post_stats(1), 10) == []


def test_a_call_that_meets_a_close_was_not_sent() -> None:
    with Peer(GOOD) as peer:
        dbots = dbots_at(peer, retries=0)
        dbots._open().opener.close()  # type: ignore[union-attr]
        with pytest.raises(botlists.TransportError, match="not sent") as caught:
            dbots.regenerate_key()
        assert caught.value.sent is False


# Traffic: logging


def test_each_attempt_is_a_debug_line_and_each_repeat_a_warning(
    naps: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "botlists")
    loud = b"loud and not HTTP\r\n\r\n"
    with Peer(answer(503, {"message": "loud"}), b"", say_and_close(loud), GOOD) as peer:
        dbots_at(peer, retries=3).post_stats(4242424)
    lines = [(record.levelname, record.getMessage()) for record in caplog.records]
    lines = [line for record, line in zip(caplog.records, lines) if record.name == "botlists"]
    path = re.escape(f"POST /bots/{BOT}/stats: ")
    expected = [
        ("DEBUG", path + r"503 in [0-9]+ ms"),
        ("WARNING", path + r"503; trying again in [0-9.]+ s"),
        ("DEBUG", path + r"no answer in [0-9]+ ms"),
        ("WARNING", path + r".*closed.*; trying again in [0-9.]+ s"),
        ("DEBUG", path + r"no answer in [0-9]+ ms"),
        ("WARNING", path + r".*BadStatusLine.*; trying again in [0-9.]+ s"),
        ("DEBUG", path + r"200 in [0-9]+ ms"),
    ]
    assert [level for level, _ in lines] == [level for level, _ in expected]
    for (_, line), (_, pattern) in zip(lines, expected):
        assert re.fullmatch(pattern, line), line
    text = "".join(record.getMessage() for record in caplog.records)
    assert TOKEN not in text and "loud" not in text and "4242424" not in text


def test_a_second_for_a_limit_is_an_info_line_and_less_is_none(
    naps: list[float], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "botlists")
    with Peer(answer(body=DONE)) as peer:
        for window in (0.9, 1.2):
            limits = {"stats": (1, window), "favourites": (1, window)}
            monkeypatch.setattr(LBotsClient, "_LIMITS", limits)
            post(lbots_at(peer), 2)
    [line] = [record for record in caplog.records if record.name == "botlists"]
    assert line.levelname == "INFO"
    assert re.fullmatch(rf"POST /bots/{BOT}/stats waits 1\.[12] s for its limit", line.getMessage())


# The command line


@pytest.fixture
def command(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Any]:
    """Run the command line against the sandbox: (exit status, JSON of stdout, stderr)."""
    monkeypatch.setenv("DBOTS_TOKEN", sandbox.dbots_token)
    monkeypatch.setenv("DBOTS_USER_KEY", sandbox.user_key)
    monkeypatch.setenv("LBOTS_TOKEN", sandbox.lbots_token)

    def run_command(line: str, *more: str) -> tuple[int, Any, str]:
        url = sandbox.dbots_url if line.startswith("dbots") else sandbox.lbots_url
        options = [] if "--base-url" in more else ["--base-url", url]
        try:
            status = botlists.main([*options, *more, *line.split()])
        except SystemExit as stop:
            assert isinstance(stop.code, int)
            status = stop.code
        out, err = capsys.readouterr()
        return status, json.loads(out) if out else None, err

    return run_command


def test_commands(command: Callable[..., Any], sandbox: Sandbox) -> None:
    url = "https://example.com/vote"
    document = {"bot_id": BOT, "token": "dbots-token-1", "vote_webhook_url": url}
    for line, result in (
        (f"dbots post-stats {BOT} 893", {"guild_count": 893}),
        (f"dbots get-log {BOT}", {"bot_id": BOT, "changes": []}),
        (f"dbots edit-api {BOT} --vote-webhook-url {url}", document),
        (f"dbots get-api {BOT}", document),
        (f"dbots edit-api {BOT} --clear", {**document, "vote_webhook_url": None}),
        (f"dbots regenerate-key {BOT}", {"token": "dbots-token-2"}),
        (f"lbots post-stats {BOT} 7", {"guild_count": 7}),
        (
            f"lbots post-stats {BOT} 7 --shard-id 0 --shard-count 4",
            {"guild_count": 7, "shard_id": 0, "shard_count": 4},
        ),
        (f"lbots post-shard-stats {BOT} 5 0 7", {"guild_counts": [5, 0, 7]}),
        (f"lbots get-favourites {BOT}", {"favourites": 1}),
        (
            f"lbots has-favourited {BOT} {FAN}",
            {"user_id": FAN, "favourited": True, "time": "2019-01-21T01:19:38+00:00"},
        ),
        (
            f"lbots has-favourited {BOT} {STRANGER}",
            {"user_id": STRANGER, "favourited": False, "time": None},
        ),
        (f"lbots invalidate-token {BOT}", {"invalidated": True}),
    ):
        assert command(line) == (0, result, "")
    status, log, _ = command(f"dbots get-log {BOT}")
    assert status == 0
    change = log["changes"][0]
    assert set(change) == {"at", "by", "old", "new"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", change["at"])
    assert sandbox.total == 12


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("dbots post-stats 1 5", "404"),
        (f"dbots get-log {BOT}", "401"),
        (f"lbots post-stats {BOT} 5", "401"),
    ],
)
def test_a_command_that_fails_is_one_line_and_1(
    line: str, part: str, command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBOTS_USER_KEY", TOKEN)
    monkeypatch.setenv("LBOTS_TOKEN", TOKEN)
    status, out, err = command(line)
    assert (status, out) == (1, None)
    assert re.fullmatch(f"botlists: {part}: [^\n]+\n", err)


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("", "SERVICE"),
        ("dbots", "COMMAND"),
        ("dbots post-stats", "BOT"),
        (f"dbots post-stats {BOT}", "N"),
        (f"dbots post-stats {BOT} 1.5", "N"),
        (f"dbots post-stats {BOT} １２", "N"),
        (f"dbots post-stats {BOT} 1_0", "N"),
        (f"dbots post-stats {BOT} -1", "guild_count"),
        ("dbots post-stats ../1 1", "bot_id"),
        (f"dbots edit-api {BOT}", "--vote-webhook-url --clear"),
        (f"dbots edit-api {BOT} --clear --vote-webhook-url x", "not allowed"),
        (f"lbots post-stats {BOT} 1 --shard-id 4 --shard-count 4", "shard_id"),
        (f"lbots post-shard-stats {BOT}", "N"),
        (f"lbots has-favourited {BOT} x", "user_id"),
        (f"lbots post-stats {BOT} {TOKEN}", "argument N: must be an integer"),
        (f"lbots post-stats {BOT} 1 --token {TOKEN}", "unrecognized arguments --token"),
        (f"lbots post-stats {BOT} 1 --token={TOKEN} {TOKEN}", "unrecognized arguments --token"),
        (f"lbots post-stats {TOKEN} 1", "bot_id"),
    ],
)
def test_wrong_usage_is_2_and_nothing_is_sent(
    line: str, part: str, command: Callable[..., Any], sandbox: Sandbox
) -> None:
    status, out, err = command(line)
    assert (status, out) == (2, None)
    assert part in err and TOKEN not in err
    assert sandbox.received == []


@pytest.mark.parametrize(
    "options",
    [("--timeout", "0"), ("--timeout", "x"), ("--max-wait", "-1"), ("--base-url", "dbots.co")],
)
def test_wrong_options_are_2(options: tuple[str, str], command: Callable[..., Any]) -> None:
    status, out, err = command(f"dbots post-stats {BOT} 1", *options)
    assert (status, out) == (2, None)
    assert options[0][2:].replace("-", "_") in err.replace("-", "_")


@pytest.mark.parametrize(
    ("line", "variable"),
    [
        (f"dbots post-stats {BOT} 1", "DBOTS_TOKEN"),
        (f"dbots get-api {BOT}", "DBOTS_USER_KEY"),
        (f"lbots get-favourites {BOT}", "LBOTS_TOKEN"),
    ],
)
@pytest.mark.parametrize("value", [None, "", "secret\n"])
def test_a_missing_or_bad_variable_is_named(
    value: str | None,
    line: str,
    variable: str,
    command: Callable[..., Any],
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(variable) if value is None else monkeypatch.setenv(variable, value)
    status, out, err = command(line)
    assert (status, out) == (2, None)
    assert variable in err and "secret" not in err and err.count("\n") == 1
    assert sandbox.received == []


def test_options_reach_the_client(command: Callable[..., Any]) -> None:
    assert command(f"dbots post-stats {BOT} 1", "--max-wait", "0.5", "--timeout", "1.5")[0] == 0
    with Peer(answer(429, Retry_After="2")) as peer:
        started = time.monotonic()
        line = f"dbots post-stats {BOT} 1"
        status, _, err = command(line, "--base-url", peer.url, "--max-wait", "1")
        assert (status, err) == (1, "botlists: 429: Said So\n")
        assert len(peer.received) == 1
    with Peer(silence) as peer:
        options = ("--base-url", peer.url, "--max-wait", "0", "--timeout", "0.1")
        assert command(line, *options)[0] == 1
    assert time.monotonic() - started < 5


def test_help_is_complete(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        botlists.main(["--help"])
    assert stop.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for words, (summary, variable, _, _) in botlists._COMMANDS.items():
        assert re.search(rf" {words} [^)]*(--clear\) )?BOT.*? {summary} \({variable}\)", text)
    for part in (*botlists._VARIABLES, "Exit status: 0", "1 if", "2 for", "example:"):
        assert part in text
    assert "edit-api (--vote-webhook-url URL | --clear)" in text
    with pytest.raises(SystemExit):
        botlists.main(["--version"])
    assert capsys.readouterr().out == f"botlists {botlists.__version__}\n"


def test_progress_is_shown_on_a_terminal_only(
    command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    line = f"lbots post-shard-stats {BOT} 1 2 3"
    assert command(line)[2] == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert command(line)[2] == "1 of 3 shards\r2 of 3 shards\r3 of 3 shards\n"


@pytest.mark.parametrize("entry", [("-m", "botlists"), (str(Path(botlists.__file__)),)])
def test_module_and_file_are_the_command(entry: tuple[str, ...], sandbox: Sandbox) -> None:
    line = ["--base-url", sandbox.lbots_url, "lbots", "get-favourites", BOT]
    closed = f"http://127.0.0.1:{unused_port()}"
    done = run(*entry, *line, LBOTS_TOKEN=sandbox.lbots_token)
    assert (done.returncode, done.stdout, done.stderr) == (0, '{"favourites": 1}\n', "")
    done = run(*entry, *line, LBOTS_TOKEN="wrong")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "botlists: 401: Unauthorized\n"
    done = run(*entry, "--max-wait", "0", *line, LBOTS_TOKEN="t", http_proxy=closed)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    done = run(*entry, *line)
    assert (done.returncode, done.stdout) == (2, "")


def test_a_command_that_repeats_says_nothing_of_it() -> None:
    with Peer(answer(503, Retry_After="0"), GOOD) as peer:
        line = ["--base-url", peer.url, "lbots", "post-stats", BOT, "7"]
        done = run("-m", "botlists", *line, LBOTS_TOKEN=TOKEN)
        assert len(peer.received) == 2
    assert (done.returncode, done.stdout, done.stderr) == (0, '{"guild_count": 7}\n', "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a system without /dev/full")
def test_a_result_that_cannot_be_written_is_an_error(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DBOTS_USER_KEY", sandbox.user_key)
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    monkeypatch.setenv("PYTHONUNBUFFERED", "")
    line = ["--base-url", sandbox.dbots_url, "dbots", "get-log", BOT]
    expected = "botlists: standard output: No space left on device\n"
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert botlists.main(line) == 1
    assert capsys.readouterr().err == expected
    with open("/dev/full", "w") as full, subprocess.Popen(
        [sys.executable, "-m", "botlists", *line], stdout=full, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.communicate(timeout=30)[1] == expected
        assert process.returncode == 1


def test_an_interrupt_is_130(
    command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(client: DBotsClient) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(DBotsClient, "get_log", interrupt)
    assert command(f"dbots get-log {BOT}") == (130, None, "botlists: interrupted\n")


def test_a_command_that_is_interrupted_is_one_line_and_130() -> None:
    with Peer(silence) as peer, subprocess.Popen(
        [sys.executable, "-m", "botlists", "--base-url", peer.url, "dbots", "get-log", BOT],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(HERE), "DBOTS_USER_KEY": KEY_OF_USER},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        try:
            eventually(lambda: peer.received)
            process.send_signal(signal.SIGINT)
            assert process.communicate(timeout=30) == ("", "botlists: interrupted\n")
            assert process.returncode == 130
        finally:
            process.kill()


def test_the_module_runs_as_a_script(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["botlists.py", "--version"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(botlists.__file__, run_name="__main__")
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"botlists {botlists.__version__}\n"


# The README


README = (HERE / "README.rst").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"\.\. code:: python\n\n((?:    .*\n|\n)+)", README)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_of_the_readme_runs_as_it_stands(
    number: int, trusted: ssl.SSLContext, tmp_path: Path
) -> None:
    """Against the sandbox, which a proxy takes for the real hosts."""
    example = textwrap.dedent(EXAMPLES[number])
    for package, module in (("tqdm", "tqdm"), ("contrib.socks", "socks")):
        if package in example:
            pytest.importorskip(module)
    with Sandbox(tls=trusted) as box:
        hosts = {"dbots.co:443": box.port, "lbots.org:443": box.port}
        with Proxy(hosts) as proxy:
            secrets = {
                "DBOTS_TOKEN": box.dbots_token,
                "DBOTS_USER_KEY": box.user_key,
                "LBOTS_TOKEN": box.lbots_token,
            }
            done = run("-c", example, cwd=tmp_path, HTTPS_PROXY=proxy.url, **secrets)
        assert done.returncode == 0, done.stderr
        called = len(box.received)
        if "Sandbox" in example or "pool=" in example:  # with servers of its own, or none
            assert called == 0
        else:
            assert called >= 1
        posted = "lbots.post_" in example and called
        assert box.total == (0 if not posted else 2317 if "602" in example else 893)


def test_the_readme_has_every_name() -> None:
    assert len(EXAMPLES) >= 8
    for name in botlists.__all__:
        assert f"``{name}" in README
    for client in (DBotsClient, LBotsClient):
        for name in vars(client):
            assert name.startswith("_") or f"``{name}" in README
    for variable in botlists._VARIABLES:
        assert variable in README
    assert f"\n{botlists.__version__}: " in README


# The demonstration


def test_the_demonstration_shows_every_call_and_no_secret() -> None:
    done = run(str(HERE / "test_botlists.py"))
    assert (done.returncode, done.stderr) == (0, "")
    for client in (DBotsClient, LBotsClient):
        for name in vars(client):
            assert name.startswith("_") or "favor" in name or name in done.stdout
    assert "token-1" not in done.stdout and "user-key" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100
    for error in ("Unauthorized", "NotFound", "TooManyRequests"):
        assert error in done.stdout


def test_the_demonstration_serves_until_stopped() -> None:
    port = unused_port()
    with subprocess.Popen(
        [sys.executable, str(HERE / "test_botlists.py"), "--serve", str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        try:
            assert process.stdout is not None
            text = "".join(line for line in lines_until("Ctrl-C ends it", process.stdout))
            found = re.search(r"LBotsClient\(.*", text)
            assert found is not None
            client: LBotsClient = eval(found.group())
            assert client.base_url == f"http://127.0.0.1:{port}/lbots/api/v1"
            assert client.get_favourites() == 1
            process.send_signal(signal.SIGINT)
            assert process.communicate(timeout=30) == ("", "")
            assert process.returncode == 0
        finally:
            process.kill()


def lines_until(last: str, stream: Any) -> Iterator[str]:
    for line in stream:
        yield line
        if last in line:
            return


def show(received: list[Received], secrets: Callable[[str], str], client: Any, name: str,
         *args: Any, **kwargs: Any) -> None:
    """Make a call and print it, what went over the wire, and what came of it."""
    del received[:]
    given = [repr(arg) for arg in args] + [f"{key}={value!r}" for key, value in kwargs.items()]
    print(f"{type(client).__name__[:5].lower()}.{name}({', '.join(given)})")
    try:
        result = repr(getattr(client, name)(*args, **kwargs))
    except botlists.BotListError as error:
        result = f"{type(error).__name__}: {error}"
    for request in received:
        path = re.sub("^/[dl]bots/api/v1", "", request.path)
        print(f"    sent  {request.method:5} {path} {request.body.decode()}".rstrip())
    print(textwrap.fill(secrets(f"    got   {result}"), 96, subsequent_indent=" " * 10))


def demonstrate() -> None:
    """Call every method against a sandbox and show what happens."""
    def masked(text: str) -> str:
        return re.sub(r"([dl]bots)-(token|user-key)[-0-9]*", "***", text)

    with Sandbox() as box:
        dbots = DBotsClient(BOT, box.dbots_token, user_key=box.user_key, base_url=box.dbots_url)
        lbots = LBotsClient(BOT, box.lbots_token, base_url=box.lbots_url, max_wait=1)
        call = functools.partial(show, box.received, masked)
        print(f"{dbots}\n")
        call(dbots, "post_stats", 893)
        call(dbots, "edit_api", vote_webhook_url="https://example.com/vote")
        call(dbots, "get_api")
        call(dbots, "get_log")
        call(dbots, "regenerate_key")
        call(dbots, "post_stats", 894)
        print(f"\n{lbots}\n")
        call(lbots, "post_stats", 19902)
        call(lbots, "post_stats", 564, shard_id=2, shard_count=4)
        call(lbots, "post_shard_stats", [564, 570, 581])
        call(lbots, "get_favourites")
        call(lbots, "has_favourited", FAN)
        call(lbots, "has_favourited", STRANGER)
        print("\nErrors: a wrong token, an unknown bot, a limit, a token that is gone\n")
        call(DBotsClient(BOT, "wrong", base_url=box.dbots_url), "post_stats", 893)
        call(DBotsClient(1, box.dbots_token, base_url=box.dbots_url), "post_stats", 893)
        for _ in range(3):
            call(lbots, "get_favourites")
        call(lbots, "invalidate_token")
        call(lbots, "post_stats", 19903)


def serve(port: int) -> None:
    """Keep a sandbox up until Ctrl-C, and say how to use it."""
    with contextlib.suppress(KeyboardInterrupt), Sandbox(port) as box:
        print("Both services are up, with one bot. In another terminal, or a script of yours:")
        print("from botlists import DBotsClient, LBotsClient")
        print(
            f"dbots = DBotsClient({BOT}, {box.dbots_token!r}, user_key={box.user_key!r}, "
            f"base_url={box.dbots_url!r})"
        )
        print(
            f"lbots = LBotsClient({BOT}, {box.lbots_token!r}, base_url={box.lbots_url!r})\n"
        )
        print(f"User {FAN} has favourited the bot. Ctrl-C ends it.", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    parser = argparse.ArgumentParser(description=demonstrate.__doc__)
    parser.add_argument("--serve", nargs="?", type=int, const=0, metavar="PORT", help=serve.__doc__)
    arguments = parser.parse_args()
    demonstrate() if arguments.serve is None else serve(arguments.serve)
