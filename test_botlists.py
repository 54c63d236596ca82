"""The specification of botlists, and a sandbox of DBots and LBots to try it on.

    python -m pytest                              check every promise
    python test_botlists.py                       see every call, without an account or a network
    python test_botlists.py --serve [PORT]        keep the sandbox running, for your own scripts

The sandbox responds as the services do: LBots as documented, DBots as its published source does.
"""

from __future__ import annotations

import argparse
import base64
import collections
import contextlib
import errno
import gc
import gzip
import http.client
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
import socketserver
import ssl
import struct
import subprocess
import sys
import textwrap
import threading
import time
import traceback
import types
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any, Callable, Iterator, NamedTuple, Sequence, Union

import pytest
import urllib3
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

import botlists
from botlists import DBotsClient, LBotsClient

Patch = pytest.MonkeyPatch
Log = pytest.LogCaptureFixture

HERE = Path(__file__).resolve().parent
BOT = "264811613708746752"
FAN = 367330084337745920  # a user who has favourited the bot
STRANGER = 145557815287611393  # one who has not
PAGE = "<!doctype html><title>DBots</title>"

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
    """Raised by a handler of the sandbox, with the status and the reason of an error response."""


class Sandbox(HTTPServer):
    """Both services on one port, with one bot on each, and a state that calls change."""

    def __init__(self, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        super().__init__("127.0.0.1", port, ssl_context=tls)
        self.reset()
        self.expect_request(re.compile("")).respond_with_handler(self.respond)

    def reset(self) -> None:
        self.received: list[Received] = []
        self.on_response: Callable[[Received, Response], object] = lambda request, response: None
        self.next_responses: list[Response] = []  # sent in place of the services' own
        self.user_key = "dbots-user-key"
        self.other_key = "dbots-key-of-somebody-else"
        self.dbots_token = "dbots-token-1"
        self.documented_rotation = True  # no published source of the service has this path
        self.guild_count = 0
        self.webhook: dict[str, str | None] = {}  # empty until one is set
        change: dict[str, Any] = {"by": str(STRANGER), "at": "2020-08-07T12:56:27.100Z"}
        self.changes = [
            {**change, "changes": {"old": {"tags": []}, "new": {"tags": ["music"]}}},
            change,  # a save without a change
            {**change, "changes": {"old": {"tags": ["music"]}}},  # a removal
        ]
        self.lbots_token = "lbots-token-1"
        self.shards: dict[Any, int] = {}  # None: a post without a shard
        self.favourites = {FAN: datetime(2019, 1, 21, 1, 19, 38, tzinfo=timezone.utc)}
        self.windows: dict[str, list[float]] = collections.defaultdict(list)

    @property
    def dbots_url(self) -> str:
        return self.url_for("/dbots/api/v1")

    @property
    def lbots_url(self) -> str:
        return self.url_for("/lbots/api/v1")

    def respond(self, request: Request) -> Response:
        headers, body = dict(request.headers), request.get_data()
        seen = Received(time.monotonic(), request.method, request.path, headers, body)
        self.received.append(seen)
        response = self.next_responses.pop(0) if self.next_responses else self.handle(request)
        self.on_response(seen, response)
        return response

    def handle(self, request: Request) -> Response:
        # Behind a proxy the services have their own hosts, otherwise they have their own paths.
        lbots = request.path.startswith("/lbots/") or request.host.startswith("lbots.")
        path = request.path.partition("/api/v1")[2]
        try:
            for method, pattern, handler in self.LBOTS if lbots else self.DBOTS:
                match = re.fullmatch(pattern, path)
                if match and method == request.method:
                    document = handler(self, request, *match.groups())
                    if lbots:
                        document = {"status_code": 200, "success": True, **document}
                    return self.json(200, document)
            vote = re.fullmatch("/dbots/vote/([0-9]+)", request.path)
            if vote:
                try:
                    return Response(f"The webhook responded with {self.vote(vote.group(1))}.\n")
                except (ValueError, urllib3.exceptions.HTTPError) as error:
                    return Response(f"{error}\n", 502)
            if not (lbots or "/api/v1/" in request.path):
                return Response(PAGE, content_type="text/html")
            raise Refusal(404, "Not Found" if lbots else "Not found")
        except Refusal as refusal:
            status, reason = refusal.args
            if lbots:
                return self.json(status, {"status_code": status, "success": False, "error": reason})
            if status == 429:
                return Response(reason, 429, {"Retry-After": "60"}, content_type="text/html")
            return self.json(status, {"message": reason})

    @staticmethod
    def json(status: int, document: Any) -> Response:
        return Response(json.dumps(document), status, content_type="application/json")

    def vote(self, user: int | str) -> int:
        """Send a vote to the webhook, as DBots does, and return the status of the response."""
        url = self.webhook.get("voteWebhookURL")
        if url is None:
            raise ValueError("no vote webhook is set")
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        body = json.dumps({"at": now.replace("+00:00", "Z"), "by": str(user)})
        headers = {"Authorization": self.dbots_token, "Content-Type": "application/json"}
        pool = urllib3.PoolManager(timeout=10, retries=False)
        return pool.request("POST", url, body=body, headers=headers).status

    def check_rate_limit(self, name: str, calls: int, seconds: float, reason: str) -> None:
        now = time.monotonic()
        window = [at for at in self.windows[name] if now - at < seconds]
        self.windows[name] = [*window, now]
        if len(window) >= calls:
            raise Refusal(429, reason)

    # DBots

    def check_dbots_token(self, request: Request, bot: str) -> None:
        self.check_rate_limit("dbots", 300, 60, "You are being rate limited.")
        if bot != BOT:
            raise Refusal(404, "Not found")
        if request.headers.get("Authorization") != self.dbots_token:
            raise Refusal(401, "Unauthorized")

    def check_user_key(self, request: Request, bot: str) -> None:
        self.check_rate_limit("dbots", 300, 60, "You are being rate limited.")
        key = request.headers.get("Authorization")
        if key not in (self.user_key, self.other_key):
            if request.method == "GET" and request.path.endswith("/api"):  # a bug of the service
                raise Refusal(500, "Cannot read properties of undefined (reading 'id')")
            raise Refusal(401, "Unauthorized")
        if key == self.other_key or bot != BOT:
            raise Refusal(400, "Bot not manageable")

    def dbots_stats(self, request: Request, bot: str) -> Any:
        self.check_dbots_token(request, bot)
        self.guild_count = json.loads(request.get_data())["guildCount"]
        return {"guildCount": self.guild_count}

    def dbots_log(self, request: Request, bot: str) -> Any:
        self.check_user_key(request, bot)
        return {"_id": BOT, "changes": self.changes, "analytics": {"views": 5}}

    def dbots_regen(self, request: Request, bot: str) -> Any:
        self.check_user_key(request, bot)
        self.dbots_token = f"dbots-token-{int(self.dbots_token[12:]) + 1}"
        self.webhook = {}
        return self.dbots_token

    def dbots_documented_regen(self, request: Request, bot: str) -> Any:
        if not self.documented_rotation:
            raise Refusal(404, "Not found")
        return {"token": self.dbots_regen(request, bot)}

    def dbots_api(self, request: Request, bot: str) -> Any:
        self.check_user_key(request, bot)
        return {"_id": BOT, "token": self.dbots_token, **self.webhook, "__v": 0}

    def dbots_edit(self, request: Request, bot: str) -> Any:
        self.check_user_key(request, bot)
        self.webhook = {"voteWebhookURL": json.loads(request.get_data())["voteWebhookURL"]}
        return self.dbots_api(request, bot)

    DBOTS = (
        ("POST", "/bots/([^/]+)/stats", dbots_stats),
        ("GET", "/bots/([^/]+)/log", dbots_log),
        ("GET", "/bots/([^/]+)/keys/regen", dbots_documented_regen),
        ("GET", "/bots/([^/]+)/key/regen", dbots_regen),
        ("GET", "/bots/([^/]+)/api", dbots_api),
        ("PATCH", "/bots/([^/]+)/api", dbots_edit),
    )

    # LBots

    def check_lbots_token(self, request: Request, bot: str) -> None:
        if request.headers.get("Authorization") != self.lbots_token:
            raise Refusal(401, "Unauthorized")
        if bot != BOT:
            raise Refusal(404, "Bot does not exist")

    def lbots_stats(self, request: Request, bot: str) -> dict[str, Any]:
        self.check_lbots_token(request, bot)
        self.check_rate_limit("stats", 20, 5, "Too Many Requests")
        stats = json.loads(request.get_data())
        numbers = [stats.get(key, 0) for key in ("guild_count", "shard_id", "shard_count")]
        if "guild_count" not in stats or any(type(number) is not int for number in numbers):
            raise Refusal(400, "Invalid post data")
        self.shards[stats.get("shard_id")] = stats["guild_count"]
        return {}

    def lbots_favourites(self, request: Request, bot: str) -> dict[str, Any]:
        self.check_lbots_token(request, bot)
        self.check_rate_limit("favourites", 3, 4, "Too Many Requests")
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


def http_date(at: datetime) -> str:
    return at.strftime("%a, %d %b %Y %H:%M:%S GMT")


# Servers that do what they are told

Reply = Union[bytes, Callable[[socket.socket], None]]


def response(status: int = 200, body: Any = b"", reason: str = "Said So", **headers: str) -> bytes:
    """The bytes of an HTTP response. A `body` that is not bytes is sent as JSON."""
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
        headers[name.title()] = value.strip()
    body = stream.read(int(headers.get("Content-Length", 0)))
    return Received(time.monotonic(), first[0].decode(), first[1].decode(), headers, body)


class Server(socketserver.ThreadingTCPServer):
    """A TCP server on loopback that calls `serve` for each connection, in its own thread."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.tls = tls
        self.connections = 0
        self.sockets: list[socket.socket] = []
        super().__init__(("127.0.0.1", 0), socketserver.BaseRequestHandler)
        self.port = self.server_address[1]
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}"
        threading.Thread(target=self.serve_forever, args=(0.005,), daemon=True).start()

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections += 1
        self.sockets.append(request)
        super().process_request(request, client_address)

    def finish_request(self, request: Any, client_address: Any) -> None:
        with contextlib.suppress(OSError):  # the client may disconnect at any time
            if self.tls is not None:
                request = self.tls.wrap_socket(request, server_side=True)
                self.sockets.append(request)
            with request:
                self.serve(request)

    def serve(self, connection: socket.socket) -> None:
        raise NotImplementedError

    def hang_up(self) -> None:
        """Close all connections, as a service does with idle ones."""
        sockets, self.sockets = self.sockets, []
        for connection in sockets:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def __exit__(self, *exc_info: Any) -> None:
        self.shutdown()
        self.server_close()
        self.hang_up()


class Peer(Server):
    """Responds to each request with the next of `replies`, the last one again and again.

    A reply is bytes to send, or a function of the socket. b"" closes the connection.
    """

    def __init__(self, *replies: Reply, tls: ssl.SSLContext | None = None) -> None:
        self.replies = collections.deque(replies)
        self.ended = threading.Event()  # set when a client has closed a connection
        self.received: list[Received] = []
        self.lock = threading.Lock()
        super().__init__(tls)

    def serve(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as stream:
            for request in iter(lambda: read_request(stream), None):
                reply = self.next_reply(request)
                if reply == b"":
                    return
                if isinstance(reply, bytes):
                    connection.sendall(reply)
                else:
                    reply(connection)
        self.ended.set()

    def next_reply(self, request: Received) -> Reply:
        with self.lock:
            self.received.append(request)
            return self.replies.popleft() if len(self.replies) > 1 else self.replies[0]


class Proxy(Server):
    """A proxy for CONNECT and absolute URLs. `hosts` are the ports that host names stand for."""

    def __init__(self, hosts: dict[str, int] | None = None, password: str = "") -> None:
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
            connection.sendall(response(407, reason="Who Are You", Connection="close"))
            return
        host, _, port = request.path.replace("http://", "").split("/")[0].partition(":")
        with socket.create_connection(("127.0.0.1", self.hosts.get(host) or int(port))) as target:
            if request.method == "CONNECT":
                connection.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
            else:
                path = "/" + request.path.split("/", 3)[3]
                headers = {**request.headers, "Proxy-Authorization": ""}  # not passed on
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
    except OSError:  # pass the reset on
        reset(sink)


def reset(connection: socket.socket) -> None:
    """Close the connection so that the other side gets a ConnectionResetError."""
    with contextlib.suppress(OSError):
        linger = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        connection.shutdown(socket.SHUT_RD)
    connection.close()


# A certificate that is its own authority, for localhost, 127.0.0.1, dbots.co and lbots.org, until
# 2120, and its key.

CERTIFICATE = """
-----BEGIN CERTIFICATE-----
MIIBlTCCATqgAwIBAgIBATAKBggqhkjOPQQDAjAYMRYwFAYDVQQDDA1ib3RsaXN0
cyB0ZXN0MCAXDTIwMDEwMTAwMDAwMFoYDzIxMjAwMTAxMDAwMDAwWjAYMRYwFAYD
VQQDDA1ib3RsaXN0cyB0ZXN0MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEu5fN
XXPjqSDDCYm7FAkUJsiCoQPZZdt9pcF85xcWamxdAll5+0PvhsRE5dduaLtEiIj9
MK1QGrKCXnkMA859JKNzMHEwDwYDVR0TAQH/BAUwAwEB/zAOBgNVHQ8BAf8EBAMC
AoQwLwYDVR0RBCgwJoIJbG9jYWxob3N0gghkYm90cy5jb4IJbGJvdHMub3JnhwR/
AAABMB0GA1UdDgQWBBRB1jO1BqJvQfOZnafMZrmmHz8IOzAKBggqhkjOPQQDAgNJ
ADBGAiEA1rcZXJItaAXqBOpcB8I851r2KWvD1tnsNddUr0yEfB4CIQD3a28HOQ1L
utPhgb+eYoD9l9lS8fJMvl4gpzblyD1sPQ==
-----END CERTIFICATE-----
"""
KEY = """
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQggjNH43C6CA/XaRHl
N5r+vevpZ+/pwUpAqZpsSLCv0xmhRANCAAS7l81dc+OpIMMJibsUCRQmyIKhA9ll
232lwXznFxZqbF0CWXn7Q++GxETl125ou0SIiP0wrVAasoJeeQwDzn0k
-----END PRIVATE KEY-----
"""


def tls_context(folder: Path) -> ssl.SSLContext:
    """The TLS context of a server with this certificate."""
    file = folder / "server.pem"
    file.write_text(CERTIFICATE + KEY)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(str(file))
    return context


# Fixtures and helpers


@pytest.fixture(scope="session")
def server() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(server: Sandbox) -> Sandbox:
    server.reset()
    return server


def clients_of(box: Sandbox) -> tuple[DBotsClient, LBotsClient]:
    return (
        DBotsClient(BOT, box.dbots_token, user_key=box.user_key, base_url=box.dbots_url),
        LBotsClient(BOT, box.lbots_token, base_url=f"{box.lbots_url}/"),  # a slash is fine
    )


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: Patch) -> None:
    """No proxy, authority or secret of the machine reaches a test."""
    names = {"all_proxy", "http_proxy", "https_proxy", "no_proxy", "request_method"}
    names |= {"dbots_token", "dbots_user_key", "lbots_token", "sslkeylogfile"}
    for name in list(os.environ):
        if name.lower() in names:
            monkeypatch.delenv(name)
    monkeypatch.setenv("SSL_CERT_FILE", os.devnull)
    monkeypatch.setenv("SSL_CERT_DIR", os.devnull)


@pytest.fixture
def naps(monkeypatch: Patch) -> list[float]:
    """The seconds that botlists sleeps, on a clock that jumps. A test may add some to it."""
    slept: list[float] = []
    clock = types.SimpleNamespace(
        sleep=lambda seconds: slept.extend([seconds] if seconds else []),
        time=time.time,
        monotonic=lambda: time.monotonic() + sum(slept),
    )
    monkeypatch.setattr(botlists, "time", clock)
    return slept


@pytest.fixture
def names(monkeypatch: Patch) -> dict[str, Any]:
    """The host names that exist: each has a port on 127.0.0.1, or an iterator of ports."""
    ports: dict[str, Any] = {}
    resolve = socket.getaddrinfo

    def look_up(host: Any, port: Any, *rest: Any, **more: Any) -> Any:
        if host in ports or (re.search("[a-z]", str(host)) and host != "localhost"):
            known: Any = ports.get(host)
            host, port = "127.0.0.1", next(known) if hasattr(known, "__next__") else known
            if port is None:
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return resolve(host, port, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return ports


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: Patch) -> ssl.SSLContext:
    """The TLS context of a server whose certificate the system trusts."""
    authority = tmp_path / "authority.pem"
    authority.write_text(CERTIFICATE)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    return tls_context(tmp_path)


TOKEN = "a-t0ken/of.some+length="
USER_KEY = "the-key.of-a-user/" * 8  # as long as a JWT
DONE = {"success": True}
GOOD_BODY = {**DONE, "_id": BOT, "guildCount": 1, "token": "t", "changes": [], "favourites": 1}
GOOD = response(body=GOOD_BODY)  # a success for each method but has_favourited


def dbots_at(server: Server, **options: Any) -> DBotsClient:
    return DBotsClient(BOT, TOKEN, user_key=USER_KEY, base_url=server.url, **options)


def lbots_at(server: Server, **options: Any) -> LBotsClient:
    return LBotsClient(BOT, TOKEN, base_url=server.url, **options)


ARGUMENTS: dict[str, dict[str, Any]] = {
    "post_stats": {"guild_count": 1},
    "edit_api": {"vote_webhook_url": None},
    "has_favourited": {"user_id": FAN},
}


def do(client: DBotsClient | LBotsClient, method: str) -> Any:
    return getattr(client, method)(**ARGUMENTS.get(method, {}))


def play(call: str, *replies: Reply, **options: Any) -> tuple[Any, list[Received]]:
    """The result, or the error, of a call to a Peer with these replies, and what it received."""
    service, method = call.split(".")
    client_at: Callable[..., Any] = dbots_at if service == "dbots" else lbots_at
    with Peer(*replies) as peer, client_at(peer, **options) as client:
        try:
            return do(client, method), peer.received
        except botlists.BotListError as error:
            return error, peer.received


def text_of(error: BaseException) -> str:
    """All that a traceback shows, and the repr."""
    lines = traceback.format_exception(type(error), error, error.__traceback__)
    return "".join([*lines, repr(error)])


PYPY = sys.implementation.name == "pypy"  # a forked child keeps its import lock, even if locked
POSIX = hasattr(os, "fork")
needs_fork = pytest.mark.skipif(not POSIX, reason="needs os.fork")
needs_sigint = pytest.mark.skipif(os.name == "nt", reason="needs to send SIGINT to one process")
needs_shell = pytest.mark.skipif(not (POSIX and os.path.exists("/bin/sh")), reason="needs /bin/sh")


def run(
    *command: str,
    cwd: Path = HERE,
    prefix: Sequence[str] = (),
    stdout: Any = subprocess.PIPE,
    **env: str,
) -> tuple[int, str, str]:
    """The exit status of a Python process, its stdout and its stderr."""
    done = subprocess.run(
        [*prefix, sys.executable, *command],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        cwd=str(cwd),
        env={**os.environ, "PYTHONPATH": str(HERE), **env},
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


RUN_FILE = "import runpy, sys; del sys.argv[0]; runpy.run_path(sys.argv[0], run_name='__main__')"


@contextlib.contextmanager
def started(script: str, *arguments: str, **env: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process that obeys Ctrl-C, even if this one was started in the background."""
    obey = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    with subprocess.Popen(
        [sys.executable, "-c", obey + script, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=str(HERE),
        env={**os.environ, "PYTHONPATH": str(HERE), "PYTHONUNBUFFERED": "1", **env},
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def in_threads(number: int, work: Callable[[], object]) -> list[Any]:
    """Call `work` in that many threads at once, and return what they raised."""
    start = threading.Barrier(number)
    pool = ThreadPoolExecutor(number)
    done = [pool.submit(lambda: (start.wait(), work())) for _ in range(number)]
    raised = [future.exception(60) for future in done]
    return [error for error in raised if error is not None]


def interrupt(_: object) -> None:
    raise KeyboardInterrupt


def eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def silence(connection: socket.socket) -> None:
    """No response, for as long as the client waits for one."""
    connection.recv(1)


def send_and_close(data: bytes) -> Reply:
    def reply(connection: socket.socket) -> None:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_RDWR)

    return reply


def slow(data: bytes, *seconds: float) -> Reply:
    """A reply that takes each of `seconds` in turn, over and over."""
    turns = itertools.cycle(seconds)

    def reply(connection: socket.socket) -> None:
        time.sleep(next(turns))
        connection.sendall(data)

    return reply


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# Layout


def test_a_copy_in_any_package_works_unchanged(sandbox: Sandbox, tmp_path: Path) -> None:
    package = tmp_path / "bot" / "vendored"
    package.mkdir(parents=True)
    shutil.copy(str(HERE / "botlists.py"), str(package / "lists.py"))
    script = (
        "from bot.vendored import lists; import sys;"
        f"print(lists.DBotsClient({BOT}, 'dbots-token-1', base_url={sandbox.dbots_url!r})"
        ".post_stats(7), 'botlists' in sys.modules)"
    )
    assert run("-c", script, cwd=tmp_path, PYTHONPATH=str(tmp_path)) == (0, "7 False\n", "")


def test_only_urllib3_and_the_standard_library_are_imported_and_no_more_than_needed() -> None:
    script = (
        "import sys, urllib3; before = set(sys.modules); import botlists;"
        "botlists.DBotsClient(1, 't'); new = set(sys.modules) - before;"
        "print([getattr(sys.modules[n], '__file__', None) for n in new if n != 'botlists'],"
        "{'argparse', 'urllib.request'} & new)"
    )
    _, out, err = run("-c", script)
    assert (err, out[-6:]) == ("", "set()\n")
    shown = out.replace(os.path.dirname(urllib3.__file__), "")
    assert not re.search("(site|dist)-packages", shown)


def test_it_works_where_there_is_no_fork(monkeypatch: Patch) -> None:
    monkeypatch.delattr(os, "register_at_fork", raising=False)
    module = runpy.run_path(botlists.__file__)
    with Peer(GOOD) as peer:
        assert module["DBotsClient"](BOT, TOKEN, base_url=peer.url).post_stats(1) == 1


def test_completion_shows_the_public_names_and_all_are_documented() -> None:
    shown = [name for name in dir(botlists) if not re.fullmatch("__.*__", name)]
    assert shown == sorted(botlists.__all__)
    assert "__version__" in dir(botlists)
    for name in botlists.__all__:
        assert getattr(botlists, name).__doc__
    for client in (DBotsClient, LBotsClient):
        for name, member in vars(client).items():
            assert name.startswith("_") or member.__doc__


# Clients


def test_the_arguments_and_their_defaults() -> None:
    common = {"timeout": 10.0, "retries": 2, "max_wait": 30.0, "pool": None}
    dbots, lbots = map(inspect.getfullargspec, (DBotsClient, LBotsClient))
    assert dbots.args == lbots.args == ["self", "bot_id", "token"]
    assert (dbots.defaults, lbots.defaults) == ((None,), None)
    url = "https://dbots.co/api/v1"
    assert dbots.kwonlydefaults == {"user_key": None, "base_url": url, **common}
    assert lbots.kwonlydefaults == {"base_url": "https://lbots.org/api/v1", **common}


class Index:
    """An integer that is not an int, such as numpy's."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value


class Loud(int):
    """An int that prints as something else, as members of enums do."""

    __str__ = __repr__ = lambda self: "../1"


URL = "https://example.com/vote"
YES = (FAN, True, datetime(2019, 1, 21, 1, 19, 38, tzinfo=timezone.utc))
MOST = 2**53 - 1
ALL = {"guild_count": 19902, "shard_count": 19}
SHARD = {"guild_count": 0, "shard_id": 0, "shard_count": 4}
ODD: dict[str, Any] = {"guild_count": Index(564), "shard_id": Loud(2)}
API = (BOT, "dbots-token-1")
EDIT, HOOK = "vote_webhook_url", "voteWebhookURL"
# A call and its arguments, what is sent, and the result.
CALLS: list[tuple[str, dict[str, Any], str, dict[str, Any] | None, Any]] = [
    ("dbots.post_stats", {"guild_count": 893}, "POST stats", {"guildCount": 893}, 893),
    ("dbots.post_stats", {"guild_count": 0}, "POST stats", {"guildCount": 0}, 0),
    ("dbots.post_stats", {"guild_count": Index(MOST)}, "POST stats", {"guildCount": MOST}, MOST),
    ("dbots.get_api", {}, "GET api", None, (*API, None)),
    ("dbots.edit_api", {EDIT: "any text"}, "PATCH api", {HOOK: "any text"}, (*API, "any text")),
    ("dbots.edit_api", {EDIT: None}, "PATCH api", {HOOK: None}, (*API, None)),
    ("dbots.regenerate_key", {}, "GET keys/regen", None, "dbots-token-2"),
    ("lbots.post_stats", ALL, "POST stats", ALL, None),
    ("lbots.post_stats", SHARD, "POST stats", SHARD, None),
    ("lbots.post_stats", ODD, "POST stats", {"guild_count": 564, "shard_id": 2}, None),
    ("lbots.get_favourites", {}, "GET favourites", None, 1),
    ("lbots.get_favorites", {}, "GET favourites", None, 1),
    ("lbots.has_favourited", {"user_id": FAN}, f"GET favourites/user/{FAN}", None, YES),
    ("lbots.has_favorited", {"user_id": "0042"}, "GET favourites/user/42", None, (42, False, None)),
    ("lbots.invalidate_token", {}, "GET invalidate", None, None),
]


@pytest.mark.parametrize(("call", "given", "line", "body", "result"), CALLS)
def test_a_call_on_the_wire(
    call: str, given: Any, line: str, body: Any, result: Any, sandbox: Sandbox
) -> None:
    service, method = call.split(".")
    assert getattr(clients_of(sandbox)[service == "lbots"], method)(**given) == result
    [request] = sandbox.received
    verb, path = line.split()
    assert request[1:3] == (verb, f"/{service}/api/v1/bots/{BOT}/{path}")
    token = service == "lbots" or method == "post_stats"
    assert request.headers["Authorization"] == f"{service}-{'token-1' if token else 'user-key'}"
    assert request.headers["User-Agent"] == f"botlists/{botlists.__version__}"
    assert request.body == (b"" if body is None else json.dumps(body).encode())
    assert request.headers.get("Content-Type") == (None if body is None else "application/json")


CHANGE = {
    "at": "2020-08-07T12:56:27.100Z",
    "by": "145557815287611393",
    "changes": {"old": {"a": 1}, "new": {"a": [2]}},
    "unknown": True,
}
BARE = {"at": CHANGE["at"], "by": CHANGE["by"]}
AT = datetime(2020, 8, 7, 12, 56, 27, 100000, timezone.utc)


@pytest.mark.parametrize(
    ("changes", "states"),
    [
        (CHANGE, [({"a": 1}, {"a": [2]})]),  # as documented
        ([CHANGE], [({"a": 1}, {"a": [2]})]),  # as the service sends it
        ([], []),
        ([BARE, CHANGE], [({}, {}), ({"a": 1}, {"a": [2]})]),  # a save that changed nothing
        ([{**BARE, "changes": {"old": {"tags": []}}}], [({"tags": []}, {})]),  # a removal
        ([{**BARE, "changes": {"new": {"tags": []}}}], [({}, {"tags": []})]),
        ([{**BARE, "changes": {}}], [({}, {})]),
    ],
)
def test_dbots_get_log_accepts_what_the_service_leaves_out(changes: Any, states: Any) -> None:
    body = {"_id": BOT, "changes": changes, "analytics": {}}
    log, _ = play("dbots.get_log", response(body=body))
    assert log.bot_id == BOT
    assert list(log.changes) == [(AT, "145557815287611393", old, new) for old, new in states]
    assert all(change.at.tzinfo is timezone.utc for change in log.changes)


DATES = {
    "2020-08-07T12:56:27.100Z": AT,
    "2020-08-07T12:56:27Z": AT.replace(microsecond=0),
    "2020-08-07T14:56:27.100+02:00": AT,
    "2020-08-07T11:26:27.100-01:30": AT,
    "Fri, 07 Aug 2020 12:56:27 GMT": AT.replace(microsecond=0),
}
NO_DATES = ["", "yesterday", "9999-12-31T23:59:59-23:59", "9999-99-99T00:00:00.000Z"]
NO_DATES += ["Thu, 99 Foo 9999 99:99:99 GMT"]


@pytest.mark.parametrize("text", [*DATES, *NO_DATES])
def test_dates_of_javascript_and_http_are_aware_and_in_utc(text: str) -> None:
    log = {"_id": BOT, "changes": {**CHANGE, "at": text}}
    favourited = {**DONE, "time": text, "favourited": True}
    got, _ = play("dbots.get_log", response(body=log))
    fan, _ = play("lbots.has_favourited", response(body=favourited))
    if text in DATES:
        [change] = got.changes
        assert change.at == fan.time == DATES[text]
        assert change.at.tzinfo is timezone.utc
    else:
        for error in (got, fan):
            assert type(error) is botlists.InvalidResponse and "is not a date" in str(error)


@pytest.mark.parametrize("documented", [True, False])
def test_dbots_regenerate_key_on_either_path(sandbox: Sandbox, documented: bool) -> None:
    dbots, _ = clients_of(sandbox)
    sandbox.documented_rotation = documented
    dbots.edit_api(vote_webhook_url=URL)
    del sandbox.received[:]
    assert dbots.regenerate_key() == sandbox.dbots_token == "dbots-token-2"
    paths = [request.path.split(BOT)[1] for request in sandbox.received]
    assert paths == ["/keys/regen", "/key/regen"][: 1 if documented else 2]
    assert dbots.get_api() == (BOT, "dbots-token-2", None)  # the service removes the webhook


HTML = response(200, PAGE.encode())
OUTCOMES = {b"": "TransportError", response(401): "Unauthorized", response(500): "ServerError"}
OUTCOMES.update({HTML: "InvalidResponse"})
OUTCOMES.update({response(404, {"error": "DEPRECATED"}): "DeprecatedEndpoint"})


@pytest.mark.parametrize("paths", [["keys"], ["keys", "key"]])
@pytest.mark.parametrize(("reply", "kind"), [*OUTCOMES.items(), (response(404), "NotFound")])
def test_dbots_regenerate_key_tries_the_second_path_on_not_found_only(
    paths: list[str], reply: bytes, kind: str, naps: list[float]
) -> None:
    replies = [response(404, PAGE.encode()), reply][-len(paths) :]
    if kind == "NotFound":  # the bot was deleted at Discord
        replies, paths = [reply, reply], ["keys", "key"]
    with Peer(*replies, GOOD) as peer, dbots_at(peer) as dbots:
        with pytest.raises(getattr(botlists, kind)):
            dbots.regenerate_key()
        assert [request.path.split("/")[3] for request in peer.received] == paths
        assert naps == []
        assert dbots.post_stats(1) == 1
        assert peer.received[-1].headers["Authorization"] == TOKEN


@pytest.mark.parametrize("method", ["regenerate_key", "get_api", "edit_api"])
def test_each_response_with_the_token_replaces_the_clients(method: str, sandbox: Sandbox) -> None:
    for token in ("lost-in-a-rotation", None):
        given: Any = {"user_key": sandbox.user_key, "base_url": sandbox.dbots_url}
        client = DBotsClient(BOT, token, **given)
        with pytest.raises((botlists.Unauthorized, ValueError)):
            client.post_stats(1)
        do(client, method)
        assert client.post_stats(5) == sandbox.guild_count == 5


def test_each_attempt_uses_the_current_token(naps: list[float]) -> None:
    def rotate(connection: socket.socket) -> None:
        client.get_api()  # as another thread may do at any time
        connection.sendall(response(503))

    with Peer(rotate, GOOD) as peer:
        client = dbots_at(peer)
        client.post_stats(1)
        used = [request.headers["Authorization"] for request in peer.received]
        assert used == [TOKEN, USER_KEY, "t"]


@pytest.mark.parametrize(
    ("counts", "shard_count", "sent"),
    [
        ([5, 0, 7], None, [(5, 0, 3), (0, 1, 3), (7, 2, 3)]),
        ((1, 2), 8, [(1, 0, 8), (2, 1, 8)]),
        ({5: 50, 0: 1}, 6, [(50, 5, 6), (1, 0, 6)]),
    ],
)
def test_lbots_post_shard_stats(
    counts: Any, shard_count: int | None, sent: Any, sandbox: Sandbox
) -> None:
    _, lbots = clients_of(sandbox)
    seen: list[tuple[int, int]] = []
    lbots.post_shard_stats(counts, shard_count=shard_count, progress=lambda *s: seen.append(s))
    names = ("guild_count", "shard_id", "shard_count")
    assert [request.json for request in sandbox.received] == [dict(zip(names, s)) for s in sent]
    assert seen == [(done, len(sent)) for done in range(1, len(sent) + 1)]
    assert sandbox.total == sum(count for count, _, _ in sent)


def test_the_shards_before_one_that_fails_are_posted(naps: list[float]) -> None:
    seen: list[int] = []
    with Peer(response(body=DONE), response(body=DONE), response(400)) as peer:
        with pytest.raises(botlists.BadRequest):
            lbots_at(peer).post_shard_stats([1] * 5, progress=lambda done, _: seen.append(done))
        assert (len(peer.received), seen) == (3, [1, 2])


def test_200_shards_need_no_larger_max_wait_and_one_connection(naps: list[float]) -> None:
    with Peer(response(body=DONE)) as peer:
        lbots_at(peer).post_shard_stats([1] * 200)
        assert (len(peer.received), peer.connections) == (200, 1)
    assert 40 < sum(naps) <= 45


def test_lbots_favourites_in_either_spelling() -> None:
    assert play("lbots.get_favourites", response(body={**DONE, "favorites": 30}))[0] == 30
    document: Any = {**DONE, "time": None, "favorited": True, "user": 1, "more": []}
    assert play("lbots.has_favourited", response(body=document))[0] == (FAN, True, None)


@pytest.mark.parametrize("bot_id", [BOT, int(BOT), Index(int(BOT)), Loud(BOT), "00" + BOT])
def test_attributes_and_repr(bot_id: Any) -> None:
    url = "http://example.com/api/v1"
    for client in (
        DBotsClient(bot_id, TOKEN, user_key=USER_KEY, base_url=f"{url}/"),
        LBotsClient(bot_id, TOKEN, base_url=f"{url}/"),
    ):
        assert (client.bot_id, client.base_url) == (BOT, url)
        assert repr(client) == f"{type(client).__name__}(bot_id='{BOT}', base_url='{url}')"
    for highest in (2**64 - 1, str(2**64 - 1)):
        assert DBotsClient(highest, TOKEN, base_url=url).bot_id == str(2**64 - 1)


def test_close_ends_the_connections_and_a_later_call_opens_one() -> None:
    with Peer(GOOD) as peer:
        with dbots_at(peer) as dbots:
            dbots.post_stats(1)
            dbots.post_stats(1)
            assert peer.connections == 1
        assert peer.ended.wait(5)
        dbots.post_stats(1)
        assert peer.connections == 2
        dbots.close()


# Results


def test_results_are_immutable_named_tuples() -> None:
    favourite = botlists.Favourite(FAN, True, None)
    with pytest.raises(AttributeError):
        favourite.favourited = False  # type: ignore[misc]
    assert favourite and not favourite._replace(favourited=False)
    assert favourite._fields == ("user_id", "favourited", "time")
    assert botlists.AuditLog._fields == ("bot_id", "changes")
    assert botlists.AuditChange._fields == ("at", "by", "old", "new")
    document = botlists.ApiDocument(BOT, TOKEN, URL)
    assert document._fields == ("bot_id", "token", "vote_webhook_url")
    assert TOKEN not in f"{document} {document!r} {[document]}" and URL in repr(document)


# Errors: arguments

COUNTS: list[Any] = [-1, 2**53, 2**70, True, 1.5, "893", None, b"1", Index(-1), float("nan")]
IDS: list[Any] = ["../1", "１２３", 0, 2**64, -1, True, 1.0, "", " 1", "1\n", "1_0", "+1", "0"]
IDS += [None, str(2**64), "1" * 5000, b"1", 2**70]
SECRETS: list[Any] = ["", " ", "a\n", "a\r\nX: 1", " a", "a ", "ключ", "a\0b", "a\x7f", 5, b"bytes"]
URLS: list[Any] = ["", "dbots.co", "ftp://dbots.co", "http://", "http:///x", "http://h:99999"]
URLS += ["https://u:p@h/", "http://h/?q", "http://h/#f", "http://h/\n", "http://h\r", 5, None]
URLS += ["http://h?", "http://h/#", "http://h /", "http://h/a b", "http://h ", " http://h"]
# What the message names, a call and its arguments.
BAD_CALLS: list[tuple[str, str, dict[str, Any]]] = [
    *(("guild_count", f"{d}bots.post_stats", {"guild_count": v}) for v in COUNTS for d in "dl"),
    *(
        (name, "lbots.post_stats", {"guild_count": 1, "shard_count": 4, name: v})
        for name in ("shard_id", "shard_count")
        for v in [*COUNTS, {"shard_id": 4, "shard_count": 0}[name]]
        if v is not None
    ),
    ("shard_count", "lbots.post_stats", {"guild_count": 1, "shard_id": 0, "shard_count": 0}),
    ("shard_id", "lbots.post_stats", {"guild_count": 1, "shard_id": -1}),
    *(
        ("guild_counts", "lbots.post_shard_stats", {"guild_counts": v})
        for v in [5, None, "12", b"12", {1, 2}, iter([1]), [], object(), *([1, v] for v in COUNTS)]
    ),
    *(
        (name, "lbots.post_shard_stats", {"guild_counts": v, "shard_count": n})
        for name, v, n in [
            ("guild_counts", {}, 1),
            ("guild_counts", {0: "1"}, 1),
            ("shard_count", {0: 1}, None),
            *(("shard_count", [1, 2], n) for n in (1, 0, 2.0)),
            ("shard_count", {1: 1}, 1),
            *(("shard_id", {v: 1}, 1) for v in (-1, "0")),
        ]
    ),
    ("progress", "lbots.post_shard_stats", {"guild_counts": [1], "progress": 55}),
    *(("user_id", "lbots.has_favourited", {"user_id": v}) for v in IDS),
    *(("vote_webhook_url", "dbots.edit_api", {"vote_webhook_url": v}) for v in (55, b"url")),
]
BAD_CLIENTS: list[tuple[str, Any]] = [
    *(("bot_id", v) for v in [*IDS, TOKEN]),
    *(("token", v) for v in [*SECRETS, f"{TOKEN}\n"]),
    *(("user_key", v) for v in SECRETS),
    *(("base_url", v) for v in [*URLS, TOKEN, f"https://user:{TOKEN}@dbots.co"]),
    *(("timeout", v) for v in [0, 0.0, -1, float("nan"), "10", None, True]),
    *(("retries", v) for v in [-1, 1.5, True, "10", None]),
    *(("max_wait", v) for v in [-1, float("nan"), "10", None, True]),
    *(("pool", v) for v in [55, urllib3.HTTPConnectionPool("localhost"), object()]),
]


def shows(message: str, value: Any) -> bool:
    """Whether a message shows the value. One character, None and a bare scheme may be chance."""
    values = [value, *value] if isinstance(value, list) else [value]
    texts = {as_text(value) for value in values for as_text in (str, repr)} - {"None", "http://"}
    return any(len(text) > 1 and text in message for text in texts)


@pytest.mark.parametrize(("name", "call", "given"), BAD_CALLS)
def test_bad_arguments_of_a_call_are_named_but_not_shown_and_nothing_is_sent(
    sandbox: Sandbox, name: str, call: str, given: dict[str, Any]
) -> None:
    service, method = call.split(".")
    with pytest.raises((TypeError, ValueError), match=name) as caught:
        getattr(clients_of(sandbox)[service == "lbots"], method)(**given)
    assert not shows(str(caught.value), given.get(name))
    assert sandbox.received == []


@pytest.mark.parametrize("client", [DBotsClient, LBotsClient])
@pytest.mark.parametrize(("name", "value"), BAD_CLIENTS)
def test_bad_arguments_of_a_client_are_named_not_shown(client: Any, name: str, value: Any) -> None:
    client = DBotsClient if name == "user_key" else client
    with pytest.raises((TypeError, ValueError), match=f"^{name} must ") as caught:
        client(**{"bot_id": BOT, "token": TOKEN, name: value})
    assert not shows(str(caught.value), value)
    assert TOKEN not in text_of(caught.value)


def test_a_missing_credential_is_an_error_that_names_it() -> None:
    cases: list[tuple[str, Callable[[], object]]] = [
        ("token", lambda: LBotsClient(BOT, None)),  # type: ignore[arg-type]
        ("token", lambda: LBotsClient(BOT)),  # type: ignore[call-arg]
        ("token.*user_key", lambda: DBotsClient(BOT)),
        ("needs a token", lambda: DBotsClient(BOT, user_key="k").post_stats(1)),
        *(
            ("needs a user_key", partial(do, DBotsClient(BOT, TOKEN), method))
            for method in ("get_log", "regenerate_key", "get_api", "edit_api")
        ),
    ]
    for names, call in cases:
        with pytest.raises((TypeError, ValueError), match=names):
            call()


@pytest.mark.parametrize("value", [0.5, 3, 1e9, float("inf")])
def test_seconds_may_be_any_number(value: float) -> None:
    with Peer(slow(GOOD, 0.05)) as peer:
        assert lbots_at(peer, timeout=value, max_wait=value, retries=0).get_favourites() == 1


# Errors: responses

KINDS = {400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound"}
KINDS.update({429: "TooManyRequests", 402: "APIError", 407: "APIError", 600: "APIError"})
KINDS.update(dict.fromkeys((500, 503, 520, 599), "ServerError"))


@pytest.mark.parametrize("status", KINDS)
def test_each_status_has_its_error(status: int) -> None:
    for service, field in (("DBots", "message"), ("LBots", "error")):
        body = json.dumps({field: "because"}).encode()
        refusal = response(status, body, Retry_After="120")
        error, _ = play(f"{service.lower()}.post_stats", refusal, retries=0)
        assert type(error).__name__ == KINDS[status]
        assert (error.status, error.message, error.body) == (status, "because", body)
        assert (error.service, error.retry_after) == (service, 120)
        assert str(error) == f"{service}: {status}: because"


def test_the_tree_of_errors() -> None:
    for error in (botlists.TransportError, botlists.InvalidResponse, botlists.APIError):
        assert error.__bases__ == (botlists.BotListError,)
    assert botlists.TransportTimeout.__bases__ == (botlists.TransportError,)
    for name in {*KINDS.values(), "DeprecatedEndpoint"} - {"APIError"}:
        assert getattr(botlists, name).__bases__ == (botlists.APIError,)


def test_the_services_refusals(sandbox: Sandbox) -> None:
    sandbox.windows["stats"] = [time.monotonic()] * 20
    dbots: Any = {"bot_id": BOT, "token": sandbox.dbots_token, "base_url": sandbox.dbots_url}
    lbots: Any = {"bot_id": BOT, "token": sandbox.lbots_token, "base_url": sandbox.lbots_url}
    undefined = "500: Cannot read properties of undefined (reading 'id')"
    busy = "429: You are being rate limited."
    page = {"base_url": sandbox.url_for("/page")}
    other = {"user_key": sandbox.other_key}
    for given, changed, method, kind, text in (
        (dbots, {"token": "wrong"}, "post_stats", "Unauthorized", "401: Unauthorized"),
        (dbots, {"bot_id": 1}, "post_stats", "NotFound", "404: Not found"),
        (dbots, other, "get_log", "BadRequest", "400: Bot not manageable"),
        (dbots, {"user_key": "expired"}, "get_log", "Unauthorized", "401: Unauthorized"),
        (dbots, {"user_key": "expired"}, "get_api", "ServerError", undefined),
        (dbots, page, "post_stats", "InvalidResponse", "200: an HTML page"),
        (lbots, {"token": "wrong"}, "post_stats", "Unauthorized", "401: Unauthorized"),
        (lbots, {"bot_id": 1}, "get_favourites", "NotFound", "404: Bot does not exist"),
        (lbots, {"max_wait": 0}, "post_stats", "TooManyRequests", "429: Too Many Requests"),
        (dbots, {}, "post_stats", "TooManyRequests", busy),
    ):
        sandbox.windows["dbots"] = [time.monotonic()] * (300 if text == busy else 0)
        client = (DBotsClient if given is dbots else LBotsClient)(**{**given, **changed})
        with pytest.raises(getattr(botlists, kind)) as caught:
            do(client, method)
        service, status = "DBots" if given is dbots else "LBots", text[:5]
        assert str(caught.value).startswith(f"{service}: {status}")
        assert str(caught.value).endswith(text[5:])
        assert getattr(caught.value, "retry_after", None) == (60 if text == busy else None)


CODES: list[Any] = [(200, 401, 401), (404, 403, 403), (200, 429, 429), (302, 503, 503)]
CODES += [(200, 200, 200), (200, True, 200), (404, "403", 404), (404, 399, 404), (404, 400, 400)]


@pytest.mark.parametrize(("http_status", "code", "status"), CODES)
def test_success_false_is_an_error_whatever_the_http_status(
    http_status: int, code: Any, status: int
) -> None:
    body = {"success": False, "error": "because", "favourites": 1, "status_code": code}
    error, _ = play("lbots.get_favourites", response(http_status, body), retries=0)
    assert type(error).__name__ == KINDS.get(status, "APIError")
    assert (error.status, error.message) == (status, "because")


def test_dbots_has_no_success_and_ignores_unknown_keys() -> None:
    body = {**GOOD_BODY, "success": False, "status_code": 401, "error": "x", "message": "y"}
    results = {"post_stats": 1, "get_api": (BOT, "t", None), "get_log": (BOT, ())}
    for method, result in results.items():
        assert play(f"dbots.{method}", response(body=body))[0] == result


@pytest.mark.parametrize("status", [200, 401, 410, 503])
def test_deprecated_whatever_the_status(status: int, naps: list[float]) -> None:
    body = {"status_code": status, "success": status == 200, "error": "DEPRECATED"}
    error, received = play("lbots.post_stats", response(status, body))
    assert (type(error), error.message) == (botlists.DeprecatedEndpoint, "DEPRECATED")
    assert (error.status, len(received)) == (status, 1)


WORDS = [b"You are being rate limited.", b"5 a minute,\ntry later.\n", b"Banned", b"word " * 40]
WORDS += [b"error code: 1010"]
NO_WORDS: list[Any] = [{"message": 5}, {"message": " "}, {"detail": "x"}, b"", b"five " * 40 + b"!"]
NO_WORDS += [b"Error <b>502</b>", b"[" * 200, b'{"token": "cut', b'["a b', b"null", b'"x y']
NO_WORDS += [b"0ce1f9dc", b"brand-new-token", gzip.compress(b"some words")]
PAGES = [PAGE.encode(), b"<html>\r\n<b>502</b>", b"\n <HTML lang=en>", b"<!DOCTYPE HTML><p>a b"]


@pytest.mark.parametrize("declared", ["", "text/html; charset=utf-8", "Text/HTML"])
@pytest.mark.parametrize("body", [*WORDS, *NO_WORDS, *PAGES, {"message": "mine", "error": "other"}])
def test_message_is_the_services_or_a_short_text_or_the_reason(body: Any, declared: str) -> None:
    headers = {"Content-Type": declared} if declared else {}
    error, _ = play("dbots.post_stats", response(403, body, reason="The Reason", **headers))
    if body in WORDS:
        assert error.message == " ".join(body.decode().split())
    elif isinstance(body, bytes) and (body in PAGES or (b"<" in body and declared)):
        assert error.message == "The Reason (the response is an HTML page)"
    else:
        assert error.message == ("The Reason" if body in NO_WORDS else "mine")


def test_the_text_of_an_error_is_one_short_clean_line() -> None:
    def refusal(message: str) -> str:
        return str(play("dbots.post_stats", response(400, {"message": message}))[0])

    text = refusal("a\r\nb\x1b[31m\0\x85\u2028\u202ec" + "d" * 1000)
    assert text.startswith("DBots: 400: a  b [31m")
    assert len(text) == 300
    assert text.isprintable() and len(text.splitlines()) == 1
    for unprintable in "\u00ad\u061c\u200b\ufeff\U000e0001\ud800":
        assert refusal(f"a{unprintable}b") == "DBots: 400: a b"
    assert refusal("d" * 288) == "DBots: 400: " + "d" * 288
    assert refusal("d" * 289) == "DBots: 400: " + "d" * 285 + "..."


@pytest.mark.parametrize("status", [200, 302, 401, 500])
def test_secrets_that_a_service_echoes_are_not_shown(status: int, caplog: Log) -> None:
    caplog.set_level(logging.DEBUG)
    for body in ({"message": f"bad {TOKEN}, {USER_KEY}!"}, f"No {USER_KEY}{TOKEN}".encode()):
        echo = response(status, body, reason=TOKEN, Location=f"/{TOKEN}?{USER_KEY}")
        error, _ = play("dbots.post_stats", echo)
        shown = text_of(error) + caplog.text + repr(vars(error).get("message"))
        assert TOKEN not in shown and USER_KEY[:18] not in shown


@pytest.mark.parametrize(
    "body", [b'{"token": "new/t0ken"}', b"new/t0ken", b'"new/t0ken', b'{"token": "new/t0ken", "x']
)
def test_a_new_token_that_cannot_be_read_is_kept_in_the_body_and_not_shown(body: bytes) -> None:
    for status, unread in ((500, body), (200, body[:-1]), (200, b'{"key": "new/t0ken"}')):
        error, _ = play("dbots.regenerate_key", response(status, unread))
        assert "new/t0ken" not in text_of(error) + repr(vars(error).get("message"))
        assert error.body == unread


def variables_in(tool: str, error: BaseException) -> str:
    """What a tool shows of the variables of the functions in botlists.py."""
    if tool == "loguru":
        logger = pytest.importorskip("loguru").logger
        lines: list[str] = []
        sink = logger.add(lines.append, format="", diagnose=True, backtrace=True)
        logger.opt(exception=error).error("")
        logger.remove(sink)
        parts = re.split(r'^[> ]*File "', "".join(lines), flags=re.MULTILINE)
        return "".join(part for part in parts if part.startswith(f'{botlists.__file__}"'))
    if tool == "rich":
        extract = pytest.importorskip("rich.traceback").Traceback.extract
        trace = extract(type(error), error, error.__traceback__, show_locals=True)
        frames = [frame for stack in trace.stacks for frame in stack.frames]
    else:
        stack = traceback.TracebackException.from_exception(error, capture_locals=True)
        frames = [*stack.stack, *(stack.__cause__.stack if stack.__cause__ else ())]
    return "".join(str(frame.locals) for frame in frames if frame.filename == botlists.__file__)


FAILURES: list[Reply] = [b"", response(401), response(200, b"-"), response(429)]


@pytest.mark.parametrize("tool", ["traceback", "loguru", "rich"])
@pytest.mark.parametrize("reply", FAILURES)
def test_tools_that_print_variables_show_no_secret_of_this_file(reply: Reply, tool: str) -> None:
    shown = ""
    for call in ("dbots.post_stats", "dbots.get_log", "lbots.get_favourites"):
        shown += variables_in(tool, play(call, reply, max_wait=0)[0])
    with Peer(GOOD) as peer, lbots_at(peer, max_wait=0) as lbots:
        with pytest.raises(botlists.TooManyRequests) as caught:
            post(lbots, 21)
        shown += variables_in(tool, caught.value)
    error, _ = play("dbots.post_stats", b"", max_wait=0)
    frames = [frame for frame, _ in traceback.walk_tb(error.__cause__.__traceback__)]
    shown += repr([frame.f_locals.get("headers") for frame in frames])  # in urllib3
    for part in ("guild_count", "rate_limit", "'Authorization': '***'"):
        assert part in shown
    assert TOKEN not in shown and USER_KEY[:18] not in shown


def test_every_error_can_be_pickled_with_its_attributes() -> None:
    replies: list[Reply] = [b"", silence, response(429, Retry_After="7"), HTML]
    errors = [play("dbots.post_stats", reply, retries=0, timeout=0.1)[0] for reply in replies]
    assert len({type(error) for error in errors}) == 4
    for error in errors:
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            copy = pickle.loads(pickle.dumps(error, protocol))
            assert (type(copy), vars(copy)) == (type(error), vars(error))
            assert (str(copy), repr(copy)) == (str(error), repr(error))


# Of each method's response: one that is fine, and the types that each of its fields may have.
API_FIELDS: dict[str, set[type]] = {"_id": {str}, "token": {str}, HOOK: {str, type(None)}}
FAN_FIELDS: dict[str, set[type]] = {"success": {bool}, "time": {type(None)}, "favourited": {bool}}
PROMISED: dict[str, tuple[dict[str, Any], dict[str, set[type]]]] = {
    "dbots.post_stats": ({"guildCount": 1}, {"guildCount": {int}}),
    "dbots.get_api": ({"_id": BOT, "token": "t", HOOK: "u"}, API_FIELDS),
    "dbots.edit_api": ({"_id": BOT, "token": "t", HOOK: "u"}, API_FIELDS),
    "dbots.get_log": ({"_id": BOT, "changes": CHANGE}, {"_id": {str}, "changes": {list}}),
    "dbots.regenerate_key": ({"token": "t"}, {"token": {str}}),
    "lbots.post_stats": (DONE, {"success": {bool}}),
    "lbots.get_favourites": ({**DONE, "favourites": 1}, {"success": {bool}, "favourites": {int}}),
    "lbots.has_favourited": ({**DONE, "time": None, "favourited": False}, FAN_FIELDS),
    "lbots.invalidate_token": (DONE, {"success": {bool}}),
}
WRONG: list[Any] = [None, True, 1.0, "1", [], {}]


def without(whole: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in whole.items() if key != name}


def wrong_bodies(call: str) -> Iterator[Any]:
    """Each promised field left out or of a wrong type, and what is not an object at all."""
    whole, fields = PROMISED[call]
    for name, kinds in fields.items():
        if name != HOOK:
            yield without(whole, name)
        yield from ({**whole, name: value} for value in WRONG if type(value) not in kinds)
    yield from (value for value in WRONG if value != "1" or call != "dbots.regenerate_key")
    if "token" in fields:
        yield from ({**whole, "token": value} for value in ("", "a\nb", " a", "ключ"))
    if call == "dbots.regenerate_key":
        yield from ["", "a\nb", " a", "ключ"]
    if call == "dbots.get_log":
        entries: list[Any] = [{**CHANGE, name: value} for name in BARE for value in WRONG[:3]]
        entries += [{**CHANGE, "changes": value} for value in WRONG[:5]]
        entries += [without(CHANGE, "at"), without(CHANGE, "by"), *WRONG]
        entries += [{**CHANGE, "changes": {s: v}} for s in ("old", "new") for v in (1, None)]
        yield from ({**whole, "changes": [CHANGE, entry]} for entry in entries)


@pytest.mark.parametrize("call", PROMISED)
def test_a_response_that_lacks_or_mistypes_a_field_is_invalid(call: str) -> None:
    assert not isinstance(play(call, response(body=PROMISED[call][0]))[0], botlists.BotListError)
    for document in wrong_bodies(call):
        error, received = play(call, response(body=document))
        assert type(error) is botlists.InvalidResponse and error.status == 200
        assert error.body == json.dumps(document).encode()
        assert error.__cause__ is None and len(received) == 1


UNPROMISED = {
    "a page": response(200, PAGE.encode(), Content_Type="text/html"),
    "cut JSON": response(200, b'{"guildCount": 89'),
    "nested": response(200, b"[" * 200000 + b"]" * 200000),
    "not UTF-8": response(200, b'"\xff"'),
    "no content": response(204),
    **{f"{n}": response(n, "token", Location="http://h:x/elsewhere") for n in (301, 302, 303, 308)},
    "compressed": response(200, gzip.compress(b'"token"'), Content_Encoding="gzip"),
}


@pytest.mark.parametrize("method", ["post_stats", "regenerate_key"])
@pytest.mark.parametrize("what", sorted(UNPROMISED))
def test_an_unpromised_response_is_invalid_and_the_client_goes_on(what: str, method: str) -> None:
    with Peer(UNPROMISED[what], GOOD) as peer, dbots_at(peer, timeout=5) as dbots:
        with pytest.raises(botlists.InvalidResponse) as caught:
            do(dbots, method)
        assert ("redirect to http://h:x/" in str(caught.value)) == what.startswith("3")
        assert ("an HTML page" in str(caught.value)) == (what == "a page")
        assert len(peer.received) == 1
        assert (dbots.post_stats(1), peer.connections) == (1, 1)


UNUSUAL = [
    response(201, {"guildCount": 4}),
    response(200, {"guildCount": 4}, Content_Encoding="identity"),
    response(100) + response(200, {"guildCount": 4}),
    b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b'{"guildCount": 4}',
    response(200, b'{"guildCount": 4}'.ljust(4 * 2**20)),
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b'8\r\n{"guildC\r\n9;x=y\r\nount": 4}\r\n0\r\nTrailer: x\r\n\r\n',
]


@pytest.mark.parametrize("data", UNUSUAL)
def test_an_unusual_response_that_keeps_the_promise_is_fine(data: bytes) -> None:
    closes = b"close" in data
    with Peer(send_and_close(data) if closes else data) as peer, dbots_at(peer) as dbots:
        assert [dbots.post_stats(1), dbots.post_stats(1)] == [4, 4]
        assert peer.connections == (2 if closes else 1)


CHUNKED = "Transfer-Encoding: chunked\r\n\r\n"
MIB, CHUNK = b"x" * 2**20, b"100000\r\n" + b"x" * 2**20 + b"\r\n"
ENDLESS_BODIES = {"Content-Length: 209715200\r\n\r\n": MIB, "Connection: close\r\n\r\n": MIB}
ENDLESS_BODIES.update({CHUNKED: CHUNK})
ENDLESS_LINES = {f"{CHUNKED}1": b"1" * 2**20}
ENDLESS_LINES.update({f"{CHUNKED}{start}": MIB for start in ("1;extension=", "0\r\ntrailer: ")})


@pytest.mark.parametrize("head", [*ENDLESS_BODIES, *ENDLESS_LINES])
@pytest.mark.parametrize("status", [200, 500])
def test_an_endless_body_or_line_is_not_read_further_and_the_client_goes_on(
    status: int, head: str
) -> None:
    pool = urllib3.PoolManager(maxsize=1, block=True)
    pieces = iter(128 * [{**ENDLESS_BODIES, **ENDLESS_LINES}[head]])
    dropped = threading.Event()

    def flood(connection: socket.socket) -> None:
        connection.sendall(f"HTTP/1.1 {status} OK\r\n{head}".encode())
        try:
            for piece in pieces:
                connection.sendall(piece)
        except OSError:
            dropped.set()

    with Peer(flood, GOOD) as peer, dbots_at(peer, pool=pool, timeout=5, retries=0) as dbots:
        with pytest.raises(botlists.BotListError) as caught:
            dbots.post_stats(1)
        assert dropped.wait(5)
        assert len(list(pieces)) > 96  # 4 MiB, and what the system buffers, were sent
        if head in ENDLESS_LINES:
            assert type(caught.value) is botlists.TransportError
        else:
            assert type(caught.value) is botlists.InvalidResponse
            assert "larger than 4 MiB" in str(caught.value)
            assert 4 * 2**20 < len(caught.value.body) < 5 * 2**20
        assert dbots.post_stats(1) == 1  # so the pool has its connection again
        assert peer.connections == 2


# Errors: transport

BROKEN = {
    "closed": b"",
    "not HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
    "a long header": b"HTTP/1.1 200 OK\r\na: " + b"b" * 10**6 + b"\r\n\r\n",
    "a cut body": b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"guildCount": 1}',
    "a bad chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "chunk size -5": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n{}\r\n",
    "chunk size < -2**63": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-%x\r\n" % 2**99,
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\n{}",
}
# What urllib3 raises, and what it wraps.
CAUSES = (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError)


@pytest.mark.parametrize("own_pool", [False, True])
@pytest.mark.parametrize("what", sorted(BROKEN))
def test_a_broken_response_is_a_transport_error_and_the_client_goes_on(
    what: str, own_pool: bool
) -> None:
    pool = urllib3.PoolManager(maxsize=1, block=True) if own_pool else None
    with Peer(send_and_close(BROKEN[what]), GOOD) as peer:
        dbots = dbots_at(peer, pool=pool, timeout=5)
        with pytest.raises(botlists.TransportError, match="^DBots: no complete response: ") as lost:
            dbots.regenerate_key()
        assert (type(lost.value), lost.value.sent) == (botlists.TransportError, True)
        assert isinstance(lost.value.__cause__, CAUSES)
        assert len(str(lost.value)) <= 300 and len(str(lost.value).splitlines()) == 1
        assert len(peer.received) == 1
        assert dbots.post_stats(1) == 1


def full_backlog() -> list[socket.socket]:
    """A listener that accepts no more connections, so that connecting to it times out."""
    sockets = [socket.socket() for _ in range(9)]
    sockets[0].bind(("127.0.0.1", 0))
    sockets[0].listen(0)
    for filler in sockets[1:]:
        filler.setblocking(False)
        filler.connect_ex(sockets[0].getsockname())
    return sockets


@pytest.mark.parametrize("method", ["get_log", "regenerate_key"])
def test_what_was_certainly_not_sent_says_so_and_is_retried(
    method: str, naps: list[float], names: Any
) -> None:
    full = full_backlog()
    for url, timeout, kind, text in (
        (f"http://127.0.0.1:{unused_port()}", 5, botlists.TransportError, ".* refused"),
        ("http://name.invalid", 5, botlists.TransportError, ".*Name or service not known"),
        (f"http://127.0.0.1:{full[0].getsockname()[1]}", 0.1, botlists.TransportTimeout, "timed"),
    ):
        del naps[:]
        client = DBotsClient(BOT, user_key=USER_KEY, base_url=url, timeout=timeout)
        with pytest.raises(kind, match=f"^DBots: not sent: {text}") as caught:
            do(client, method)
        assert (type(caught.value), caught.value.sent, len(naps)) == (kind, False, 2)
        assert isinstance(caught.value.__cause__, CAUSES)
    for used in full:
        used.close()


def test_a_blocking_pool_without_a_free_connection_is_waited_for_no_longer_than_timeout() -> None:
    pool = urllib3.PoolManager(maxsize=1, block=True)
    with Peer(GOOD) as peer:
        in_use = pool.request("GET", peer.url, preload_content=False)
        dbots = dbots_at(peer, pool=pool, timeout=0.2, retries=0)
        started = time.monotonic()
        with pytest.raises(botlists.TransportError, match="^DBots: not sent: ") as caught:
            dbots.regenerate_key()
        assert 0.2 <= time.monotonic() - started < 2
        assert (caught.value.sent, len(peer.received)) == (False, 1)
        in_use.read()
        in_use.release_conn()
        assert dbots.post_stats(1) == 1


@pytest.mark.parametrize("data", [b"", b"HTTP/1.1 200 OK\r\n", response(200, b"{}")[:-1]])
def test_a_silent_service_is_a_timeout(data: bytes) -> None:
    def stop_there(connection: socket.socket) -> None:
        connection.sendall(data)
        silence(connection)

    started = time.monotonic()
    error, _ = play("dbots.get_api", stop_there, timeout=0.2, retries=0)
    assert 0.2 <= time.monotonic() - started < 2
    assert (type(error), error.sent) == (botlists.TransportTimeout, True)
    assert re.match("DBots: no complete response: .*timed out", str(error))
    assert isinstance(error.__cause__, CAUSES)


def test_the_timeout_is_for_each_wait_not_for_the_sum() -> None:
    def drip(connection: socket.socket) -> None:
        for byte in response(body={"guildCount": 8}, reason=""):
            connection.sendall(bytes([byte]))
            time.sleep(0.01)

    assert play("dbots.post_stats", drip, timeout=0.3, retries=0)[0] == 8


BUSY = response(503, Connection="close")
REFUSED, UNKNOWN = b"connection refused", b"host name not found"


@pytest.mark.parametrize(
    ("method", "attempts", "text", "sent"),
    [
        ("get_log", [b"", REFUSED, REFUSED], "no complete response", True),
        ("get_log", [REFUSED, b"", UNKNOWN], "no complete response", True),
        ("get_log", [BUSY, b"", REFUSED], "no complete response", True),
        ("get_log", [BUSY, REFUSED, UNKNOWN], "503", None),
        ("get_log", [b"", BUSY, REFUSED], "503", None),
        ("get_log", [REFUSED, UNKNOWN, BUSY], "503", None),
        ("get_log", [REFUSED, REFUSED, UNKNOWN], "not sent: .*not known", False),
        ("get_log", [UNKNOWN, UNKNOWN, REFUSED], "not sent: .*refused", False),
        ("regenerate_key", [response(429), b""], "no complete response", True),
        ("regenerate_key", [response(429, Connection="close"), REFUSED, REFUSED], "429", None),
        ("regenerate_key", [REFUSED, b""], "no complete response", True),
        ("regenerate_key", [REFUSED, BUSY], "503", None),
    ],
)
def test_the_error_raised_is_that_of_the_last_attempt_that_may_have_reached_the_service(
    method: str, attempts: list[bytes], text: str, sent: Any, names: Any, naps: list[float]
) -> None:
    with Peer(*(reply for reply in attempts if reply not in (REFUSED, UNKNOWN)), GOOD) as peer:
        ports = {REFUSED: unused_port(), UNKNOWN: None}
        names["lists.example"] = iter([ports.get(reply, peer.port) for reply in attempts])
        client = DBotsClient(BOT, user_key=USER_KEY, base_url="http://lists.example")
        with pytest.raises(botlists.BotListError, match=text) as caught:
            do(client, method)
        assert getattr(caught.value, "sent", None) is sent
        assert len(naps) == len(attempts) - 1


# Traffic: rate limits


def fit(times: list[float], calls: int, window: float) -> bool:
    """Whether no window of that length has more than `calls` of `times`."""
    times = sorted(times)
    return all(later - at >= window for at, later in zip(times, times[calls:]))


def post(lbots: LBotsClient, times: int) -> None:
    for _ in range(times):
        lbots.post_stats(1)


@pytest.fixture
def windows(monkeypatch: Patch) -> Callable[..., None]:
    """Make the rate limits smaller than documented."""
    rate_limit = botlists._RateLimit

    def shorten(posts: int = 4, favourites: int = 2, seconds: float = 0.3) -> None:
        calls = {20: posts, 3: favourites}
        monkeypatch.setattr(
            botlists, "_RateLimit", lambda service, n, _: rate_limit(service, calls[n], seconds)
        )

    shorten()
    return shorten


def use_rate_limits() -> None:
    """Print the seconds that each of these takes, and when the service received its requests."""

    def measure(work: Callable[[LBotsClient], object]) -> tuple[float, list[float]]:
        with Peer(slow(GOOD, 0, 0.02, 0.05)) as peer:
            started = time.monotonic()
            work(lbots_at(peer))
            return time.monotonic() - started, [request.at for request in peer.received]

    works: list[Callable[[LBotsClient], object]] = [
        lambda lbots: post(lbots, 45),
        lambda lbots: lbots.post_shard_stats(range(45)),
        lambda lbots: in_threads(5, lambda: post(lbots, 9)),
        lambda lbots: [lbots.get_favourites() for _ in range(7)],
    ]
    print(json.dumps(list(ThreadPoolExecutor(4).map(measure, works))))


def test_the_documented_rate_limits_are_kept_end_to_end(background: Any) -> None:
    *posts, (took, times) = json.loads(background[0].communicate(timeout=60)[0])
    assert 8 <= took < 11 and len(times) == 7 and fit(times, 3, 4)
    for took, times in posts:  # 10.1 on an idle machine
        assert 10 <= took < 13 and len(times) == 45 and fit(times, 20, 5)


@pytest.mark.parametrize("delays", [(0,), (0, 0.25, 0, 0.1, 0.2)])
def test_threads_keep_a_rate_limit_and_waste_next_to_nothing(delays: Any, windows: Any) -> None:
    with Peer(slow(response(body=DONE), *delays)) as peer:
        lbots = lbots_at(peer)
        started = time.monotonic()
        assert in_threads(6, lambda: post(lbots, 2)) == []
        assert 0.6 <= time.monotonic() - started < 1.8 + 2 * max(delays)
        times = [request.at for request in peer.received]
        assert len(times) == 12 and fit(times, 4, 0.3)


def test_endpoints_without_a_rate_limit_are_not_held_back() -> None:
    with Peer(response(body={**DONE, "time": None, "favourited": True})) as peer:
        lbots = lbots_at(peer, max_wait=0)
        assert all(lbots.has_favourited(FAN) for _ in range(50))


@pytest.mark.parametrize("max_wait", [0, 3.5])
def test_a_wait_longer_than_max_wait_is_refused_at_once_and_not_sent(max_wait: float) -> None:
    with Peer(GOOD) as peer:
        lbots = lbots_at(peer, max_wait=max_wait)
        for call, number, window in (("post_stats", 20, 5), ("get_favourites", 3, 4)):
            del peer.received[:]
            for _ in range(number):
                do(lbots, call)
            started = time.monotonic()
            text = f"^LBots: 429: not sent.* {number} requests in {window} s"
            with pytest.raises(botlists.TooManyRequests, match=text) as caught:
                do(lbots, call)
            assert time.monotonic() - started < 0.3
            error = caught.value
            assert (error.status, error.body, error.__cause__) == (429, b"", None)
            assert error.retry_after is not None and window - 1.5 < error.retry_after <= window
            assert len(peer.received) == number


@pytest.mark.parametrize(
    ("window", "max_wait", "least", "most"), [(30, 5, 0, 0.3), (0.3, 0.8, 0.3, 0.9)]
)
def test_when_all_slots_are_in_flight_a_call_is_refused_at_once_or_within_max_wait(
    window: float, max_wait: float, least: float, most: float, windows: Any
) -> None:
    windows(4, 2, window)
    with Peer(silence) as peer:
        lbots = lbots_at(peer, max_wait=max_wait, retries=0)
        waiting = threading.Thread(target=in_threads, args=(4, lambda: lbots.post_stats(1)))
        waiting.start()
        eventually(lambda: len(peer.received) == 4)
        started = time.monotonic()
        with pytest.raises(botlists.TooManyRequests, match="not sent") as caught:
            lbots.post_stats(1)
        assert least <= time.monotonic() - started < most
        assert caught.value.retry_after == window
        peer.hang_up()
        waiting.join(30)
        assert len(peer.received) == 4


def test_every_attempt_counts_against_a_rate_limit(windows: Any, naps: list[float]) -> None:
    windows(4, 1, 30.0)
    with Peer(response(503), response(503), response(body=DONE)) as peer:
        lbots = lbots_at(peer, max_wait=20)
        post(lbots, 2)
        assert len(peer.received) == 4
        with pytest.raises(botlists.TooManyRequests):
            lbots.post_stats(1)


def test_max_wait_is_for_one_request_with_retries_and_rate_limit(windows: Any, naps: Any) -> None:
    windows(1, 1, 4.0)
    done = response(body=DONE)
    with Peer(done, response(429, Retry_After="5"), done) as peer:
        post(lbots_at(peer, max_wait=10), 2)
        assert len(peer.received) == 3
        assert 8.9 < sum(naps) <= 9
    with Peer(done, *[response(429, Retry_After=s) for s in ("3", "3.5")]) as peer:
        with pytest.raises(botlists.TooManyRequests, match="429: Said So"):
            post(lbots_at(peer, max_wait=10), 2)
        assert len(peer.received) == 3


@pytest.mark.parametrize("posts", [1, 2])
def test_a_retry_whose_rate_limit_needs_more_than_max_wait_raises_the_services_error(
    posts: int, windows: Any, naps: list[float]
) -> None:
    windows(posts, 1, 30.0)
    with Peer(*[response(body=DONE)] * (posts - 1), response(503)) as peer:
        lbots = lbots_at(peer, max_wait=5)
        with pytest.raises(botlists.ServerError):
            post(lbots, posts)
        assert len(peer.received) == posts


def test_a_retry_whose_slots_other_threads_took_raises_the_services_error(
    windows: Any, naps: list[float], monkeypatch: Patch
) -> None:
    windows(2, 1, 1.0)
    with Peer(response(503), silence) as peer:
        lbots = lbots_at(peer, max_wait=1.05, timeout=30)
        others, first_sleep = ThreadPoolExecutor(2), iter([True])

        def take_all_slots(_: float) -> None:
            if next(first_sleep, False):
                others.submit(lbots.post_stats, 1)
                others.submit(lbots.post_stats, 1)
                eventually(lambda: len(peer.received) == 3)

        monkeypatch.setattr("botlists.time.sleep", take_all_slots)
        with pytest.raises(botlists.ServerError, match="503"):
            lbots.post_stats(1)
        assert len(peer.received) == 3
        peer.hang_up()
        others.shutdown()


def test_an_interrupted_wait_leaves_the_rate_limit_intact(windows: Any, monkeypatch: Patch) -> None:
    with Peer(response(body=DONE)) as peer:
        lbots = lbots_at(peer)
        post(lbots, 4)
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(time, "sleep", interrupt)
            lbots.post_stats(1)
        started = time.monotonic()
        assert in_threads(4, lambda: lbots.post_stats(1)) == []
        assert time.monotonic() - started < 0.6
        assert len(peer.received) == 8


# Traffic: retries

CDN = (520, 521, 522, 523, 524, 530)
TEMPORARY: list[Reply] = [b"", silence, *map(response, (408, 429, 502, 503, 504, *CDN))]


@pytest.mark.parametrize("reply", TEMPORARY)
def test_a_temporary_failure_is_retried_with_backoff_and_jitter(reply: Reply, naps: Any) -> None:
    for call, result in (("dbots.post_stats", 1), ("dbots.edit_api", (BOT, "t", None))):
        got, received = play(call, reply, reply, GOOD, timeout=0.1)
        assert (got, len(received)) == (result, 3)
    assert all(0.5 <= nap <= 1 for nap in naps[::2]) and all(1 <= nap <= 2 for nap in naps[1::2])
    assert len(set(naps)) == 4  # so clients that failed together do not retry together


@pytest.mark.parametrize("retries", [0, 1, 200])
def test_retries_wait_half_to_all_of_1_2_4_and_so_on_up_to_32_seconds(
    retries: int, naps: list[float]
) -> None:
    _, received = play("dbots.post_stats", response(503), retries=retries, max_wait=1e6)
    assert len(received) - 1 == len(naps) == retries
    for attempt, nap in enumerate(naps):
        most = min(2**attempt, 32)
        assert most / 2 <= nap <= most
    assert retries < 200 or (min(naps[5:]) < 18 and max(naps) > 30)


FINAL = [400, 401, 403, 404, 407, 418, 425, 500, 501, 505, 519, 525, 529, 531, 599, 200, 302]


@pytest.mark.parametrize("status", FINAL)
def test_what_is_final_is_not_retried(status: int, naps: list[float]) -> None:
    error, received = play("dbots.post_stats", response(status))
    assert isinstance(error, botlists.BotListError) and len(received) == 1


ROTATIONS = ["dbots.regenerate_key", "lbots.invalidate_token"]
CUT = response(200, b"cut")[:-1]
LOST = [reply for reply in TEMPORARY if reply != response(429)]
LOST += [response(503, Retry_After="0"), response(500), CUT, send_and_close(CUT)]


@pytest.mark.parametrize("call", ROTATIONS)
@pytest.mark.parametrize("reply", LOST)
def test_a_rotation_is_never_sent_twice(reply: Reply, call: str, naps: list[float]) -> None:
    error, received = play(call, reply, GOOD, timeout=0.2)
    assert isinstance(error, botlists.BotListError)
    assert getattr(error, "sent", True) is True
    assert (len(received), naps) == (1, [])


@pytest.mark.parametrize("call", ROTATIONS)
def test_a_rotation_is_retried_when_it_certainly_did_nothing(call: str, naps: list[float]) -> None:
    result, received = play(call, response(429), GOOD)
    assert (result, len(received)) == ("t" if call.startswith("dbots") else None, 2)
    assert 0.5 <= naps[0] <= 1  # these have no rate limit


def dated(text: str) -> str:
    """`text`, but "in N s" becomes a date."""
    found = re.fullmatch("in (-?[0-9]+) s", text)
    if found is None:
        return text
    return http_date(datetime.now(timezone.utc) + timedelta(seconds=int(found.group(1))))


OBEYED = [("7", 7, 7), (" 12 ", 12, 12), ("1.5", 1.5, 1.5), ("in 20 s", 18, 21)]


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(("value", "low", "high"), OBEYED)
def test_retry_after_is_obeyed(value: str, low: float, high: float, status: int, naps: Any) -> None:
    for call in ("dbots.post_stats", "lbots.get_favourites"):
        del naps[:]
        result, received = play(call, response(status, Retry_After=dated(value)), GOOD)
        assert (result, len(received)) == (1, 2)
        assert low <= sum(naps) <= high


@pytest.mark.parametrize("value", ["86400", "31", "in 3600 s", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_retry_after_beyond_max_wait_raises_at_once(value: str, naps: list[float]) -> None:
    error, received = play("dbots.post_stats", response(429, Retry_After=dated(value)))
    assert (len(received), naps) == (1, [])
    assert error.retry_after > 30


NONSENSE = ["-5", "nan", "inf", "1e999", "9" * 30, "", " ", "soon", "1,2", "0x10", "１２", "+5"]
NONSENSE += ["20300101112", "1" * 10, "in -60 s", "Thu, 99 Foo 9999 99:99:99 GMT"]


@pytest.mark.parametrize("value", [*NONSENSE, "0", "0.0", "00", None])
def test_a_missing_zero_past_or_unreadable_retry_after_waits_for_the_window_or_the_backoff(
    value: str | None, naps: list[float]
) -> None:
    header = {} if value is None else {"Retry_After": "@"}
    busy, limited = (
        response(status, **header).replace(b"@", dated(value or "").encode())
        for status in (503, 429)
    )
    for call in ("dbots.post_stats", "lbots.post_stats", "lbots.get_favourites"):
        assert [len(play(call, reply, GOOD)[1]) for reply in (busy, limited)] == [2, 2]
    assert all(0.5 <= nap <= 1 for nap in (*naps[:3], naps[4]))
    assert (naps[3], naps[5]) == (5, 4)  # the documented windows
    error, received = play("lbots.post_stats", limited, max_wait=4.9)
    assert (len(received), len(naps)) == (1, 6)
    assert error.retry_after == (0 if value in ("0", "0.0", "00") else None)


def test_max_wait_0_never_sleeps(naps: list[float]) -> None:
    for reply in (response(429), response(503), response(429, Retry_After="0.01"), b""):
        for call in ("dbots.post_stats", "lbots.get_favourites"):
            assert len(play(call, reply, max_wait=0)[1]) == 1
    assert naps == []


# Traffic: connections, threads and forks


@pytest.mark.parametrize("call", ["lbots.get_favourites", *ROTATIONS])
def test_a_connection_closed_while_idle_is_replaced_silently(call: str, caplog: Log) -> None:
    with Peer(GOOD) as peer:
        client: Any = (dbots_at if call == ROTATIONS[0] else lbots_at)(peer, retries=0)
        client.post_stats(1)
        peer.hang_up()
        do(client, call.split(".")[1])
        assert (peer.connections, len(peer.received)) == (2, 2)
    assert [record for record in caplog.records if record.levelno >= logging.INFO] == []


@pytest.mark.parametrize("threads", [1, 8])
def test_after_an_idle_minute_no_old_connection_is_used_in_any_thread(
    threads: int, naps: list[float]
) -> None:
    forgotten: set[Any] = set()  # as by a NAT gateway

    def reply(connection: socket.socket) -> None:
        reset(connection) if connection in forgotten else connection.sendall(GOOD)

    with Peer(reply) as peer, dbots_at(peer, retries=0) as dbots:
        for _ in range(10):
            assert in_threads(threads, dbots.regenerate_key) == []
            forgotten.update(peer.sockets)
            naps.append(61)
        assert len(peer.received) == 10 * threads


IDLE = [(59, None, 1), (61, None, 3), (3600, urllib3.PoolManager(), 1)]


@pytest.mark.parametrize(("idle", "pool", "connections"), IDLE)
def test_within_a_minute_or_with_a_pool_the_same_connection_is_used(
    idle: float, pool: Any, connections: int, naps: list[float]
) -> None:
    with Peer(GOOD) as peer, dbots_at(peer, pool=pool) as dbots:
        for _ in range(3):
            dbots.post_stats(1)
            naps.append(idle)
        assert peer.connections == connections


class Echo(Peer):
    """Responds to has_favourited with the user in the path as the time, so that mix-ups show."""

    def next_reply(self, request: Received) -> Reply:
        user = int(request.path.rsplit("/", 1)[1])
        when = http_date(datetime(2000, 1, 1) + timedelta(seconds=user))
        return response(body={**DONE, "time": when, "favourited": True})


def ask(client: LBotsClient, users: range) -> None:
    for user in users:
        at = client.has_favourited(user).time
        assert at is not None
        assert at.timestamp() - 946684800 == user


def test_threads_may_share_a_client(caplog: Log) -> None:
    with Echo() as peer:
        lbots = lbots_at(peer)
        starts = iter(range(1, 3000, 100))
        assert in_threads(20, lambda: ask(lbots, range(next(starts), 10**6)[:30])) == []
        assert peer.connections <= 20
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def forked(work: Callable[[], object]) -> int:
    """The process of a child that calls `work`. One that hangs is killed."""
    pid = os.fork()
    if not pid:
        status = signal.alarm(30) + 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return pid


@needs_fork
@pytest.mark.parametrize("own_pool", [False, True])
def test_a_client_may_be_used_on_both_sides_of_a_fork(own_pool: bool) -> None:
    with Echo() as peer:
        pool = urllib3.PoolManager() if own_pool else None
        lbots = lbots_at(peer, pool=pool)
        ask(lbots, range(1, 3))
        done, threads = threading.Event(), ThreadPoolExecutor(3)

        def keep_asking() -> None:
            for start in itertools.count(1000, 20):
                ask(lbots, range(start, start + 20))
                if done.is_set():
                    return

        parents = [threads.submit(keep_asking) for _ in range(0 if PYPY else 3)]
        asked = [range(100 * child + 1, 100 * child + 41) for child in range(12)]
        children = [forked(partial(ask, lbots, users)) for users in asked]
        try:
            assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 12
        finally:
            done.set()
        assert not any(parent.exception(60) for parent in parents)
        ask(lbots, range(1, 3))


@needs_fork
@pytest.mark.parametrize("block", [None, False, True])
def test_a_child_has_its_own_connections_and_locks(block: bool | None, windows: Any) -> None:
    pool = None if block is None else urllib3.PoolManager(maxsize=2, block=block)
    with Peer(response(body=DONE)) as peer:
        lbots = lbots_at(peer, pool=pool, max_wait=0)
        post(lbots, 2)
        assert peer.connections == 1
        idle: Any = lbots._session.pool.pool
        [kept] = filter(None, idle.queue)
        slots = lbots._session.rate_limits["stats"]._free_at
        with idle.mutex, slots.mutex:  # other threads may hold them during a fork
            child = forked(lambda: post(lbots, 4) if kept.sock is None else os._exit(9))
        assert (os.waitpid(child, 0)[1], peer.connections) == (0, 2)


def test_clients_that_are_gone_leave_nothing_behind() -> None:
    for _ in range(5):
        DBotsClient(BOT, TOKEN, base_url="http://gone.example")
    gc.collect()
    assert not [session for session in botlists._sessions if "gone" in session.base_url]


# Traffic: proxies and TLS


@pytest.mark.parametrize("proxied", [False, True])
def test_the_systems_certificates_are_read_once_for_a_client(
    proxied: bool, trusted: ssl.SSLContext, monkeypatch: Patch
) -> None:
    with Peer(GOOD, tls=trusted) as peer, Proxy() as proxy:
        if proxied:
            monkeypatch.setenv("https_proxy", proxy.url)
        dbots = dbots_at(peer)
        os.remove(os.environ["SSL_CERT_FILE"])
        both: list[Any] = [dbots.close, botlists._after_fork]
        for steps in ([], [peer.hang_up], both[:1], both[1:], both):
            for step in steps:
                step()
            dbots.post_stats(1)
        assert peer.connections == 5


@pytest.mark.parametrize("own_pool", [False, True])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "other.example"])
def test_a_refused_certificate_stops_the_token_and_is_not_retried(
    host: str, own_pool: bool, tmp_path: Path, monkeypatch: Patch, names: Any, naps: list[float]
) -> None:
    if host == "other.example":  # not in the certificate; for the others its authority is unknown
        (tmp_path / "authority.pem").write_text(CERTIFICATE)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    pool = urllib3.PoolManager() if own_pool else None
    with Peer(GOOD, tls=tls_context(tmp_path)) as peer:
        names[host] = peer.port
        for call in ("get_log", "regenerate_key"):
            url = f"https://{host}:{peer.port}"
            client = DBotsClient(BOT, user_key=USER_KEY, base_url=url, pool=pool)
            with pytest.raises(botlists.TransportError, match="^DBots: not sent: ") as caught:
                do(client, call)
            assert caught.value.sent is False
            assert isinstance(caught.value.__cause__, (OSError, ValueError))
        assert (peer.received, peer.connections, naps) == ([], 2, [])


@pytest.mark.skipif(not hasattr(ssl.SSLContext, "keylog_filename"), reason="needs Python 3.8")
def test_if_tls_cannot_be_set_up_it_is_an_oserror_and_status_1(
    command: Any, monkeypatch: Patch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "missing" / "keys"))
    pytest.raises(OSError, LBotsClient, BOT, TOKEN)
    status, out, err = command(f"dbots get-log {BOT} --base-url https://127.0.0.1")
    assert (status, out) == (1, "")
    assert re.fullmatch("botlists: .*No such file.*\n", err)


def test_a_pool_of_the_users_own_is_used_and_left_open(tmp_path: Path) -> None:
    context = ssl.create_default_context(cadata=CERTIFICATE)
    with Peer(GOOD, tls=tls_context(tmp_path)) as peer:
        pool = urllib3.PoolManager(ssl_context=context)
        url = f"https://localhost:{peer.port}"
        with DBotsClient(BOT, TOKEN, base_url=url, pool=pool) as dbots:
            dbots.post_stats(1)
        assert pool.request("GET", url + "/still/open").status == 200
        assert peer.connections == 1


def test_a_pool_that_was_closed_to_make_room_for_other_hosts_is_opened_again() -> None:
    pool = urllib3.PoolManager(num_pools=1)
    with Peer(GOOD) as peer, Peer(GOOD) as other:
        dbots, lbots = dbots_at(peer, pool=pool), lbots_at(peer)
        assert dbots.post_stats(1) == 1
        pool.request("GET", other.url)  # urllib3 1.26 closes the pool of the other host here
        for client in (dbots, lbots):
            client._session.pool.close()  # and here every version does
            client.close()
        botlists._after_fork()
        assert dbots.post_stats(1) == 1


@pytest.mark.parametrize("own_pool", [False, True])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_request_through_a_proxy(
    scheme: str, own_pool: bool, trusted: ssl.SSLContext, monkeypatch: Patch
) -> None:
    plain = scheme == "http"
    with Peer(GOOD, tls=None if plain else trusted) as peer, Proxy(
        {"dbots.co": peer.port}
    ) as proxy:
        monkeypatch.setenv(f"{scheme}_proxy", "" if own_pool else proxy.url)
        pool = urllib3.ProxyManager(proxy.url) if own_pool else None
        assert (
            DBotsClient(BOT, "t", base_url=f"{scheme}://dbots.co", pool=pool).post_stats(893) == 1
        )
        [request] = proxy.received
        line = f"POST http://dbots.co/bots/{BOT}/stats" if plain else "CONNECT dbots.co:443"
        assert f"{request.method} {request.path}" == line
        assert ("Authorization" in request.headers) == plain
        assert peer.received[0].json == {"guildCount": 893}
        assert peer.received[0].headers["Authorization"] == "t"


@pytest.mark.parametrize("own_pool", [False, True])
@pytest.mark.parametrize(
    ("failure", "scheme"),
    [
        *itertools.product(["is not there", "is silent"], ["http", "https"]),
        ("refuses CONNECT", "https"),
        ("closes the connection", "https"),
    ],
)
def test_a_failure_at_a_proxy_names_the_proxy_and_no_credentials(
    failure: str, scheme: str, own_pool: bool, monkeypatch: Patch, naps: list[float]
) -> None:
    replies: dict[str, Reply] = {"is silent": silence, "refuses CONNECT": response(407)}
    reply = replies.get(failure, b"")
    with Peer(reply) as proxy:
        place = f"127.0.0.1:{unused_port() if failure == 'is not there' else proxy.port}"
        url = f"http://us3r:passw0rd@{place}"
        monkeypatch.setenv("all_proxy", url)
        given: Any = {"pool": urllib3.ProxyManager(url) if own_pool else None}
        given["timeout"] = 0.2 if failure == "is silent" else 5
        dbots = DBotsClient(BOT, user_key="k", base_url=f"{scheme}://lists.example", **given)
        match = f"proxy http://{place}.*{'407' if failure == 'refuses CONNECT' else ''}"
        with pytest.raises(botlists.TransportError, match=match) as caught:
            dbots.regenerate_key()
    assert isinstance(caught.value, botlists.TransportTimeout) == (failure == "is silent")
    if failure == "is not there":
        assert (caught.value.sent, len(naps)) == (False, 2)
        assert str(caught.value).startswith("DBots: not sent")
    assert not re.search("us3r|passw0rd", text_of(caught.value))


VARIABLES = {"http_proxy": "http", "HTTP_PROXY": "http", "https_proxy": "https"}
VARIABLES.update({"HTTPS_PROXY": "https", "all_proxy": "http https", "ALL_PROXY": "http https"})
# Under CGI, HTTP_PROXY is a header of a request.
VARIABLES.update({"HTTP_PROXY REQUEST_METHOD": "", "http_proxy REQUEST_METHOD": "http"})
VARIABLES.update({"http_proxy https_proxy ALL_PROXY=http://127.0.0.1:1": "http https"})


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("variables", VARIABLES)
def test_proxy_variables(variables: str, scheme: str, trusted: Any, monkeypatch: Patch) -> None:
    tls = trusted if scheme == "https" else None
    with Peer(GOOD, tls=tls) as peer, Proxy() as proxy:
        for variable in variables.split():
            name, _, value = variable.partition("=")  # without a scheme, as curl accepts it
            monkeypatch.setenv(name, value or f"127.0.0.1:{proxy.port}")
        dbots_at(peer).post_stats(1)
        assert len(proxy.received) == (scheme in VARIABLES[variables].split())
        assert len(peer.received) == 1


DIRECT = ["*", "lists.example", "LISTS.example", "example", ".example", "lists.example:80"]
DIRECT += ["other.example, .lists.example"]


@pytest.mark.parametrize("value", [*DIRECT, "lists.example:8080", "ists.example", "a.example", ""])
def test_no_proxy(value: str, names: dict[str, Any], monkeypatch: Patch) -> None:
    with Peer(GOOD) as peer, Proxy({"lists.example": peer.port}) as proxy:
        names["lists.example"] = peer.port
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", value)
        assert DBotsClient(BOT, TOKEN, base_url="http://lists.example").post_stats(1) == 1
        assert len(proxy.received) == (value not in DIRECT)


USERS = {"user:pass": "user:pass", "us%40er:p%3Aa%2Fs%C3%A9": "us@er:p:a/sé", "u": "u:"}
USERS.update({"C0RP%5Cuser:%2F%3F%23": "C0RP\\user:/?#", "user:p@ss": "user:p@ss"})


@pytest.mark.parametrize(("userinfo", "plain"), USERS.items())
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_proxy_credentials(
    scheme: str, userinfo: str, plain: str, trusted: ssl.SSLContext, monkeypatch: Patch
) -> None:
    password = "Basic " + base64.b64encode(plain.encode()).decode()
    tls = trusted if scheme == "https" else None
    with Peer(GOOD, tls=tls) as peer, Proxy(password=password) as proxy:
        monkeypatch.setenv(f"{scheme}_proxy", f"http://{userinfo}@127.0.0.1:{proxy.port}/")
        assert dbots_at(peer).post_stats(1) == 1
        assert "Proxy-Authorization" not in peer.received[0].headers
        assert proxy.received[0].headers["Proxy-Authorization"] == password


UNESCAPED = [f"{u}:{p}@passw0rd" for c in "\\/?#" for u, p in ((f"u{c}u", "p"), ("u", f"p{c}p"))]
UNESCAPED += [f"u:{c}{c}@passw0rd" for c in "\\/?#"] + [f"u:{c}8@passw0rd" for c in "\\/?#"]
MALFORMED = ["socks5://passw0rd:1", "http:///passw0rd", "http://passw0rd:99999", "http://passw0rd "]


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
@pytest.mark.parametrize(
    "value", [*UNESCAPED, *(f"http://{v}:8080" for v in UNESCAPED), *MALFORMED]
)
def test_an_unusable_proxy_variable_is_a_valueerror_that_names_it_as_it_is_set(
    value: str, variable: str, monkeypatch: Patch
) -> None:
    monkeypatch.setenv(variable, value)
    [name] = (name for name in os.environ if name.lower() == variable.lower())
    for make in (DBotsClient, LBotsClient):
        with pytest.raises(ValueError, match=f"^{name} must be ") as caught:
            make(BOT, TOKEN)
        assert "passw0rd" not in text_of(caught.value)
    DBotsClient(BOT, TOKEN, pool=urllib3.PoolManager())
    if variable != "ALL_PROXY":
        DBotsClient(BOT, TOKEN, base_url="http://127.0.0.1")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_https_proxy_with_the_certificate_of_another_host(
    scheme: str, trusted: ssl.SSLContext, monkeypatch: Patch, names: Any, naps: list[float]
) -> None:
    with Peer(GOOD, tls=trusted) as proxy:
        names["other.example"] = proxy.port
        monkeypatch.setenv("all_proxy", f"https://u:p@other.example:{proxy.port}")
        dbots = DBotsClient(BOT, user_key=USER_KEY, base_url=f"{scheme}://dbots.co")
        with pytest.raises(botlists.TransportError, match="not sent") as caught:
            dbots.regenerate_key()
        assert caught.value.sent is False
        assert proxy.received == []


# Traffic: logging


def logged(caplog: Log) -> list[str]:
    records = [record for record in caplog.records if record.name == "botlists"]
    return [f"{record.levelname} {record.getMessage()}" for record in records]


def test_each_attempt_is_a_debug_line_and_each_retry_a_warning(naps: Any, caplog: Log) -> None:
    caplog.set_level(logging.DEBUG, "botlists")
    with Peer(response(503, {"message": "loud"}), b"", response(503, reason="loud"), GOOD) as peer:
        dbots_at(peer, retries=3).post_stats(4242424)
        lbots_at(peer).get_favourites()
    dbots, lbots = f"DBots POST /bots/{BOT}/stats", f"LBots GET /bots/{BOT}/favourites"
    expected = [
        rf"DEBUG {dbots}: 503 in \d+ ms",
        rf"WARNING {dbots}: 503; retrying in \d\.\d s",
        rf"DEBUG {dbots}: no [a-z ]*response in \d+ ms",
        rf"WARNING {dbots}: .*Remote end closed connection.*; retrying in \d\.\d s",
        rf"DEBUG {dbots}: 503 in \d+ ms",
        rf"WARNING {dbots}: 503; retrying in \d\.\d s",
        rf"DEBUG {dbots}: 200 in \d+ ms",
        rf"DEBUG {lbots}: 200 in \d+ ms",
    ]
    lines = logged(caplog)
    assert all(map(re.fullmatch, expected, lines)) and len(lines) == len(expected)


def test_a_second_for_a_rate_limit_is_an_info_line_and_less_is_none(
    naps: list[float], windows: Any, caplog: Log
) -> None:
    caplog.set_level(logging.INFO, "botlists")
    with Peer(response(body=DONE)) as peer:
        for seconds in (0.9, 7):
            windows(1, 1, seconds)
            post(lbots_at(peer), 2)
    [line] = logged(caplog)
    assert re.fullmatch(f"INFO LBots POST /bots/{BOT}/stats: waiting 7.0 s .*rate limit", line)


# The command line


@pytest.fixture
def command(sandbox: Sandbox, monkeypatch: Patch, capsys: Any) -> Callable[..., Any]:
    """Run the command line against the sandbox: (exit status, JSON of stdout, stderr)."""
    monkeypatch.setenv("DBOTS_TOKEN", sandbox.dbots_token)
    monkeypatch.setenv("DBOTS_USER_KEY", sandbox.user_key)
    monkeypatch.setenv("LBOTS_TOKEN", sandbox.lbots_token)
    monkeypatch.setenv("COLUMNS", "80")

    def run_command(line: str) -> tuple[int, Any, str]:
        url = sandbox.dbots_url if line.startswith("dbots") else sandbox.lbots_url
        before = [] if "--base-url" in line else ["--base-url", url]
        try:
            status = botlists.main([*before, *line.split()])
        except SystemExit as stop:
            assert isinstance(stop.code, int)
            status = stop.code
        out, err = capsys.readouterr()
        return status, json.loads(out) if out.startswith("{") else out, err

    return run_command


def test_commands(command: Any, sandbox: Sandbox) -> None:
    document = {"bot_id": BOT, "token": "dbots-token-1", "vote_webhook_url": URL}
    changed = {"at": "2020-08-07T12:56:27.100000+00:00", "by": str(STRANGER)}
    never = {"user_id": str(STRANGER), "favourited": False, "time": None}
    late = {"user_id": str(FAN), "favourited": True, "time": "2019-01-21T01:19:38+00:00"}
    shard = {"guild_count": 7, "shard_id": 0, "shard_count": 4}
    for line, result in (
        (f"dbots post-stats {BOT} 893", {"guild_count": 893}),
        (f"dbots edit-api {BOT} --vote-webhook-url {URL}", document),
        (f"dbots get-api {BOT}", document),
        (f"dbots edit-api {BOT} --clear", {**document, "vote_webhook_url": None}),
        (f"dbots regenerate-key {BOT}", {"token": "dbots-token-2"}),
        (f"lbots post-stats {BOT} 7", {"guild_count": 7}),
        (f"lbots post-stats {BOT} 7 --shard-id 0 --shard-count 4", shard),
        (f"lbots post-shard-stats {BOT} 5 0 7", {"guild_counts": [5, 0, 7]}),
        (f"lbots get-favourites {BOT}", {"favourites": 1}),
        (f"lbots get-favorites {BOT}", {"favourites": 1}),
        (f"lbots has-favourited {BOT} {FAN}", late),
        (f"lbots has-favorited {BOT} {STRANGER}", never),
        (f"lbots invalidate-token {BOT}", {"invalidated": True}),
    ):
        assert command(line) == (0, result, "")
    status, log, _ = command(f"dbots get-log {BOT}")
    assert (status, log["bot_id"], len(log["changes"])) == (0, BOT, 3)
    assert log["changes"][2] == {**changed, "old": {"tags": ["music"]}, "new": {}}
    assert sandbox.total == 12


@pytest.mark.parametrize("place", ["before", "after"])
def test_options_before_the_service_or_after_the_command(place: str, command: Any) -> None:
    def with_options(options: str) -> Any:
        line = f"dbots post-stats {BOT} 1"
        return command(f"{options} {line}" if place == "before" else f"{line} {options}")

    with Peer(response(429, Retry_After="2"), response(429, Retry_After="0.001")) as peer:
        at = f"--base-url {peer.url}"
        refused = (1, "", "botlists: DBots: 429: Said So\n")
        assert with_options(f"{at} --max-wait 1") == refused
        assert len(peer.received) == 1
        assert with_options(f"{at} --retries 4") == refused
        assert len(peer.received) == 6
    with Peer(silence) as peer:
        options = f"--base-url {peer.url} --max-wait 0 --timeout 0.1"
        assert "timed out" in with_options(options)[2]
    for option in ("--timeout 0", "--timeout x", "--max-wait -1", "--retries -1", "--base-url h"):
        status, out, err = with_options(option)
        assert (status, out) == (2, "") and "error: " in err
        assert option.split()[0][2:].replace("-", "_") in err.replace("-", "_")


WRONG_USAGE = {"": "SERVICE", "dbots": "COMMAND", "dbots post-stats": "BOT"}
WRONG_USAGE.update({"dbots post-stats 1 1.5": "N", "dbots post-stats 1 -1": "guild_count"})
WRONG_USAGE.update({"dbots post-stats ../1 1": "bot_id", "lbots has-favourited 1 x": "user_id"})
WRONG_USAGE.update({"dbots edit-api 1": "--clear", "dbots edit-api --clear": "BOT"})
WRONG_USAGE.update({"dbots edit-api 1 --clear --vote-webhook-url x": "not allowed"})
WRONG_USAGE.update({"lbots post-stats 1 1 --shard-id 4 --shard-count 4": "shard_id"})
WRONG_USAGE.update({"lbots post-stats 1 1 --token x": "unrecognized arguments"})


@pytest.mark.parametrize(("line", "part"), WRONG_USAGE.items())
def test_wrong_usage_is_2_in_argparses_form_and_nothing_is_sent(
    line: str, part: str, command: Any, sandbox: Sandbox
) -> None:
    status, out, err = command(line)
    assert (status, out) == (2, "")
    assert err.startswith("usage: botlists") and part in err
    assert sandbox.received == []


COMMANDS = {
    "dbots post-stats BOT N": "DBOTS_TOKEN",
    "dbots get-log BOT": "DBOTS_USER_KEY",
    "dbots regenerate-key BOT": "DBOTS_USER_KEY",
    "dbots get-api BOT": "DBOTS_USER_KEY",
    "dbots edit-api BOT (--vote-webhook-url URL | --clear)": "DBOTS_USER_KEY",
    "lbots post-stats BOT N [--shard-id I] [--shard-count C]": "LBOTS_TOKEN",
    "lbots post-shard-stats BOT N [N ...]": "LBOTS_TOKEN",
    "lbots get-favourites BOT": "LBOTS_TOKEN",
    "lbots has-favourited BOT USER": "LBOTS_TOKEN",
    "lbots invalidate-token BOT": "LBOTS_TOKEN",
}


USES = {"DBOTS_TOKEN": "dbots post-stats 1 1", "DBOTS_USER_KEY": "dbots get-api 1"}
USES.update({"LBOTS_TOKEN": "lbots get-favourites 1"})
USES.update({"HTTPS_PROXY": "dbots get-api 1 --base-url https://lists.example"})
UNUSABLE: list[Any] = [*itertools.product([*USES][:3], [None, "", " ", "passw0rd\n", "passw0rdé"])]
UNUSABLE += [("HTTPS_PROXY", value) for value in [UNESCAPED[0], *MALFORMED]]


@pytest.mark.parametrize(("variable", "value"), UNUSABLE)
def test_a_missing_or_malformed_variable_is_2_and_one_line_that_names_it(
    variable: str, value: str | None, command: Any, monkeypatch: Patch
) -> None:
    monkeypatch.delenv(variable) if value is None else monkeypatch.setenv(variable, value)
    status, out, err = command(USES[variable])
    assert (status, out) == (2, "")
    assert re.fullmatch(f"botlists: .*{variable}.+\n", err) and "passw0rd" not in err


def test_help_has_each_command_with_arguments_and_variable_in_80_columns(command: Any) -> None:
    variables = set(COMMANDS.values())
    for words in ("", "dbots", "lbots", *(" ".join(usage.split()[:2]) for usage in COMMANDS)):
        status, text, _ = command(f"{words} --help")
        assert status == 0 and max(map(len, text.splitlines())) <= 80
        named = {variable for variable in variables if variable in text}
        assert named == {COMMANDS[usage] for usage in COMMANDS if usage.startswith(words)}
    for usage, variable in COMMANDS.items():
        assert re.search(f"^ +{re.escape(usage)} +{variable}$", command("--help")[1], re.MULTILINE)
    assert command("--version") == (0, f"botlists {botlists.__version__}\n", "")


def test_progress_is_shown_on_a_terminal_only(command: Any, monkeypatch: Patch) -> None:
    line = f"lbots post-shard-stats {BOT} 1 2 3"
    assert command(line)[2] == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    shown = "1 of 3 shards\r2 of 3 shards\r3 of 3 shards\n"
    assert command(line) == (0, {"guild_counts": [1, 2, 3]}, shown)


@pytest.mark.parametrize("entry", [("-m", "botlists"), (str(Path(botlists.__file__)),)])
def test_module_and_file_are_the_command(entry: tuple[str, ...], sandbox: Sandbox) -> None:
    line = ["--base-url", sandbox.lbots_url, "lbots", "get-favourites", BOT]
    good = (0, '{"favourites": 1}\n', "")
    assert run(*entry, *line, LBOTS_TOKEN=sandbox.lbots_token) == good
    wrong = (1, "", "botlists: LBots: 401: Unauthorized\n")
    assert run(*entry, *line, LBOTS_TOKEN="wrong") == wrong
    with Peer(response(503, Retry_After="0.01"), GOOD) as peer:  # a retry is not mentioned
        assert run(*entry, "--base-url", peer.url, *line[2:], LBOTS_TOKEN=TOKEN) == good
        assert len(peer.received) == 2


RUN_LINES = """
import io, sys, types, botlists
sys.stderr = {stream}
for line in sys.argv[1:]:
    try:
        status = botlists.main(line.split())
    except SystemExit as stop:
        status = stop.code
    print(status)
"""
STREAMS: list[Any] = ["None", "types.SimpleNamespace(write=len, flush=int)"]  # without isatty
STREAMS += ["(lambda stream: stream.close() or stream)(io.StringIO())"]
STREAMS += [pytest.param("sys.stderr", marks=needs_shell)]  # closed by the shell


@pytest.mark.parametrize("stream", STREAMS)
def test_without_a_usable_stderr_calls_run_and_no_error_goes_to_stdout(
    stream: str, sandbox: Sandbox
) -> None:
    closed = ["/bin/sh", "-c", 'exec "$0" "$@" 2>&-'] if stream == "sys.stderr" else []
    at = f"--base-url {sandbox.lbots_url}"
    lines = [
        f"{at} lbots post-shard-stats {BOT} 1 2",
        f"{at} lbots get-favourites 1{BOT}",  # not on the list
        f"dbots get-api {BOT}",  # its variable is missing
        "lbots get-favourites",
    ]
    script, token = RUN_LINES.format(stream=stream), sandbox.lbots_token
    out = '{"guild_counts": [1, 2]}\n0\n1\n2\n2\n'
    assert run("-c", script, *lines, prefix=closed, LBOTS_TOKEN=token) == (0, out, "")


DONE_BUT_UNWRITTEN = "botlists: the call was done.+No space left.+\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_with_stdout_full_one_line_says_that_the_call_was_done(sandbox: Sandbox) -> None:
    line = ["--base-url", sandbox.dbots_url, "dbots", "regenerate-key", BOT]
    with open("/dev/full", "w", encoding="utf-8") as full:
        env: Any = {"DBOTS_USER_KEY": sandbox.user_key, "PYTHONUNBUFFERED": ""}
        status, _, err = run("-m", "botlists", *line, stdout=full, **env)
    assert (status, sandbox.dbots_token) == (1, "dbots-token-2")
    assert re.fullmatch(DONE_BUT_UNWRITTEN, err)


@needs_sigint
def test_ctrl_c_is_130_and_quiet() -> None:
    log = "import logging, sys; logging.basicConfig(stream=sys.stdout)\n"
    with Peer(response(429, Retry_After="25")) as peer:
        line = ["--base-url", peer.url, "dbots", "get-log", BOT]
        with started(log + RUN_FILE, "botlists.py", *line, DBOTS_USER_KEY=USER_KEY) as process:
            assert process.stdout is not None and "429" in process.stdout.readline()
            process.send_signal(signal.SIGINT)
            assert (*process.communicate(timeout=30), process.returncode) == ("", "", 130)


class Full(io.StringIO):
    """A stdout on a full disk."""

    def write(self, _: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    def close(self) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_the_same_in_this_process(command: Any, monkeypatch: Patch, capsys: Any) -> None:
    """What the tests above do in other processes, here again for the sake of coverage."""
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", Full())
        status, _, err = command(f"dbots regenerate-key {BOT}")
        assert status == 1 and re.fullmatch(DONE_BUT_UNWRITTEN, err)
        patch.setattr(sys, "stdout", None)  # as with >&-: a new token is not lost
        assert command(f"dbots regenerate-key {BOT}") == (0, "", '{"token": "dbots-token-3"}\n')
    monkeypatch.setattr(DBotsClient, "get_log", interrupt)
    assert command(f"dbots get-log {BOT}") == (130, "", "")
    monkeypatch.setattr(sys, "argv", ["botlists.py", "--version"])
    stop = pytest.raises(SystemExit, runpy.run_path, botlists.__file__, run_name="__main__")
    assert (stop.value.code, capsys.readouterr().out) == (0, f"botlists {botlists.__version__}\n")


# The README

# Empty if this file was copied next to other tests.
README = "".join(path.read_text(encoding="utf-8") for path in HERE.glob("README.rst"))
EXAMPLES = [
    textwrap.dedent(example)
    for example in re.findall(r"\.\. code:: python\n\n((?:    .*\n|\n)+)", README)
]
SHELL = re.findall(r"^    \$ botlists (.+)\n    (\{.+)$", README, re.MULTILINE)
SHARD_POST = "".join(
    re.findall(r"^    (lbots\.post_shard_stats\(shard_counts.+)$", README, re.MULTILINE)
)
CRON = re.findall(r"^    \*/30 \* \* \* \* [~/]\S*/botlists (.+)$", README, re.MULTILINE)


@pytest.fixture(scope="session")
def tls_server(tmp_path_factory: Any) -> Iterator[Sandbox]:
    with Sandbox(tls=tls_context(tmp_path_factory.mktemp("tls"))) as sandbox:
        yield sandbox


def example_with(part: str) -> str:
    [example] = [text for text in EXAMPLES if part in text]
    return example


@pytest.fixture
def services(tls_server: Sandbox, trusted: Any) -> Iterator[tuple[Sandbox, dict[str, str], Proxy]]:
    """The sandbox, variables with which a process uses it as the real hosts, and the proxy used."""
    tls_server.reset()
    with Proxy({"dbots.co": tls_server.port, "lbots.org": tls_server.port}) as proxy:
        yield (
            tls_server,
            {
                "DBOTS_TOKEN": tls_server.dbots_token,
                "DBOTS_USER_KEY": tls_server.user_key,
                "LBOTS_TOKEN": tls_server.lbots_token,
                "DISCORD_TOKEN": "discord-token",
                "HTTPS_PROXY": proxy.url,
            },
            proxy,
        )


@pytest.mark.parametrize(
    "example", [text for text in EXAMPLES if "discord" not in text and "serve_forever" not in text]
)
def test_an_example_of_the_readme_runs_as_it_stands(
    example: str, services: Any, tmp_path: Path
) -> None:
    for package, module in (("tqdm", "tqdm"), ("contrib.socks", "socks")):
        if package in example:
            pytest.importorskip(module)
    box, secrets, _ = services
    status, _, err = run("-c", example, cwd=tmp_path, **secrets)
    assert status == 0, err
    posts = "lbots.post_" in example and "Sandbox" not in example
    assert box.total == (0 if not posts else 2317 if "602" in example else 893)
    assert (box.guild_count == 893) == ("dbots.post_stats" in example)
    assert (box.dbots_token == "dbots-token-2") == ("regenerate_key" in example)


@pytest.mark.parametrize(("line", "result"), SHELL)
def test_a_command_of_the_readme_prints_what_it_says(line: str, result: str, services: Any) -> None:
    assert run("-m", "botlists", *line.split(), **services[1]) == (0, f"{result}\n", "")


@needs_shell
@pytest.mark.parametrize("arguments", CRON)
def test_the_crontab_of_the_readme_posts_what_a_file_has(
    arguments: str, services: Any, tmp_path: Path
) -> None:
    (tmp_path / "guilds").write_text("893\n")
    script = f"{sys.executable} {botlists.__file__} {arguments}"
    env = {**services[1], "PATH": "/usr/bin:/bin", "SSL_CERT_FILE": os.environ["SSL_CERT_FILE"]}
    done = subprocess.run(["/bin/sh", "-c", script], cwd=str(tmp_path), env=env, check=False)
    assert done.returncode == 0
    assert services[0].total == 893


# In place of the connection to Discord: three guilds appear after a while.
STAND_IN = """
import asyncio, types, discord

async def static_login(self, token):
    return dict(id=1, username="bot", discriminator="0", avatar=None)

async def application_info(self):
    return types.SimpleNamespace(id=1, flags=None, interactions_endpoint_url=None)

async def connect(self, *, reconnect=True):
    await asyncio.sleep(0.3)
    for guild_id in (1, 2, 3 << 22):
        state = self._connection
        state._add_guild(discord.Guild(data=dict(id=guild_id), state=state))
    self._ready.set()
    print("ready", flush=True)
    await asyncio.Event().wait()

discord.http.HTTPClient.static_login = static_login
discord.Client.application_info = application_info
discord.Client.connect = connect
"""


@needs_sigint
@pytest.mark.parametrize(
    ("recipe", "tokens"),
    [
        *itertools.product(["threading", "shards"], [["DBOTS_TOKEN", "LBOTS_TOKEN"], []]),
        ("threading", ["DBOTS_TOKEN"]),
        *itertools.product(["asyncio"], [["LBOTS_TOKEN"], []]),
    ],
)
@pytest.mark.skipif(not README, reason="no README here")
def test_a_recipe_for_bots_posts_when_it_is_ready_and_ends_on_ctrl_c(
    recipe: str, tokens: list[str], services: Any
) -> None:
    pytest.importorskip("discord")
    box, secrets, _ = services
    script = example_with("threading.Thread" if recipe != "asyncio" else "tasks.loop")
    if recipe == "shards":
        script = script.replace("lbots.post_stats(len(bot.guilds))", SHARD_POST)
        script = example_with("def shard_counts") + script
    for name in {"DBOTS_TOKEN", "LBOTS_TOKEN"}.difference(tokens):
        del secrets[name]
    with started(STAND_IN + script, **secrets) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        eventually(lambda: box.total == 3 * ("LBOTS_TOKEN" in tokens))
        eventually(lambda: box.guild_count == 3 * ("DBOTS_TOKEN" in tokens))
        interrupted = time.monotonic()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert time.monotonic() - interrupted < 5
    assert out == "" and "Traceback" not in err
    assert len(box.received) == len(tokens)
    assert (0 in box.shards) == (recipe == "shards" and bool(tokens))


@pytest.mark.parametrize(
    ("client", "options", "guilds", "counts"),
    [
        ("AutoShardedClient", {"shard_count": 4}, [0, 3, 3], {0: 1, 1: 0, 2: 0, 3: 2}),
        ("AutoShardedClient", {"shard_ids": [0, 2], "shard_count": 4}, [2, 2], {0: 0, 2: 2}),
        ("Client", {"shard_id": 2, "shard_count": 4}, [2], {2: 1}),
        ("Client", {}, [0, 1, 2], {0: 3}),
    ],
)
@pytest.mark.skipif(not README, reason="no README here")
def test_each_process_of_a_bot_posts_its_own_shards_with_the_empty_ones(
    client: str, options: Any, guilds: list[int], counts: Any, sandbox: Sandbox
) -> None:
    discord = pytest.importorskip("discord")
    bot = getattr(discord, client)(intents=discord.Intents.default(), **options)
    for number, shard in enumerate(guilds):
        guild = discord.Guild(data={"id": shard << 22 | number}, state=bot._connection)
        bot._connection._add_guild(guild)
    scope = {"bot": bot, "lbots": clients_of(sandbox)[1]}
    exec(f"{example_with('def shard_counts')}\n{SHARD_POST}", scope)
    assert sandbox.shards == counts
    assert {request.json["shard_count"] for request in sandbox.received} == {bot.shard_count or 1}


@pytest.mark.parametrize("status", [504, 200, None])  # None: no response at all
@pytest.mark.skipif(not README, reason="no README here")
def test_the_rotation_of_the_readme_keeps_webhook_and_token_whatever_comes_back(
    status: int | None, services: Any
) -> None:
    def spoil(request: Received, response: Response) -> None:
        if request.path.endswith("regen"):
            response.status_code = status or 200
            response.set_data(PAGE)
            if status is None:
                proxy.hang_up()

    box, secrets, proxy = services
    box.webhook, box.on_response = {"voteWebhookURL": URL}, spoil
    code, out, err = run("-c", example_with("regenerate_key"), **secrets)
    assert (code, err) == (0, "")
    assert out.splitlines() == [f"The vote webhook is {URL}", "DBOTS_TOKEN is now dbots-token-2"]
    assert (box.dbots_token, box.webhook) == ("dbots-token-2", {"voteWebhookURL": URL})


@pytest.mark.parametrize(("status", "kind"), [(504, "ServerError"), (401, "Unauthorized")])
@pytest.mark.skipif(not README, reason="no README here")
def test_the_rotation_of_the_readme_raises_if_it_did_not_happen(
    status: int, kind: str, services: Any
) -> None:
    box, secrets, _ = services
    before = {"_id": BOT, "token": box.dbots_token, "voteWebhookURL": URL}
    box.next_responses = [box.json(200, before), Response(PAGE, status)]
    code, out, err = run("-c", example_with("regenerate_key"), **secrets)
    assert (code, out) == (1, f"The vote webhook is {URL}\n")
    assert err.splitlines()[-1].startswith(f"botlists.{kind}: DBots: {status}: ")
    assert [request.path.split("/")[-1] for request in box.received] == ["api", "regen", "api"]


@pytest.mark.skipif(not README, reason="no README here")
def test_the_receiver_of_the_readme_takes_votes_and_nothing_else(sandbox: Sandbox) -> None:
    port, manager = unused_port(), urllib3.PoolManager(retries=False, timeout=10)
    url, token = f"http://127.0.0.1:{port}", sandbox.dbots_token
    script = example_with("VoteHandler").replace("8080", str(port))

    def status(body: bytes, *token: str) -> int:
        headers = dict(zip(["Authorization"], token))
        return manager.request("POST", url, body=body, headers=headers).status

    with started(script, DBOTS_TOKEN=token) as process:
        eventually(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0)
        silent = socket.create_connection(
            ("127.0.0.1", port)
        )  # the next requests don't wait for it
        for wrong in ([], [""], ["wrong"], ["dbots-token-\xe9"]):
            assert status(b'{"by": "1"}', *wrong) == 401
        for body in (b"", b"x", b"[]", b'"by"', b"{}", b"\xff"):
            assert status(body, token) == 400
        clients_of(sandbox)[0].edit_api(vote_webhook_url=url)
        assert sandbox.vote(FAN) == 204
        assert b"204" in manager.request("GET", sandbox.url_for(f"/dbots/vote/{STRANGER}")).data
        assert process.stdout is not None
        votes = [process.stdout.readline() for _ in range(2)]
        assert votes == [f"Vote by {FAN}\n", f"Vote by {STRANGER}\n"]
        silent.close()
    sandbox.reset()
    assert b"no vote webhook" in manager.request("GET", sandbox.url_for("/dbots/vote/1")).data


@pytest.mark.skipif(not README, reason="no README here")
def test_the_readme_has_every_name() -> None:
    assert (len(EXAMPLES), len(SHELL), len(CRON)) == (12, 3, 1)
    for name in botlists.__all__:
        assert f"``{name}" in README
    for client in (DBotsClient, LBotsClient):
        for name in vars(client):
            assert name.startswith("_") or f"``{name}" in README
    assert f"\n{botlists.__version__}:\n" in README


# The demonstration


@pytest.fixture(scope="session", autouse=True)
def background() -> Iterator[tuple[Any, Any]]:
    """What waits for rate limits, and so runs in the background of the other tests."""
    script = "import test_botlists; test_botlists.use_rate_limits()"
    with started(script, no_proxy="*") as limits, started(RUN_FILE, "test_botlists.py") as demo:
        yield limits, demo


def test_the_demonstration_shows_every_call_and_no_secret(background: Any) -> None:
    text, err = background[1].communicate(timeout=60)
    assert (background[1].returncode, err) == (0, "")
    for client in (DBotsClient, LBotsClient):
        for name in vars(client):
            assert name.startswith("_") or "favor" in name or name in text
    assert "token-1" not in text and "user-key" not in text
    assert max(map(len, text.splitlines())) <= 80
    for part in ("Unauthorized", "NotFound", "TooManyRequests", "retrying in", "rate limit"):
        assert part in text


@needs_sigint
def test_the_demonstration_serves_until_ctrl_c() -> None:
    port = unused_port()
    with started(RUN_FILE, "test_botlists.py", "--serve", str(port)) as process:
        assert process.stdout is not None
        told = "".join(iter(process.stdout.readline, "Press Ctrl-C to stop.\n"))
        [python] = re.findall(r"^  lbots = (LBotsClient\([^)]+\))", told, re.MULTILINE)
        client: LBotsClient = eval(python)
        assert client.base_url == f"http://127.0.0.1:{port}/lbots/api/v1"
        commands = re.findall(r"^  (\w+=\S+) python botlists.py (.+)$", told, re.MULTILINE)
        assert [words.split()[2] for _, words in commands] == ["dbots", "dbots", "lbots"]
        for secret, words in commands:
            name, _, value = secret.partition("=")
            assert run("-m", "botlists", *words.split(), **{name: value})[0] == 0
        client.invalidate_token()
        lines = [process.stdout.readline().split(maxsplit=1)[1] for _ in range(5)]
        assert lines == [
            f'POST  /dbots/api/v1/bots/{BOT}/stats 200 {{"guildCount": 893}}\n',
            f"GET   /dbots/api/v1/bots/{BOT}/api 200\n",
            f"GET   /lbots/api/v1/bots/{BOT}/favourites 200\n",
            f"GET   /lbots/api/v1/bots/{BOT}/invalidate 200\n",
            "the token is now lbots-token-2\n",
        ]
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=30) == ("", "")
        assert process.returncode == 0


def shown(label: str, text: str) -> None:
    text = re.sub(r"([dl]bots)-(token|user-key)[-0-9]*", "***", text)
    print(f"{label:8}", textwrap.fill(text, 70).replace("\n", "\n" + " " * 9))


class Shown(logging.Handler):
    """Shows what botlists logs."""

    def emit(self, record: logging.LogRecord) -> None:
        shown("  log", f"{record.levelname} {record.getMessage()}")


def show_traffic(request: Received, response: Response) -> None:
    path = re.sub("^/[dl]bots/api/v1", "", request.path)
    shown("  sent", f"{request.method} {path} {request.body.decode()}".rstrip())
    shown("  got", f"{response.status_code} {response.get_data(as_text=True)}")


def show(client: Any, name: str, *args: Any, note: str = "", **kwargs: Any) -> None:
    """Make a call, and print it and its result or error."""
    given = [repr(arg) for arg in args] + [f"{key}={value!r}" for key, value in kwargs.items()]
    call = f"{type(client).__name__[:5].lower()}.{name}({', '.join(given)})"
    print(call + (f"   # {note}" if note else ""))
    try:
        shown("  result", repr(getattr(client, name)(*args, **kwargs)))
    except botlists.BotListError as error:
        shown("  raised", f"{type(error).__name__}: {error}")


def demonstrate() -> None:
    """Call every method against a sandbox and show what happens."""
    os.environ["no_proxy"] = "*"
    logger = logging.getLogger("botlists")
    logger.setLevel(logging.INFO)
    logger.addHandler(Shown())
    with Sandbox() as box:
        box.on_response = show_traffic
        dbots, lbots = clients_of(box)
        print("Each call, what goes over the wire, and its result. Secrets are masked.")
        shown("\ndbots =", f"{dbots}")
        show(dbots, "post_stats", 893)
        show(dbots, "get_api", note="no webhook has been set")
        show(dbots, "edit_api", vote_webhook_url=URL)
        show(dbots, "get_log", note="the service leaves out what is empty")
        show(dbots, "regenerate_key", note="this removes the webhook")
        show(dbots, "post_stats", 894, note="with the new token")
        shown("\nlbots =", f"{lbots}")
        show(lbots, "post_stats", 19902)
        show(lbots, "post_stats", 564, shard_id=2, shard_count=4)
        show(lbots, "post_shard_stats", [564, 570, 581])
        show(lbots, "has_favourited", FAN)
        show(lbots, "has_favourited", STRANGER)
        for count in ("first", "second", "third", "fourth"):
            show(lbots, "get_favourites", note=f"the {count}; 3 are allowed in 4 s")
        print("\nA service that is busy for a moment:\n")
        box.next_responses = [Response("Back in a second.", 503, {"Retry-After": "1"})]
        show(dbots, "post_stats", 895)
        print("\nErrors:\n")
        wrong = DBotsClient(BOT, "wrong", base_url=box.dbots_url)
        show(wrong, "post_stats", 893, note="with a wrong token")
        unknown = DBotsClient(1, box.dbots_token, base_url=box.dbots_url)
        show(unknown, "post_stats", 893, note="for a bot that is not on the list")
        box.windows.clear()  # as if time had passed
        lbots = LBotsClient(BOT, box.lbots_token, base_url=box.lbots_url, max_wait=0)
        print(f"\nlbots = LBotsClient({BOT}, ..., max_wait=0)")
        for count in ("first", "second", "third", "fourth"):
            show(lbots, "get_favourites", note=f"the {count}; 3 are allowed in 4 s")
        show(lbots, "invalidate_token")
        show(lbots, "post_stats", 19903, note="with a token that is no longer valid")


def serve(port: int) -> None:
    """Keep a sandbox running until Ctrl-C, and show each request that reaches it."""

    def tell(request: Received, response: Response) -> None:
        now = time.strftime("%H:%M:%S")
        line = f"{request.method:5} {request.path} {response.status_code} {request.body.decode()}"
        print(now, line.rstrip(), flush=True)
        for token in {box.dbots_token, box.lbots_token} - tokens:
            print(f"{now} the token is now {token}", flush=True)
            tokens.add(token)

    with Sandbox(port) as box:
        tokens = {box.dbots_token, box.lbots_token}
        box.on_response = tell
        print("Both services run, with one bot on each. In a shell, in this directory:\n")
        for secret, url, call in (
            (f"DBOTS_TOKEN={box.dbots_token}", box.dbots_url, f"dbots post-stats {BOT} 893"),
            (f"DBOTS_USER_KEY={box.user_key}", box.dbots_url, f"dbots get-api {BOT}"),
            (f"LBOTS_TOKEN={box.lbots_token}", box.lbots_url, f"lbots get-favourites {BOT}"),
        ):
            print(f"  {secret} python botlists.py --base-url {url} {call}")
        print("\nIn Python:\n\n  from botlists import DBotsClient, LBotsClient")
        keys = f"{box.dbots_token!r}, user_key={box.user_key!r}"
        print(f"  dbots = DBotsClient({BOT}, {keys}, base_url={box.dbots_url!r})")
        print(f"  lbots = LBotsClient({BOT}, {box.lbots_token!r}, base_url={box.lbots_url!r})")
        print(f"\nTo send a vote to your webhook, open {box.url_for('/dbots/vote')}/{FAN}")
        print(f"\nUser {FAN} has favourited the bot.\nPress Ctrl-C to stop.", flush=True)
        while True:  # on Windows, Ctrl-C would not end a wait for an event
            time.sleep(1)


if __name__ == "__main__":
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    parser = argparse.ArgumentParser(description=demonstrate.__doc__)
    parser.add_argument("--serve", nargs="?", type=int, const=0, metavar="PORT", help=serve.__doc__)
    arguments = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        demonstrate() if arguments.serve is None else serve(arguments.serve)
