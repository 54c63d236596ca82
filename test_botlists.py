"""The specification of botlists, and a sandbox of DBots and LBots to try it on.

    python -m pytest                              check every promise
    python test_botlists.py                       see every call, without an account or a network
    python test_botlists.py --serve [PORT]        keep the sandbox up, for a script of one's own

The sandbox answers as the services do: LBots as documented, DBots as its published source does.
"""

from __future__ import annotations

import argparse
import base64
import collections
import contextlib
import gc
import gzip
import inspect
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
from typing import Any, Callable, Iterator, NamedTuple, Union

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
    """What a handler of the sandbox raises, with a status and why, to answer with an error."""


class Sandbox(HTTPServer):
    """Both services on one port, with one bot on each, and a state that calls really change."""

    def __init__(self, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        super().__init__("127.0.0.1", port, ssl_context=tls)
        self.reset()
        self.expect_request(re.compile("")).respond_with_handler(self.respond)

    def reset(self) -> None:
        self.received: list[Received] = []
        self.on_answer: Callable[[Received, Response], object] = lambda request, response: None
        self.next_answers: list[Response] = []  # given before those of the services
        self.user_key = "dbots-user-key"
        self.other_key = "dbots-key-of-somebody-else"
        self.dbots_token = "dbots-token-1"
        self.documented_rotation = True  # as no published source of the service has it
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
        response = self.next_answers.pop(0) if self.next_answers else self.answer(request)
        self.on_answer(seen, response)
        return response

    def answer(self, request: Request) -> Response:
        # Behind a proxy the services have hosts of their own, here they have paths.
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

    def check_limit(self, name: str, calls: int, seconds: float, reason: str) -> None:
        now = time.monotonic()
        window = [at for at in self.windows[name] if now - at < seconds]
        self.windows[name] = [*window, now]
        if len(window) >= calls:
            raise Refusal(429, reason)

    # DBots

    def check_dbots_token(self, request: Request, bot: str) -> None:
        self.check_limit("dbots", 300, 60, "You are being rate limited.")
        if bot != BOT:
            raise Refusal(404, "Not found")
        if request.headers.get("Authorization") != self.dbots_token:
            raise Refusal(401, "Unauthorized")

    def check_user_key(self, request: Request, bot: str) -> None:
        self.check_limit("dbots", 300, 60, "You are being rate limited.")
        key = request.headers.get("Authorization")
        if key not in (self.user_key, self.other_key):
            if request.method == "GET" and request.path.endswith("/api"):  # the service's own slip
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
        self.check_limit("stats", 20, 5, "Too Many Requests")
        stats = json.loads(request.get_data())
        numbers = [stats.get(key, 0) for key in ("guild_count", "shard_id", "shard_count")]
        if "guild_count" not in stats or any(type(number) is not int for number in numbers):
            raise Refusal(400, "Invalid post data")
        self.shards[stats.get("shard_id")] = stats["guild_count"]
        return {}

    def lbots_favourites(self, request: Request, bot: str) -> dict[str, Any]:
        self.check_lbots_token(request, bot)
        self.check_limit("favourites", 3, 4, "Too Many Requests")
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


class Server(socketserver.ThreadingTCPServer):
    """A loopback TCP server that hands each connection to `serve` in a thread of its own."""

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
        with contextlib.suppress(OSError):  # a client may go away at any time
            if self.tls is not None:
                request = self.tls.wrap_socket(request, server_side=True)
                self.sockets.append(request)
            with request:
                self.serve(request)

    def serve(self, connection: socket.socket) -> None:
        raise NotImplementedError

    def hang_up(self) -> None:
        """Close all connections, as a service does with idle ones."""
        for connection in self.sockets:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.sockets.clear()

    def __exit__(self, *exc_info: Any) -> None:
        self.shutdown()
        self.server_close()
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
                said = self.next_answer(request)
                if said == b"":
                    return
                if isinstance(said, bytes):
                    connection.sendall(said)
                else:
                    said(connection)
        self.ended.set()

    def next_answer(self, request: Received) -> Answer:
        with self.lock:
            self.received.append(request)
            return self.answers.popleft() if len(self.answers) > 1 else self.answers[0]


class Proxy(Server):
    """A proxy: CONNECT and absolute URLs, with `hosts` resolved as told, and a password if told."""

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
            connection.sendall(answer(407, reason="Who Are You", Connection="close"))
            return
        host, _, port = request.path.replace("http://", "").split("/")[0].partition(":")
        with socket.create_connection(("127.0.0.1", self.hosts.get(host) or int(port))) as target:
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
    """A server's context with this certificate."""
    file = folder / "server.pem"
    file.write_text(CERTIFICATE + KEY)
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


def clients_of(box: Sandbox) -> tuple[DBotsClient, LBotsClient]:
    return (
        DBotsClient(BOT, box.dbots_token, user_key=box.user_key, base_url=box.dbots_url),
        LBotsClient(BOT, box.lbots_token, base_url=f"{box.lbots_url}/"),  # a slash is fine
    )


@pytest.fixture
def dbots(sandbox: Sandbox) -> DBotsClient:
    return clients_of(sandbox)[0]


@pytest.fixture
def lbots(sandbox: Sandbox) -> LBotsClient:
    return clients_of(sandbox)[1]


@pytest.fixture(autouse=True)
def no_surroundings(monkeypatch: Patch) -> None:
    """No proxy, certificate or secret of the machine's reaches a test."""
    names = {"all_proxy", "http_proxy", "https_proxy", "no_proxy", "request_method"}
    secrets = {"dbots_token", "dbots_user_key", "lbots_token", "ssl_cert_file", "ssl_cert_dir"}
    for name in list(os.environ):
        if name.lower() in names | secrets:
            monkeypatch.delenv(name)


@pytest.fixture
def naps(monkeypatch: Patch) -> list[float]:
    """The seconds that botlists would have slept between attempts; it doesn't in fact."""
    slept: list[float] = []
    clock = types.SimpleNamespace(
        sleep=lambda seconds: slept.extend([seconds] if seconds else []),
        time=time.time,
        monotonic=lambda: time.monotonic() + sum(slept),
    )
    monkeypatch.setattr(botlists, "time", clock)
    return slept


@pytest.fixture
def names(monkeypatch: Patch) -> dict[str, int]:
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


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: Patch) -> ssl.SSLContext:
    """A server's TLS context whose authority the system trusts."""
    authority = tmp_path / "authority.pem"
    authority.write_text(CERTIFICATE)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    return tls_context(tmp_path)


TOKEN = "a-t0ken/of.some+length="
KEY_OF_USER = "the-key-of-a-user"
DONE = {"status_code": 200, "success": True}
GOOD = answer(body={**DONE, "guildCount": 1, "token": "t", "favourites": 1})


def dbots_at(server: Server, **options: Any) -> DBotsClient:
    return DBotsClient(BOT, TOKEN, user_key=KEY_OF_USER, base_url=server.url, **options)


def lbots_at(server: Server, **options: Any) -> LBotsClient:
    return LBotsClient(BOT, TOKEN, base_url=server.url, **options)


ARGUMENTS = {"post_stats": {"guild_count": 1}, "has_favourited": {"user_id": FAN}}


def play(call: str, *answers: Answer, **options: Any) -> tuple[Any, list[Received]]:
    """The result or the error of a call to a Peer with those answers, and what it received."""
    service, method = call.split(".")
    client_at: Callable[..., Any] = dbots_at if service == "dbots" else lbots_at
    with Peer(*answers) as peer, client_at(peer, **options) as client:
        try:
            return getattr(client, method)(**ARGUMENTS.get(method, {})), peer.received
        except botlists.BotListError as error:
            return error, peer.received


def text_of(error: BaseException) -> str:
    """All that a traceback shows, and the repr."""
    lines = traceback.format_exception(type(error), error, error.__traceback__)
    return "".join([*lines, repr(error)])


def run(*command: str, cwd: Path = HERE, **env: str) -> tuple[int, str, str]:
    """The exit status of a Python process, what it printed, and what it said on stderr."""
    done = subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        text=True,
        cwd=str(cwd),
        env={**os.environ, "PYTHONPATH": str(HERE), **env},
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def in_threads(number: int, work: Callable[[], object], seconds: float = 60) -> list[Any]:
    """Do `work` in that many threads at once; return what they raised."""
    pool = ThreadPoolExecutor(number)
    done = [pool.submit(work) for _ in range(number)]
    raised = [future.exception(seconds) for future in done]
    return [error for error in raised if error is not None]


def interrupt(_: object) -> None:
    raise KeyboardInterrupt


def eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def silence(connection: socket.socket) -> None:
    """No answer, for as long as the client waits for one."""
    connection.recv(1)


def say_and_close(said: bytes) -> Answer:
    def answer_with(connection: socket.socket) -> None:
        connection.sendall(said)
        connection.shutdown(socket.SHUT_RDWR)

    return answer_with


def slow(said: bytes, *seconds: float) -> Answer:
    """An answer that takes each of `seconds` in turn, over and over."""
    turns = itertools.cycle(seconds)

    def answer_late(connection: socket.socket) -> None:
        threading.Event().wait(next(turns))
        connection.sendall(said)

    return answer_late


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
    monkeypatch.delattr(os, "register_at_fork")
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
    """An integer that is no int, like numpy's."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value


class Loud(int):
    """An int that prints as something else, as members of enums do."""

    __str__ = __repr__ = lambda self: "../1"


URL = "https://example.com/vote"
LATE = datetime(2019, 1, 21, 1, 19, 38, tzinfo=timezone.utc)
# A client's index, its method and arguments; what of it is seen on the wire; and its result.
CALLS: list[tuple[int, str, dict[str, Any], str, dict[str, Any] | None, Any]] = [
    (0, "post_stats", {"guild_count": 893}, "POST stats", {"guildCount": 893}, 893),
    (0, "post_stats", {"guild_count": 0}, "POST stats", {"guildCount": 0}, 0),
    (0, "post_stats", {"guild_count": Index(2**53 - 1)}, "POST stats",
     {"guildCount": 2**53 - 1}, 2**53 - 1),
    (0, "get_api", {}, "GET api", None, (BOT, "dbots-token-1", None)),
    (0, "edit_api", {"vote_webhook_url": URL}, "PATCH api",
     {"voteWebhookURL": URL}, (BOT, "dbots-token-1", URL)),
    (0, "edit_api", {"vote_webhook_url": None}, "PATCH api",
     {"voteWebhookURL": None}, (BOT, "dbots-token-1", None)),
    (0, "regenerate_key", {}, "GET keys/regen", None, "dbots-token-2"),
    (1, "post_stats", {"guild_count": 19902, "shard_count": 19}, "POST stats",
     {"guild_count": 19902, "shard_count": 19}, None),
    (1, "post_stats", {"guild_count": 0, "shard_id": 0, "shard_count": 4}, "POST stats",
     {"guild_count": 0, "shard_id": 0, "shard_count": 4}, None),
    (1, "post_stats", {"guild_count": Index(564), "shard_id": Loud(2)}, "POST stats",
     {"guild_count": 564, "shard_id": 2}, None),
    (1, "get_favourites", {}, "GET favourites", None, 1),
    (1, "get_favorites", {}, "GET favourites", None, 1),
    (1, "has_favourited", {"user_id": FAN}, f"GET favourites/user/{FAN}", None, (FAN, True, LATE)),
    (1, "has_favorited", {"user_id": str(STRANGER)}, f"GET favourites/user/{STRANGER}", None,
     (STRANGER, False, None)),
    (1, "invalidate_token", {}, "GET invalidate", None, None),
]


@pytest.mark.parametrize(("index", "method", "given", "line", "body", "result"), CALLS)
def test_a_call_on_the_wire(
    index: int, method: str, given: Any, line: str, body: Any, result: Any, sandbox: Sandbox
) -> None:
    client = clients_of(sandbox)[index]
    assert getattr(client, method)(**given) == result
    [request] = sandbox.received
    service = ("dbots", "lbots")[index]
    verb, path = line.split()
    assert request[1:3] == (verb, f"/{service}/api/v1/bots/{BOT}/{path}")
    posts = service == "lbots" or method == "post_stats"
    assert request.headers["Authorization"] == f"{service}-{'token-1' if posts else 'user-key'}"
    assert request.headers["User-Agent"] == f"botlists/{botlists.__version__}"
    assert request.body == (b"" if body is None else json.dumps(body).encode())
    assert request.headers.get("Content-Type") == (None if body is None else "application/json")


@pytest.mark.parametrize(
    ("document", "url"),
    [
        ({"_id": BOT, "token": "f9dc", "__v": 0}, None),  # never set, or before the last rotation
        ({"_id": BOT, "token": "f9dc", "voteWebhookURL": None, "__v": 1}, None),
        ({"_id": BOT, "token": "f9dc", "voteWebhookURL": "any text"}, "any text"),
    ],
)
def test_dbots_get_api_with_and_without_a_webhook(document: Any, url: str | None) -> None:
    expected = botlists.ApiDocument(BOT, "f9dc", url)
    assert play("dbots.get_api", answer(body=document))[0] == expected


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
def test_dbots_get_log_takes_what_the_service_leaves_out(changes: Any, states: Any) -> None:
    body = {"_id": BOT, "changes": changes, "analytics": {}}
    log, _ = play("dbots.get_log", answer(body=body))
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
NO_DATES = ["", "2020-08-07", "2020-08-07T12:56:27.100", "2020-08-07T12:56:27.1Z", "2020-W32-5"]
NO_DATES += ["20200807T125627Z", "9999-12-31T23:59:59-23:59", "9999-99-99T00:00:00.000Z"]
NO_DATES += ["Fri, 07 Aug 2020 12:56:27", "Fri, 07 Aug 2020 12:56:27 -0000", "yesterday GMT"]
NO_DATES += ["Thu, 99 Foo 9999 99:99:99 GMT"]


@pytest.mark.parametrize("text", [*DATES, *NO_DATES])
def test_dates_of_javascript_and_http_are_aware_and_in_utc(text: str) -> None:
    log = {"_id": BOT, "changes": {**CHANGE, "at": text}}
    favourited = {**DONE, "time": text, "favourited": True}
    got, _ = play("dbots.get_log", answer(body=log))
    fan, _ = play("lbots.has_favourited", answer(body=favourited))
    if text in DATES:
        [change] = got.changes
        assert change.at == fan.time == DATES[text]
        assert change.at.tzinfo is timezone.utc
    else:
        for error in (got, fan):
            assert type(error) is botlists.InvalidResponse and "is not a date" in str(error)


@pytest.mark.parametrize("documented", [True, False])
def test_dbots_regenerate_key_on_either_path(
    sandbox: Sandbox, dbots: DBotsClient, documented: bool
) -> None:
    sandbox.documented_rotation = documented
    dbots.edit_api(vote_webhook_url=URL)
    del sandbox.received[:]
    assert dbots.regenerate_key() == sandbox.dbots_token == "dbots-token-2"
    paths = [request.path.split(BOT)[1] for request in sandbox.received]
    assert paths == ["/keys/regen", "/key/regen"][: 1 if documented else 2]
    assert dbots.post_stats(5) == 5
    assert sandbox.received[-1].headers["Authorization"] == "dbots-token-2"
    # The service drops the webhook then; and get_api tells the token all the same.
    assert dbots.get_api() == (BOT, "dbots-token-2", None)


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        ([answer(404), answer(404)], botlists.NotFound),  # the bot was deleted at Discord
        ([answer(404, PAGE.encode()), answer(401)], botlists.Unauthorized),
        ([answer(404), b""], botlists.TransportError),
        ([answer(404), answer(503)], botlists.ServerError),
        ([answer(404), answer(200, PAGE.encode())], botlists.InvalidResponse),
        ([answer(401)], botlists.Unauthorized),
        ([answer(500)], botlists.ServerError),
        ([answer(200, PAGE.encode())], botlists.InvalidResponse),
        ([b""], botlists.TransportError),
        ([answer(404, {"error": "DEPRECATED"})], botlists.DeprecatedEndpoint),
    ],
)
def test_dbots_regenerate_key_tries_the_second_path_on_not_found_only(
    answers: list[bytes], kind: type[botlists.BotListError], naps: list[float]
) -> None:
    with Peer(*answers, GOOD) as peer, dbots_at(peer) as dbots:
        with pytest.raises(kind):
            dbots.regenerate_key()
        paths = [request.path.split("/")[3] for request in peer.received]
        assert (paths, naps) == (["keys", "key"][: len(answers)], [])
        assert dbots.post_stats(1) == 1
        assert peer.received[-1].headers["Authorization"] == TOKEN


@pytest.mark.parametrize(
    ("counts", "shard_count", "sent"),
    [
        ([5, 0, 7], None, [(5, 0, 3), (0, 1, 3), (7, 2, 3)]),
        ((1, 2), 8, [(1, 0, 8), (2, 1, 8)]),
        ({5: 50, 0: 1}, 6, [(50, 5, 6), (1, 0, 6)]),
    ],
)
def test_lbots_post_shard_stats(
    counts: Any, shard_count: int | None, sent: Any, sandbox: Sandbox, lbots: LBotsClient
) -> None:
    seen: list[tuple[int, int]] = []
    lbots.post_shard_stats(
        counts, shard_count=shard_count, progress=lambda *step: seen.append(step)
    )
    names = ("guild_count", "shard_id", "shard_count")
    assert [request.json for request in sandbox.received] == [dict(zip(names, s)) for s in sent]
    assert seen == [(done, len(sent)) for done in range(1, len(sent) + 1)]
    assert sandbox.total == sum(count for count, _, _ in sent)


def test_the_shards_before_one_that_fails_are_posted(naps: list[float]) -> None:
    seen: list[int] = []
    with Peer(answer(body=DONE), answer(body=DONE), answer(400)) as peer:
        with pytest.raises(botlists.BadRequest):
            lbots_at(peer).post_shard_stats([1] * 5, progress=lambda done, _: seen.append(done))
        assert (len(peer.received), seen) == (3, [1, 2])


def test_200_shards_need_no_larger_max_wait(naps: list[float]) -> None:
    with Peer(answer(body=DONE)) as peer:
        lbots_at(peer).post_shard_stats([1] * 200)
        assert len(peer.received) == 200
    assert 40 < sum(naps) <= 45


def test_lbots_favourites_in_either_spelling() -> None:
    assert play("lbots.get_favourites", answer(body={**DONE, "favorites": 30}))[0] == 30
    document: Any = {**DONE, "time": None, "favorited": True, "user": 1, "more": []}
    assert play("lbots.has_favourited", answer(body=document))[0] == (FAN, True, None)


@pytest.mark.parametrize("bot_id", [BOT, int(BOT), Index(int(BOT)), Loud(BOT), "00" + BOT])
def test_attributes_and_repr(bot_id: Any) -> None:
    url = "http://example.com/api/v1"
    for client in (
        DBotsClient(bot_id, TOKEN, user_key=KEY_OF_USER, base_url=f"{url}/"),
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


# Errors: the arguments

COUNTS: list[Any] = [-1, 2**53, 2**70, True, 1.5, "893", None, b"1", Index(-1), float("nan")]
IDS: list[Any] = ["../1", "１２３", 0, 2**64, -1, True, 1.0, "", " 1", "1\n", "1_0", "+1", "0"]
IDS += [None, str(2**64), "1" * 5000, b"1", 2**70]
SECRETS: list[Any] = ["", " ", "a\n", "a\r\nX: 1", " a", "a ", "ключ", "a\0b", "a\x7f", 5, b"bytes"]
URLS: list[Any] = ["", "dbots.co", "ftp://dbots.co", "http://", "http:///x", "http://h:99999"]
URLS += ["https://u:p@h/", "http://h/?q", "http://h/#f", "http://h/\n", "http://h\r", 5, None]
URLS += ["http://h?", "http://h/#", "http://h /", "http://h/a b", "http://h ", " http://h"]
BAD_CALLS: list[tuple[str, Callable[[Any, Any], object]]] = [
    *(("guild_count", lambda d, lb, v=v: d.post_stats(v)) for v in COUNTS),
    *(("guild_count", lambda d, lb, v=v: lb.post_stats(v)) for v in COUNTS),
    *(
        ("shard_id", lambda d, lb, v=v: lb.post_stats(1, shard_id=v, shard_count=4))
        for v in [*COUNTS, 4, 5] if v is not None
    ),
    *(
        ("shard_count", lambda d, lb, v=v: lb.post_stats(1, shard_count=v))
        for v in [*COUNTS, 0] if v is not None
    ),
    ("shard_count", lambda d, lb: lb.post_stats(1, shard_id=0, shard_count=0)),
    ("shard_id", lambda d, lb: lb.post_stats(1, shard_id=-1)),
    *(
        ("guild_counts", lambda d, lb, v=v: lb.post_shard_stats(v))
        for v in [5, None, "12", b"12", {1, 2}, iter([1]), [], object()]
    ),
    *(("guild_counts", lambda d, lb, v=v: lb.post_shard_stats([1, v])) for v in COUNTS),
    *(
        (name, lambda d, lb, v=v, n=n: lb.post_shard_stats(v, shard_count=n))
        for name, v, n in [
            ("guild_counts", {}, 1),
            ("guild_counts", {0: "1"}, 1),
            ("shard_count", {0: 1}, None),
            *(("shard_count", [1, 2], n) for n in (1, 0, 2.0)),
            ("shard_count", {1: 1}, 1),
            *(("shard_id", {v: 1}, 1) for v in (-1, "0")),
        ]
    ),
    ("progress", lambda d, lb: lb.post_shard_stats([1], progress=5)),
    *(("user_id", lambda d, lb, v=v: lb.has_favourited(v)) for v in IDS),
    *(("vote_webhook_url", lambda d, lb, v=v: d.edit_api(vote_webhook_url=v)) for v in (5, b"")),
]
BAD_CLIENTS: list[tuple[str, Any]] = [
    *(("bot_id", v) for v in [*IDS, TOKEN]),
    *(("token", v) for v in [*SECRETS, f"{TOKEN}\n"]),
    *(("user_key", v) for v in SECRETS),
    *(("base_url", v) for v in [*URLS, TOKEN, f"https://user:{TOKEN}@dbots.co"]),
    *(("timeout", v) for v in [0, -1, float("nan"), "1", None, True]),
    *(("retries", v) for v in [-1, 1.0, True, "1", None]),
    *(("max_wait", v) for v in [-1, float("nan"), "1", None, True]),
    *(("pool", v) for v in [5, urllib3.HTTPConnectionPool("localhost"), object()]),
]


@pytest.mark.parametrize(("name", "call"), BAD_CALLS)
def test_bad_arguments_of_a_call_are_named_and_nothing_is_sent(
    sandbox: Sandbox, dbots: DBotsClient, lbots: LBotsClient, name: str, call: Any
) -> None:
    with pytest.raises((TypeError, ValueError), match=name):
        call(dbots, lbots)
    assert sandbox.received == []


@pytest.mark.parametrize("client", [DBotsClient, LBotsClient])
@pytest.mark.parametrize(("name", "value"), BAD_CLIENTS)
def test_bad_arguments_of_a_client_are_named(client: Any, name: str, value: Any) -> None:
    client = DBotsClient if name == "user_key" else client
    with pytest.raises((TypeError, ValueError), match=name) as caught:
        client(**{"bot_id": BOT, "token": TOKEN, name: value})
    assert TOKEN not in text_of(caught.value)


def test_a_missing_credential_is_an_error_that_names_it() -> None:
    for names, call in (
        ("token", lambda: LBotsClient(BOT, None)),  # type: ignore[arg-type]
        ("token", lambda: LBotsClient(BOT)),  # type: ignore[call-arg]
        ("token.*user_key", lambda: DBotsClient(BOT)),
        ("token was not given", lambda: DBotsClient(BOT, user_key="k").post_stats(1)),
        ("user_key was not given", DBotsClient(BOT, TOKEN).get_log),
        ("user_key was not given", DBotsClient(BOT, TOKEN).regenerate_key),
        ("user_key was not given", DBotsClient(BOT, TOKEN).get_api),
        ("user_key was not given", lambda: DBotsClient(BOT, "t").edit_api(vote_webhook_url=None)),
    ):
        with pytest.raises((TypeError, ValueError), match=names):
            call()


@pytest.mark.parametrize("value", [0.5, 3, 1e9, float("inf")])
def test_seconds_may_be_any_number(value: float) -> None:
    with Peer(slow(GOOD, 0.05)) as peer:
        assert lbots_at(peer, timeout=value, max_wait=value, retries=0).get_favourites() == 1


# Errors: the answers

KINDS = {400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound"}
KINDS.update({429: "TooManyRequests", 402: "APIError", 407: "APIError", 600: "APIError"})
KINDS.update(dict.fromkeys((500, 503, 520, 599), "ServerError"))


@pytest.mark.parametrize("status", KINDS)
def test_each_status_has_its_error(status: int) -> None:
    for service, field in (("DBots", "message"), ("LBots", "error")):
        body = json.dumps({field: "because"}).encode()
        said = answer(status, body, Retry_After="120")
        error, _ = play(f"{service.lower()}.post_stats", said, retries=0)
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
    undefined = "Cannot read properties of undefined (reading 'id')"
    for given, changed, method, kind, text in (
        (dbots, {"token": "wrong"}, "post_stats", "Unauthorized", "401: Unauthorized"),
        (dbots, {"bot_id": 1}, "post_stats", "NotFound", "404: Not found"),
        (dbots, {"user_key": sandbox.other_key}, "get_log", "BadRequest",
         "400: Bot not manageable"),
        (dbots, {"user_key": "expired"}, "get_log", "Unauthorized", "401: Unauthorized"),
        (dbots, {"user_key": "expired"}, "get_api", "ServerError", f"500: {undefined}"),
        (dbots, {"base_url": sandbox.url_for("/page")}, "post_stats", "InvalidResponse",
         "200: the answer is not JSON"),
        (lbots, {"token": "wrong"}, "post_stats", "Unauthorized", "401: Unauthorized"),
        (lbots, {"bot_id": 1}, "get_favourites", "NotFound", "404: Bot does not exist"),
        (lbots, {"max_wait": 0}, "post_stats", "TooManyRequests", "429: Too Many Requests"),
    ):
        client = (DBotsClient if given is dbots else LBotsClient)(**{**given, **changed})
        with pytest.raises(getattr(botlists, kind)) as caught:
            getattr(client, method)(**ARGUMENTS.get(method, {}))
        assert str(caught.value) == f"{client._SERVICE}: {text}"
    sandbox.windows["dbots"] = [time.monotonic()] * 300
    with pytest.raises(botlists.TooManyRequests, match="429: You are being rate limited.$") as busy:
        DBotsClient(**dbots).post_stats(1)
    assert busy.value.retry_after == 60


CODES: list[Any] = [(200, 401, 401), (404, 403, 403), (200, 429, 429), (302, 503, 503)]
CODES += [(200, 200, 200), (200, True, 200), (404, "403", 404), (404, 399, 404), (404, 400, 400)]


@pytest.mark.parametrize(("http_status", "code", "status"), CODES)
def test_success_false_is_an_error_whatever_the_http_status(
    http_status: int, code: Any, status: int
) -> None:
    body = {"success": False, "error": "because", "favourites": 1, "status_code": code}
    error, _ = play("lbots.get_favourites", answer(http_status, body), retries=0)
    assert type(error).__name__ == KINDS.get(status, "APIError")
    assert (error.status, error.message) == (status, "because")


@pytest.mark.parametrize("status", [200, 401, 410, 503])
def test_deprecated_whatever_the_status(status: int, naps: list[float]) -> None:
    body = {"status_code": status, "success": status == 200, "error": "DEPRECATED"}
    error, received = play("lbots.post_stats", answer(status, body))
    assert (type(error), error.message) == (botlists.DeprecatedEndpoint, "DEPRECATED")
    assert (error.status, len(received)) == (status, 1)


WORDS = [b"You are being rate limited.", b"5 a minute,\ntry later.\n", b"Banned", b"word " * 40]
NO_WORDS: list[Any] = [{"message": 5}, {"message": " "}, {"detail": "x"}, b"", b"five " * 40 + b"!"]
NO_WORDS += [b"<html>\r\n<b>502</b>\r\n", b"Error <b>502</b>", b"[" * 200, b'{"token": "cut']
NO_WORDS += [b"null", b'"x y', b"0ce1f9dc", b"brand-new-token", gzip.compress(b"some words")]


@pytest.mark.parametrize("body", [*WORDS, *NO_WORDS, {"message": "mine", "error": "other"}])
def test_message_is_the_services_or_its_words_or_the_reason(body: Any) -> None:
    error, _ = play("dbots.post_stats", answer(418, body, reason="The Reason"))
    if body in NO_WORDS:
        assert error.message == "The Reason"
    else:
        assert error.message == (" ".join(body.decode().split()) if body in WORDS else "mine")


def test_an_errors_text_is_one_short_clean_line() -> None:
    def refusal(message: str) -> str:
        return str(play("dbots.post_stats", answer(400, {"message": message}))[0])

    text = refusal("a\r\nb\x1b[31m\0\x85\u2028\u202ec" + "d" * 1000)
    assert text.startswith("DBots: 400: a  b [31m")
    assert len(text) == 300
    assert text.isprintable() and len(text.splitlines()) == 1
    for unprintable in "\u00ad\u061c\u200b\ufeff\U000e0001\ud800":
        assert refusal(f"a{unprintable}b") == "DBots: 400: a b"
    assert refusal("d" * 288) == "DBots: 400: " + "d" * 288
    assert refusal("d" * 289) == "DBots: 400: " + "d" * 285 + "..."


@pytest.mark.parametrize("status", [200, 401, 500])
def test_secrets_that_a_service_repeats_are_not_shown(status: int, caplog: Log) -> None:
    caplog.set_level(logging.DEBUG)
    for body in ({"message": f"bad {TOKEN}, {KEY_OF_USER}!"}, f"No {KEY_OF_USER}{TOKEN}".encode()):
        said = answer(status, body, reason=TOKEN)
        error, _ = play("dbots.post_stats", said)
        shown = text_of(error) + caplog.text + repr(vars(error).get("message"))
        assert TOKEN not in shown and KEY_OF_USER not in shown


@pytest.mark.parametrize(
    "body", [b'{"token": "new/t0ken"}', b"new/t0ken", b'"new/t0ken', b'{"token": "new/t0ken", "x']
)
def test_a_new_token_that_cannot_be_read_is_kept_in_the_body_and_not_shown(body: bytes) -> None:
    for status, unread in ((500, body), (200, body[:-1]), (200, b'{"key": "new/t0ken"}')):
        error, _ = play("dbots.regenerate_key", answer(status, unread))
        assert "new/t0ken" not in text_of(error) + repr(vars(error).get("message"))
        assert error.body == unread


QUOTES = ["what is @?\r\n\r\n", "HTTP/1.1 @\r\n\r\n", "@/1.1 200 OK\r\n\r\n", '"@"']
QUOTES += ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"@"\r\n']


@pytest.mark.parametrize("said", QUOTES)
def test_what_stands_in_place_of_an_answer_is_not_shown(
    said: str, naps: list[float], caplog: Log
) -> None:
    caplog.set_level(logging.DEBUG)
    error, _ = play("dbots.get_log", say_and_close(said.replace("@", TOKEN).encode()))
    assert type(error) is botlists.TransportError
    assert TOKEN not in text_of(error) + caplog.text


def test_every_error_pickles_with_its_attributes() -> None:
    answers: list[Answer] = [b"", silence, answer(429, b"A moment", Retry_After="7"), answer(200)]
    errors = [play("dbots.post_stats", said, retries=0, timeout=0.1)[0] for said in answers]
    names = ["TransportError", "TransportTimeout", "TooManyRequests", "InvalidResponse"]
    assert [type(error).__name__ for error in errors] == names
    for error in errors:
        assert error.service == "DBots"
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            copy = pickle.loads(pickle.dumps(error, protocol))
            assert (type(copy), vars(copy)) == (type(error), vars(error))
            assert (str(copy), repr(copy)) == (str(error), repr(error))


# Of each method's answer: one that is fine, and the types that each of its fields may be of.
LBOTS: dict[str, set[type]] = {"status_code": {int}, "success": {bool}}
PROMISED: dict[str, tuple[dict[str, Any], dict[str, set[type]]]] = {
    "dbots.post_stats": ({"guildCount": 1}, {"guildCount": {int}}),
    "dbots.get_api": (
        {"_id": BOT, "token": "t", "voteWebhookURL": "u"},
        {"_id": {str}, "token": {str}, "voteWebhookURL": {str, type(None)}},
    ),
    "dbots.get_log": ({"_id": BOT, "changes": CHANGE}, {"_id": {str}, "changes": {list}}),
    "dbots.regenerate_key": ({"token": "t"}, {"token": {str}}),
    "lbots.post_stats": (DONE, LBOTS),
    "lbots.get_favourites": ({**DONE, "favourites": 1}, {**LBOTS, "favourites": {int}}),
    "lbots.has_favourited": (
        {**DONE, "time": None, "favourited": False},
        {**LBOTS, "time": {type(None)}, "favourited": {bool}},
    ),
    "lbots.invalidate_token": (DONE, LBOTS),
}
WRONG: list[Any] = [None, True, 1.0, "1", [], {}]


def without(whole: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in whole.items() if key != name}


def wrong_answers(call: str) -> Iterator[Any]:
    """Each promised field left out or of a wrong type, and what is no object at all."""
    whole, fields = PROMISED[call]
    for name, kinds in fields.items():
        if name != "voteWebhookURL":
            yield without(whole, name)
        yield from ({**whole, name: value} for value in WRONG if type(value) not in kinds)
    yield from (value for value in WRONG if value != "1" or call != "dbots.regenerate_key")
    if call == "dbots.regenerate_key":
        yield from ["", "a\nb", " a", "ключ", {"token": ""}]
    if call == "dbots.get_log":
        entries: list[Any] = [{**CHANGE, name: value} for name in BARE for value in WRONG[:3]]
        entries += [{**CHANGE, "changes": value} for value in WRONG[:5]]
        entries += [without(CHANGE, "at"), without(CHANGE, "by"), *WRONG]
        entries += [{**CHANGE, "changes": {state: 1}} for state in ("old", "new")]
        entries += [{**CHANGE, "changes": {state: None}} for state in ("old", "new")]
        yield from ({**whole, "changes": [CHANGE, entry]} for entry in entries)


@pytest.mark.parametrize("call", PROMISED)
def test_an_answer_that_lacks_or_mistypes_a_field_is_invalid(call: str) -> None:
    assert not isinstance(play(call, answer(body=PROMISED[call][0]))[0], botlists.BotListError)
    for document in wrong_answers(call):
        error, received = play(call, answer(body=document))
        assert type(error) is botlists.InvalidResponse and error.status == 200
        assert error.body == json.dumps(document).encode()
        assert error.__cause__ is None and len(received) == 1


UNPROMISED = {
    "a page": answer(200, PAGE.encode(), Content_Type="text/html"),
    "cut JSON": answer(200, b'{"guildCount": 89'),
    "nested": answer(200, b"[" * 200000 + b"]" * 200000),
    "not UTF-8": answer(200, b'"\xff"'),
    "no content": answer(204),
    "an early hint": answer(103),  # the answer that it announces may come on the connection later
    "moved": answer(307, "token", Location="/elsewhere"),
    "compressed": answer(200, gzip.compress(b'"token"'), Content_Encoding="gzip"),
}


@pytest.mark.parametrize("method", ["post_stats", "regenerate_key"])
@pytest.mark.parametrize("what", sorted(UNPROMISED))
def test_an_unpromised_answer_is_invalid_and_the_client_goes_on(what: str, method: str) -> None:
    good = answer(200, {"guildCount": 3, "token": "t"})
    with Peer(UNPROMISED[what], good) as peer, dbots_at(peer, timeout=5) as dbots:
        with pytest.raises(botlists.InvalidResponse) as caught:
            dbots.post_stats(1) if method == "post_stats" else dbots.regenerate_key()
        assert len(str(caught.value)) <= 300
        assert len(peer.received) == 1
        assert (dbots.post_stats(1), peer.connections) == (3, 2 if "hint" in what else 1)


UNUSUAL = [
    answer(201, {"guildCount": 4}),
    answer(200, {"guildCount": 4}, Content_Encoding="identity"),
    answer(100) + answer(200, {"guildCount": 4}),
    b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b'{"guildCount": 4}',
    answer(200, b'{"guildCount": 4}'.ljust(2**24)),
]


@pytest.mark.parametrize("said", UNUSUAL)
def test_an_unusual_answer_that_keeps_the_promise_is_fine(said: bytes) -> None:
    assert play("dbots.post_stats", say_and_close(said))[0] == 4


@pytest.mark.parametrize(
    "header", ["Content-Length: 209715200", "Transfer-Encoding: chunked", "Connection: close"]
)
@pytest.mark.parametrize("status", [200, 500])
def test_a_body_over_16_mib_is_not_read_further(status: int, header: str) -> None:
    sent = 0

    def flood(connection: socket.socket) -> None:
        nonlocal sent
        piece = b" " * 2**20
        if "chunked" in header:
            piece = b"100000\r\n" + piece + b"\r\n"
        connection.sendall(f"HTTP/1.1 {status} OK\r\n{header}\r\n\r\n".encode())
        try:
            for _ in range(200):
                connection.sendall(piece)
                sent += len(piece)
        except OSError:
            dropped.set()

    dropped = threading.Event()
    pool = urllib3.PoolManager(maxsize=1, block=True)
    with Peer(flood, GOOD) as peer, dbots_at(peer, pool=pool) as dbots:
        with pytest.raises(botlists.InvalidResponse, match="more than 16 MiB") as caught:
            dbots.post_stats(1)
        assert dropped.wait(5)
        assert 2**24 < len(caught.value.body) < 2**24 + 2**17
        idle: Any = pool.connection_from_url(peer.url).pool
        assert idle.full()  # or the next call would wait for ever
        assert dbots.post_stats(1) == 1
        assert peer.connections == 2
        assert sent < 40 * 2**20


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
    "too many headers": b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 2000,
    "a long header": b"HTTP/1.1 200 OK\r\na: " + b"b" * 10**6 + b"\r\n\r\n",
    "a cut body": b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"guildCount": 1}',
    "a bad chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "a proxy's words": b"Tunnel connection failed: 407 no\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\n{}",
}


@pytest.mark.parametrize("own_pool", [False, True])
@pytest.mark.parametrize("what", sorted(BROKEN))
def test_a_broken_answer_is_a_transport_error_and_the_client_goes_on(
    what: str, own_pool: bool
) -> None:
    good = answer(body={"guildCount": 3})
    pool = urllib3.PoolManager() if own_pool else None
    with Peer(say_and_close(BROKEN[what]), good) as peer, dbots_at(peer, pool=pool) as dbots:
        with pytest.raises(botlists.TransportError, match="^DBots: no complete answer: ") as caught:
            dbots.regenerate_key()
        assert type(caught.value) is botlists.TransportError
        assert caught.value.sent is True
        assert isinstance(caught.value.__cause__, urllib3.exceptions.HTTPError)
        assert len(str(caught.value)) <= 300 and len(str(caught.value).splitlines()) == 1
        assert len(peer.received) == 1
        assert dbots.post_stats(1) == 3


def test_what_the_caller_is_handling_is_not_taken_for_the_reason(naps: list[float]) -> None:
    try:
        raise OSError(f"Tunnel connection failed: {TOKEN}")
    except OSError:
        error, _ = play("dbots.regenerate_key", b"")
    assert error.sent and str(error).endswith("Remote end closed connection without response")


def full_backlog() -> list[socket.socket]:
    """A listener that takes no connection any more, so that connecting to it times out."""
    sockets = [socket.socket() for _ in range(9)]
    sockets[0].bind(("127.0.0.1", 0))
    sockets[0].listen(0)
    for filler in sockets[1:]:
        filler.setblocking(False)
        filler.connect_ex(sockets[0].getsockname())
    return sockets


@pytest.mark.parametrize("method", ["get_log", "regenerate_key"])
def test_what_was_surely_not_sent_is_said_and_repeated(
    method: str, naps: list[float], names: dict[str, int]
) -> None:
    full = full_backlog()
    for url, kind, text in (
        (f"http://127.0.0.1:{unused_port()}", botlists.TransportError, "Connection refused"),
        ("http://name.invalid", botlists.TransportError, "Name or service not known"),
        (f"http://127.0.0.1:{full[0].getsockname()[1]}", botlists.TransportTimeout, "timed out"),
    ):
        del naps[:]
        client = DBotsClient(BOT, user_key=KEY_OF_USER, base_url=url, timeout=0.1)
        with pytest.raises(kind, match=f"^DBots: not sent: {text}$") as caught:
            getattr(client, method)()
        assert (type(caught.value), caught.value.sent, len(naps)) == (kind, False, 2)
        assert isinstance(caught.value.__cause__, urllib3.exceptions.HTTPError)
    for used in full:
        used.close()


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\n", answer(200, b"{}")[:-1]])
def test_a_silent_service_is_a_timeout(said: bytes) -> None:
    def stop_there(connection: socket.socket) -> None:
        connection.sendall(said)
        silence(connection)

    started = time.monotonic()
    error, _ = play("dbots.get_api", stop_there, timeout=0.2, retries=0)
    assert 0.2 <= time.monotonic() - started < 2
    assert (type(error), error.sent) == (botlists.TransportTimeout, True)
    assert re.match("DBots: no complete answer: .*timed out", str(error))
    assert isinstance(error.__cause__, urllib3.exceptions.HTTPError)


def test_the_timeout_is_for_each_wait_not_for_all() -> None:
    def drip(connection: socket.socket) -> None:
        for byte in answer(body={"guildCount": 8}, reason=""):
            connection.sendall(bytes([byte]))
            threading.Event().wait(0.01)

    assert play("dbots.post_stats", drip, timeout=0.3, retries=0)[0] == 8


# Traffic: limits

def fit(times: list[float], calls: int, window: float) -> bool:
    """Whether no window of that length holds more than `calls` of `times`."""
    times = sorted(times)
    return all(later - at >= window for at, later in zip(times, times[calls:]))


def post(lbots: LBotsClient, times: int) -> None:
    for _ in range(times):
        lbots.post_stats(1)


@pytest.fixture
def windows(monkeypatch: Patch) -> Callable[..., None]:
    """Make the limits shorter than they are documented."""

    def shorten(posts: int = 4, favourites: int = 2, seconds: float = 0.3) -> None:
        limits = {"stats": (posts, seconds), "favourites": (favourites, seconds)}
        monkeypatch.setattr(LBotsClient, "_LIMITS", limits)

    shorten()
    return shorten


def use_limits() -> None:
    """Print the seconds that each of these takes, and when the service got its requests."""

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


def test_the_documented_limits_are_kept_end_to_end(beside: Any) -> None:
    *posts, (took, times) = json.loads(beside[0].communicate(timeout=60)[0])
    assert 8 <= took < 11 and len(times) == 7 and fit(times, 3, 4)
    for took, times in posts:  # on a machine with time for it 10.1, and above 8.1
        assert 10 <= took < 13 and len(times) == 45 and fit(times, 20, 5)


@pytest.mark.parametrize("delays", [(0,), (0, 0.25, 0, 0.1, 0.2)])
def test_threads_keep_a_limit_and_waste_next_to_nothing_of_it(delays: Any, windows: Any) -> None:
    with Peer(slow(answer(body=DONE), *delays)) as peer:
        lbots = lbots_at(peer)
        started = time.monotonic()
        assert in_threads(6, lambda: post(lbots, 2)) == []
        assert 0.6 <= time.monotonic() - started < 1.8 + 2 * max(delays)
        times = [request.at for request in peer.received]
        assert len(times) == 12 and fit(times, 4, 0.3)


def test_endpoints_without_a_limit_are_not_held_back() -> None:
    with Peer(answer(body={**DONE, "time": None, "favourited": True})) as peer:
        lbots = lbots_at(peer, max_wait=0)
        assert all(lbots.has_favourited(FAN) for _ in range(50))


@pytest.mark.parametrize("max_wait", [0, 3.5])
def test_a_turn_too_late_for_max_wait_is_refused_at_once_and_unsent(max_wait: float) -> None:
    with Peer(GOOD) as peer:
        lbots = lbots_at(peer, max_wait=max_wait)
        cases: Any = [(lambda: lbots.post_stats(1), 20, 5), (lbots.get_favourites, 3, 4)]
        for call, number, window in cases:
            del peer.received[:]
            for _ in range(number):
                call()
            started = time.monotonic()
            with pytest.raises(botlists.TooManyRequests, match="not sent") as caught:
                call()
            assert time.monotonic() - started < 0.3
            error = caught.value
            assert (error.status, error.body, error.__cause__) == (429, b"", None)
            assert error.retry_after is not None and window - 1.5 < error.retry_after <= window
            assert len(peer.received) == number


def test_a_limit_whose_slots_are_all_in_flight_is_refused_after_max_wait(windows: Any) -> None:
    with Peer(silence) as peer:
        lbots = lbots_at(peer, max_wait=0.2, timeout=1, retries=0)
        waiting = threading.Thread(target=in_threads, args=(4, lambda: lbots.post_stats(1)))
        waiting.start()
        eventually(lambda: len(peer.received) == 4)
        started = time.monotonic()
        with pytest.raises(botlists.TooManyRequests, match="not sent") as caught:
            lbots.post_stats(1)
        assert 0.2 <= time.monotonic() - started < 0.9
        assert caught.value.retry_after == 0.3
        peer.hang_up()
        waiting.join(30)
        assert len(peer.received) == 4


def test_every_attempt_counts_against_a_limit(windows: Any, naps: list[float]) -> None:
    windows(4, 1, 30.0)
    with Peer(answer(503), answer(503), answer(body=DONE)) as peer:
        lbots = lbots_at(peer)
        post(lbots, 2)
        assert len(peer.received) == 4
        lbots._max_wait = 0
        with pytest.raises(botlists.TooManyRequests):
            lbots.post_stats(1)


def test_max_wait_is_for_one_request_with_repeats_and_its_limit(windows: Any, naps: Any) -> None:
    windows(1, 1, 4.0)
    with Peer(answer(body=DONE), answer(429, Retry_After="5"), answer(body=DONE)) as peer:
        lbots = lbots_at(peer, max_wait=10)
        post(lbots, 2)
        assert len(peer.received) == 3
        assert 8.9 < sum(naps) <= 9
    with Peer(answer(body=DONE), *[answer(429, Retry_After=s) for s in ("3", "3.5")]) as peer:
        with pytest.raises(botlists.TooManyRequests, match="429: Said So"):
            post(lbots_at(peer, max_wait=10), 2)
        assert len(peer.received) == 3


@pytest.mark.parametrize("posts", [1, 2])
def test_a_repeat_that_would_wait_too_long_for_a_limit_raises_why_it_should_be(
    posts: int, windows: Any, naps: list[float]
) -> None:
    windows(posts, 1, 30.0)
    with Peer(*[answer(body=DONE)] * (posts - 1), answer(503)) as peer:
        lbots = lbots_at(peer, max_wait=5)
        with pytest.raises(botlists.ServerError):
            post(lbots, posts)
        assert (len(peer.received), naps) == (posts, [])


def test_an_interrupted_wait_leaves_the_limit_whole(windows: Any, monkeypatch: Patch) -> None:
    with Peer(answer(body=DONE)) as peer:
        lbots = lbots_at(peer)
        post(lbots, 4)
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(time, "sleep", interrupt)
            lbots.post_stats(1)
        started = time.monotonic()
        assert in_threads(4, lambda: lbots.post_stats(1)) == []
        assert time.monotonic() - started < 0.6
        assert len(peer.received) == 8


# Traffic: repeats

PASSING = [b"", silence, answer(429), answer(502), answer(503), answer(504)]


@pytest.mark.parametrize("said", PASSING)
def test_what_may_pass_is_repeated_with_backoff_and_jitter(said: Answer, naps: list[float]) -> None:
    for _ in range(2):
        result, received = play("dbots.post_stats", said, said, GOOD, timeout=0.1)
        assert (result, len(received)) == (1, 3)
    assert all(0.5 <= nap <= 1 for nap in naps[::2]) and all(1 <= nap <= 2 for nap in naps[1::2])
    assert len(set(naps)) == 4  # that no two clients knock at the same time


@pytest.mark.parametrize("retries", [0, 1, 4])
def test_retries_is_the_number_of_further_attempts(retries: int, naps: list[float]) -> None:
    assert len(play("dbots.get_api", answer(503), retries=retries)[1]) - 1 == retries == len(naps)


@pytest.mark.parametrize("said", [*map(answer, (400, 401, 403, 404, 418, 500, 501)), answer(200)])
def test_what_is_final_is_not_repeated(said: bytes, naps: list[float]) -> None:
    error, received = play("dbots.post_stats", said)
    assert isinstance(error, botlists.BotListError) and len(received) == 1


ROTATIONS = ["dbots.regenerate_key", "lbots.invalidate_token"]
LOST = [said for said in PASSING if said != answer(429)]
LOST += [answer(503, Retry_After="0"), answer(500), answer(200, b"cut")[:-1]]


@pytest.mark.parametrize("call", ROTATIONS)
@pytest.mark.parametrize("said", [*LOST, say_and_close(answer(200, b"cut")[:-1])])
def test_a_rotation_is_never_sent_twice(said: Answer, call: str, naps: list[float]) -> None:
    error, received = play(call, said, GOOD, timeout=0.2)
    assert isinstance(error, botlists.BotListError)
    assert getattr(error, "sent", True) is True
    assert (len(received), naps) == (1, [])


@pytest.mark.parametrize("call", ROTATIONS)
def test_a_rotation_is_repeated_when_it_surely_did_nothing(call: str, naps: list[float]) -> None:
    result, received = play(call, answer(429), GOOD)
    assert (result, len(received)) == ("t" if call.startswith("dbots") else None, 2)


@pytest.mark.parametrize("call", ["lbots.get_favourites", *ROTATIONS])
def test_a_connection_closed_while_idle_is_replaced_silently(call: str, caplog: Log) -> None:
    with Peer(GOOD) as peer:
        client: Any = (dbots_at if call == ROTATIONS[0] else lbots_at)(peer, retries=0)
        client.post_stats(1)
        peer.hang_up()
        getattr(client, call.split(".")[1])()
        assert (peer.connections, len(peer.received)) == (2, 2)
    assert [record for record in caplog.records if record.levelno >= logging.INFO] == []


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
def test_retry_after_is_obeyed(value: str, low: float, high: float, status: int, naps: Any) -> None:
    result, received = play("dbots.post_stats", answer(status, Retry_After=dated(value)), GOOD)
    assert (result, len(received)) == (1, 2)
    assert low <= sum(naps) <= high


@pytest.mark.parametrize("value", ["86400", "31", "in 3600 s", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_retry_after_beyond_max_wait_raises_at_once(value: str, naps: list[float]) -> None:
    error, received = play("dbots.post_stats", answer(429, Retry_After=dated(value)))
    assert (len(received), naps) == (1, [])
    assert error.retry_after > 30


NONSENSE = ["-5", "nan", "inf", "1e999", "9" * 30, "", " ", "soon", "1,2", "0x10", "１２", "+5"]
NONSENSE += ["20300101112", "1" * 10, "in -60 s", "Thu, 99 Foo 9999 99:99:99 GMT"]


@pytest.mark.parametrize("value", NONSENSE)
def test_nonsense_in_retry_after_is_ignored(value: str, naps: list[float]) -> None:
    raw = answer(503, Retry_After="@").replace(b"@", dated(value).encode("utf-8"))
    assert play("dbots.post_stats", raw, GOOD)[0] == 1
    [nap] = naps
    assert 0.5 <= nap <= 1
    assert play("dbots.post_stats", raw, retries=0)[0].retry_after is None


@pytest.mark.parametrize(("call", "window"), [("lbots.post_stats", 5), ("lbots.get_favourites", 4)])
def test_a_429_without_retry_after_waits_for_the_documented_window(
    call: str, window: float, naps: list[float]
) -> None:
    _, received = play(call, answer(429), answer(429, Retry_After="nan"), GOOD)
    assert (len(received), naps) == (3, [window, window])
    error, _ = play(call, answer(429), max_wait=window - 0.1)
    assert (error.retry_after, naps) == (None, [window, window])


def test_max_wait_0_never_sleeps(naps: list[float]) -> None:
    for said in (answer(429), answer(503), answer(429, Retry_After="1"), b""):
        assert len(play("dbots.post_stats", said, max_wait=0)[1]) == 1
    assert play("lbots.get_favourites", answer(429, Retry_After="0"), GOOD, max_wait=0)[0] == 1
    assert naps == []


# Traffic: threads and forks

class Echo(Peer):
    """Answers has_favourited with the user in the path as the time, so that mix-ups show."""

    def next_answer(self, request: Received) -> Answer:
        user = int(request.path.rsplit("/", 1)[1])
        when = http_date(datetime(2000, 1, 1) + timedelta(seconds=user))
        return answer(body={**DONE, "time": when, "favourited": True})


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
    """The process of a child that does `work`; one that hangs is killed."""
    pid = os.fork()
    if not pid:
        status = signal.alarm(30) + 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return pid


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

        parents = [threads.submit(keep_asking) for _ in range(3)]
        asked = [range(100 * child + 1, 100 * child + 41) for child in range(12)]
        children = [forked(partial(ask, lbots, users)) for users in asked]
        try:
            assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 12
        finally:
            done.set()
        assert [parent.exception(60) for parent in parents] == [None] * 3
        ask(lbots, range(1, 3))


@pytest.mark.parametrize("block", [None, False, True])
def test_a_child_has_connections_and_locks_of_its_own(block: bool | None, windows: Any) -> None:
    pool = None if block is None else urllib3.PoolManager(maxsize=2, block=block)
    with Peer(answer(body=DONE)) as peer:
        lbots = lbots_at(peer, pool=pool, max_wait=0)
        post(lbots, 2)
        assert peer.connections == 1
        idle: Any = lbots._pool.pool
        [kept] = filter(None, idle.queue)
        slots = lbots._limits["stats"]._free_at
        with idle.mutex, slots.mutex:  # as other threads may hold them, at a fork
            child = forked(lambda: post(lbots, 4) if kept.sock is None else os._exit(9))
        assert (os.waitpid(child, 0)[1], peer.connections) == (0, 2)


def test_clients_that_are_gone_are_forgotten() -> None:
    for _ in range(5):
        DBotsClient(BOT, TOKEN, base_url="http://gone.example")
    gc.collect()
    assert not [client for client in botlists._clients if "gone" in client.base_url]


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
        losses: list[list[Any]] = [[], [peer.hang_up], [dbots.close], [botlists._after_fork]]
        for lose in (*losses, [dbots.close, botlists._after_fork]):
            for step in lose:
                step()
            dbots.post_stats(1)
        assert peer.connections == 5


@pytest.mark.parametrize("own_pool", [False, True])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "other.example"])
def test_a_refused_certificate_stops_the_token_and_is_not_repeated(
    host: str, own_pool: bool, tmp_path: Path, monkeypatch: Patch, names: Any, naps: list[float]
) -> None:
    if host == "other.example":  # not the certificate's; for the others the authority is unknown
        (tmp_path / "authority.pem").write_text(CERTIFICATE)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    pool = urllib3.PoolManager() if own_pool else None
    with Peer(GOOD, tls=tls_context(tmp_path)) as peer:
        names[host] = peer.port
        for call in ("get_log", "regenerate_key"):
            url = f"https://{host}:{peer.port}"
            client = DBotsClient(BOT, user_key=KEY_OF_USER, base_url=url, pool=pool)
            with pytest.raises(botlists.TransportError, match="not sent") as caught:
                getattr(client, call)()
            assert caught.value.sent is False
            assert isinstance(caught.value.__cause__, urllib3.exceptions.HTTPError)
        assert (peer.received, peer.connections, naps) == ([], 2, [])


def test_a_pool_of_the_users_own_is_used_and_left_open(tmp_path: Path) -> None:
    context = ssl.create_default_context(cadata=CERTIFICATE)
    with Peer(GOOD, tls=tls_context(tmp_path)) as peer:
        pool = urllib3.PoolManager(ssl_context=context)
        url = f"https://localhost:{peer.port}"
        with DBotsClient(BOT, TOKEN, base_url=url, pool=pool) as dbots:
            dbots.post_stats(1)
        assert pool.request("GET", url + "/still/open").status == 200
        assert peer.connections == 1


def test_a_pool_that_forgets_a_host_for_others_is_no_fault() -> None:
    pool = urllib3.PoolManager(num_pools=1)
    with Peer(GOOD) as peer, Peer(GOOD) as other:
        dbots = dbots_at(peer, pool=pool)
        dbots.post_stats(1)
        pool.request("GET", other.url)
        assert dbots.post_stats(1) == 1


@pytest.fixture(params=itertools.product(["http", "https"], [False, True]))
def way(request: Any, trusted: ssl.SSLContext, monkeypatch: Patch) -> Any:
    """Opens a Peer, a Proxy and a client that gets to the one by the other."""
    scheme, own_pool = request.param
    tls = trusted if scheme == "https" else None

    @contextlib.contextmanager
    def open_way(*answers: Answer, password: str = "") -> Iterator[tuple[Peer, Proxy, DBotsClient]]:
        with Peer(*answers, tls=tls) as peer, Proxy({"dbots.co": peer.port}, password) as proxy:
            monkeypatch.setenv(f"{scheme}_proxy", "" if own_pool else proxy.url)
            pool = urllib3.ProxyManager(proxy.url) if own_pool else None
            url = f"{scheme}://dbots.co"
            yield peer, proxy, DBotsClient(BOT, "t", user_key="k", base_url=url, pool=pool)

    return open_way


def test_a_request_through_a_proxy(way: Any) -> None:
    with way(GOOD) as (peer, proxy, dbots):
        assert dbots.post_stats(893) == 1
        [request], plain = proxy.received, dbots.base_url.startswith("http:")
        line = f"POST http://dbots.co/bots/{BOT}/stats" if plain else "CONNECT dbots.co:443"
        assert f"{request.method} {request.path}" == line
        assert ("Authorization" in request.headers) == plain
        assert peer.received[0].json == {"guildCount": 893}
        assert peer.received[0].headers["Authorization"] == "t"


@pytest.mark.parametrize("method", ["get_log", "regenerate_key"])
def test_a_proxy_that_refuses(method: str, way: Any, naps: list[float]) -> None:
    with way(GOOD, password="Basic x") as (peer, proxy, dbots):
        with pytest.raises(botlists.TransportError, match="not sent: .* 407") as caught:
            getattr(dbots, method)()
        assert (type(caught.value), caught.value.sent) == (botlists.TransportError, False)
        assert (len(proxy.received), peer.received) == (3, [])


def test_a_connection_lost_behind_a_proxy_may_have_been_used(way: Any) -> None:
    with way(reset, GOOD) as (peer, _, dbots):
        with pytest.raises(botlists.TransportError) as caught:
            dbots.regenerate_key()
        assert (caught.value.sent, len(peer.received)) == (True, 1)


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    ("names", "users"),
    [
        (["http_proxy"], ["http"]),
        (["HTTP_PROXY"], ["http"]),
        (["https_proxy"], ["https"]),
        (["HTTPS_PROXY"], ["https"]),
        (["all_proxy"], ["http", "https"]),
        (["ALL_PROXY"], ["http", "https"]),
        (["HTTP_PROXY", "REQUEST_METHOD"], []),  # under CGI it is a request's header
        (["http_proxy", "REQUEST_METHOD"], ["http"]),
        (["http_proxy", "https_proxy", "ALL_PROXY=http://127.0.0.1:1"], ["http", "https"]),
    ],
)
def test_proxy_variables(
    names: list[str], users: list[str], scheme: str, trusted: Any, monkeypatch: Patch
) -> None:
    tls = trusted if scheme == "https" else None
    with Peer(GOOD, tls=tls) as peer, Proxy() as proxy:
        for name in names:
            name, _, value = name.partition("=")  # as curl, without a scheme too
            monkeypatch.setenv(name, value or f"127.0.0.1:{proxy.port}")
        dbots_at(peer).post_stats(1)
        assert len(proxy.received) == (scheme in users)
        assert len(peer.received) == 1


DIRECT = ["*", "lists.example", "LISTS.example", "example", ".example", "lists.example:80"]
DIRECT += ["other.example, .lists.example"]


@pytest.mark.parametrize("value", [*DIRECT, "lists.example:8080", "ists.example", "a.example", ""])
def test_no_proxy(value: str, names: dict[str, int], monkeypatch: Patch) -> None:
    with Peer(GOOD) as peer, Proxy({"lists.example": peer.port}) as proxy:
        names["lists.example"] = peer.port
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", value)
        assert DBotsClient(BOT, TOKEN, base_url="http://lists.example").post_stats(1) == 1
        assert len(proxy.received) == (value not in DIRECT)


@pytest.mark.parametrize(
    ("userinfo", "plain"),
    [("user:pass", "user:pass"), ("us%40er:p%3Aa%2Fs%C3%A9", "us@er:p:a/sé"), ("u", "u:")],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_proxy_credentials(
    scheme: str, userinfo: str, plain: str, trusted: ssl.SSLContext, monkeypatch: Patch
) -> None:
    password = "Basic " + base64.b64encode(plain.encode()).decode()
    tls = trusted if scheme == "https" else None
    with Peer(GOOD, tls=tls) as peer, Proxy(password=password) as proxy:
        monkeypatch.setenv(f"{scheme}_proxy", f"http://{userinfo}@127.0.0.1:{proxy.port}")
        assert dbots_at(peer).post_stats(1) == 1
        assert "Proxy-Authorization" not in peer.received[0].headers
        assert proxy.received[0].headers["Proxy-Authorization"] == password


def test_a_services_own_407_is_no_proxys(trusted: ssl.SSLContext) -> None:
    with Peer(answer(407), tls=trusted) as peer, Proxy() as proxy:
        dbots = dbots_at(peer, pool=urllib3.ProxyManager(proxy.url))
        pytest.raises(botlists.APIError, dbots.regenerate_key).match("DBots: 407: Said So")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_https_proxy_with_another_hosts_certificate(
    scheme: str, trusted: ssl.SSLContext, monkeypatch: Patch, names: Any, naps: list[float]
) -> None:
    with Peer(GOOD, tls=trusted) as proxy:
        names["other.example"] = proxy.port
        monkeypatch.setenv("all_proxy", f"https://u:p@other.example:{proxy.port}")
        dbots = DBotsClient(BOT, user_key=KEY_OF_USER, base_url=f"{scheme}://dbots.co")
        with pytest.raises(botlists.TransportError, match="not sent") as caught:
            dbots.regenerate_key()
        assert caught.value.sent is False
        assert proxy.received == []


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_is_not_there(scheme: str, monkeypatch: Patch, naps: list[float]) -> None:
    monkeypatch.setenv("all_proxy", f"http://user:passw0rd@127.0.0.1:{unused_port()}")
    dbots = DBotsClient(BOT, user_key=KEY_OF_USER, base_url=f"{scheme}://lists.example")
    with pytest.raises(botlists.TransportError, match="not sent") as caught:
        dbots.regenerate_key()
    assert caught.value.sent is False
    assert len(naps) == 2
    assert "passw0rd" not in text_of(caught.value) + repr(vars(dbots._pool))


@pytest.mark.parametrize("url", ["socks5://127.0.0.1:1", "http:///x", "http://h:99999"])
def test_a_bad_proxy_variable_is_named_and_not_shown(url: str, monkeypatch: Patch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", url)
    with pytest.raises(ValueError, match="https_proxy") as caught:
        DBotsClient(BOT, TOKEN)
    assert url not in str(caught.value)
    DBotsClient(BOT, TOKEN, base_url="http://127.0.0.1")
    DBotsClient(BOT, TOKEN, pool=urllib3.PoolManager())


# Traffic: logging

def logged(caplog: Log) -> list[tuple[str, str]]:
    records = [record for record in caplog.records if record.name == "botlists"]
    return [(record.levelname, record.getMessage()) for record in records]


def test_each_attempt_is_a_debug_line_and_each_repeat_a_warning(
    naps: list[float], caplog: Log
) -> None:
    caplog.set_level(logging.DEBUG, "botlists")
    loud = b"loud and not HTTP\r\n\r\n"
    with Peer(answer(503, {"message": "loud"}), b"", say_and_close(loud), GOOD) as peer:
        dbots_at(peer, retries=3).post_stats(4242424)
    closed = "no complete answer: Remote end closed connection without response"
    lines = [f"{level} {line}" for level, line in logged(caplog)]
    assert [re.sub("[0-9.]+ (m?s)$", r"# \1", line) for line in lines] == [
        f"{level} DBots POST /bots/{BOT}/stats: {text}"
        for level, text in (
            ("DEBUG", "503 in # ms"),
            ("WARNING", "503; trying again in # s"),
            ("DEBUG", "no answer in # ms"),
            ("WARNING", f"{closed}; trying again in # s"),
            ("DEBUG", "no answer in # ms"),
            ("WARNING", "no complete answer: BadStatusLine; trying again in # s"),
            ("DEBUG", "200 in # ms"),
        )
    ]


def test_a_second_for_a_limit_is_an_info_line_and_less_is_none(
    naps: list[float], windows: Any, caplog: Log
) -> None:
    caplog.set_level(logging.INFO, "botlists")
    with Peer(answer(body=DONE)) as peer:
        for seconds in (0.9, 7):
            windows(1, 1, seconds)
            post(lbots_at(peer), 2)
    assert logged(caplog) == [("INFO", f"LBots POST /bots/{BOT}/stats waits 7.0 s for its limit")]


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
    late = "2019-01-21T01:19:38+00:00"
    for line, result in (
        (f"dbots post-stats {BOT} 893", {"guild_count": 893}),
        (f"dbots edit-api {BOT} --vote-webhook-url {URL}", document),
        (f"dbots get-api {BOT}", document),
        (f"dbots edit-api {BOT} --clear", {**document, "vote_webhook_url": None}),
        (f"dbots regenerate-key {BOT}", {"token": "dbots-token-2"}),
        (f"lbots post-stats {BOT} 7", {"guild_count": 7}),
        (f"lbots post-stats {BOT} 7 --shard-id 0 --shard-count 4",
         {"guild_count": 7, "shard_id": 0, "shard_count": 4}),
        (f"lbots post-shard-stats {BOT} 5 0 7", {"guild_counts": [5, 0, 7]}),
        (f"lbots get-favourites {BOT}", {"favourites": 1}),
        (f"lbots get-favorites {BOT}", {"favourites": 1}),
        (f"lbots has-favourited {BOT} {FAN}",
         {"user_id": str(FAN), "favourited": True, "time": late}),
        (f"lbots has-favorited {BOT} {STRANGER}",
         {"user_id": str(STRANGER), "favourited": False, "time": None}),
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

    with Peer(answer(429, Retry_After="2"), answer(429, Retry_After="0")) as peer:
        at = f"--base-url {peer.url}"
        started = time.monotonic()
        refused = (1, "", "botlists: DBots: 429: Said So\n")
        assert with_options(f"{at} --max-wait 1") == refused
        assert len(peer.received) == 1
        assert with_options(f"{at} --retries 4") == refused
        assert len(peer.received) == 6
    with Peer(silence) as peer:
        options = f"--base-url {peer.url} --max-wait 0 --timeout 0.1"
        assert "timed out" in with_options(options)[2]
    assert time.monotonic() - started < 5
    for option in ("--timeout 0", "--timeout x", "--max-wait -1", "--retries -1", "--base-url h"):
        status, out, err = with_options(option)
        assert (status, out) == (2, "") and "error: " in err
        assert option.split()[0][2:].replace("-", "_") in err.replace("-", "_")


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("", "SERVICE"),
        ("dbots", "COMMAND"),
        ("dbots post-stats", "BOT"),
        (f"dbots post-stats {BOT} 1.5", "N"),
        (f"dbots post-stats {BOT} -1", "guild_count"),
        ("dbots post-stats ../1 1", "bot_id"),
        (f"dbots edit-api {BOT}", "--vote-webhook-url --clear"),
        (f"dbots edit-api {BOT} --clear --vote-webhook-url x", "not allowed"),
        (f"lbots post-stats {BOT} 1 --shard-id 4 --shard-count 4", "shard_id"),
        (f"lbots has-favourited {BOT} x", "user_id"),
        (f"lbots post-stats {BOT} 1 --token x", "unrecognized arguments"),
    ],
)
def test_wrong_usage_is_2_in_argparses_form_and_nothing_is_sent(
    line: str, part: str, command: Any, sandbox: Sandbox
) -> None:
    status, out, err = command(line)
    assert (status, out) == (2, "")
    assert err.startswith("usage: botlists") and part in err
    assert sandbox.received == []


OF_USER = ["dbots get-log", "dbots regenerate-key", "dbots get-api", "dbots edit-api"]
OF_LBOTS = ["post-stats", "post-shard-stats", "get-favourites", "has-favourited"]
COMMANDS = {
    "dbots post-stats": "DBOTS_TOKEN",
    **dict.fromkeys(OF_USER, "DBOTS_USER_KEY"),
    **{f"lbots {name}": "LBOTS_TOKEN" for name in [*OF_LBOTS, "invalidate-token"]},
}


@pytest.mark.parametrize("words", ["dbots post-stats", "dbots get-api", "lbots get-favourites"])
@pytest.mark.parametrize("value", [None, "", "secret\n"])
def test_a_missing_or_bad_variable_is_named(
    value: str | None, words: str, command: Any, monkeypatch: Patch
) -> None:
    variable = COMMANDS[words]
    monkeypatch.delenv(variable) if value is None else monkeypatch.setenv(variable, value)
    status, out, err = command(f"{words} {BOT}{' 1' if words == 'dbots post-stats' else ''}")
    assert (status, out) == (2, "")
    assert variable in err and "secret" not in err


def test_help_names_the_variables_within_80_columns(command: Any) -> None:
    variables = set(COMMANDS.values())
    for words in ("", "dbots", "lbots", *COMMANDS):
        status, text, _ = command(f"{words} --help")
        assert status == 0 and max(map(len, text.splitlines())) <= 80
        named = {variable for variable in variables if variable in text}
        assert named == {COMMANDS[at] for at in COMMANDS if at.startswith(words)}
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
    with Peer(answer(503, Retry_After="0"), GOOD) as peer:  # of a repeat nothing is said
        assert run(*entry, "--base-url", peer.url, *line[2:], LBOTS_TOKEN=TOKEN) == good
        assert len(peer.received) == 2


@contextlib.contextmanager
def started(*command: str, **env: str) -> Iterator[subprocess.Popen[str]]:
    """A process to interrupt: whatever the tests' own does with Ctrl-C, this one heeds it."""
    with subprocess.Popen(
        [sys.executable, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=str(HERE),
        env={**os.environ, "PYTHONPATH": str(HERE), "PYTHONUNBUFFERED": "1", **env},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_ctrl_c_is_130_and_quiet() -> None:
    with Peer(silence) as peer:
        line = ["--base-url", peer.url, "dbots", "get-log", BOT]
        with started("-m", "botlists", *line, DBOTS_USER_KEY=KEY_OF_USER) as process:
            eventually(lambda: peer.received)
            process.send_signal(signal.SIGINT)
            assert process.communicate(timeout=30) == ("", "")
            assert process.returncode == 130


def test_what_runs_in_a_process_of_its_own(command: Any, monkeypatch: Patch, capsys: Any) -> None:
    """The same as above once more, here, where coverage sees it."""
    monkeypatch.setattr(DBotsClient, "get_log", interrupt)
    assert command(f"dbots get-log {BOT}") == (130, "", "")
    monkeypatch.setattr(sys, "argv", ["botlists.py", "--version"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(botlists.__file__, run_name="__main__")
    assert (stop.value.code, capsys.readouterr().out) == (0, f"botlists {botlists.__version__}\n")


# The README

# Not there where this file was copied next to other tests.
README = "".join(path.read_text(encoding="utf-8") for path in HERE.glob("README.rst"))
EXAMPLES = [
    textwrap.dedent(example)
    for example in re.findall(r"\.\. code:: python\n\n((?:    .*\n|\n)+)", README)
]
SHELL = re.findall(r"^    \$ botlists (.+)\n    (\{.+)$", README, re.MULTILINE)
CRON = re.findall(r"^    \*/30 \* \* \* \* [~/]\S*/botlists (.+)$", README, re.MULTILINE)


@pytest.fixture(scope="session")
def tls_server(tmp_path_factory: Any) -> Iterator[Sandbox]:
    with Sandbox(tls=tls_context(tmp_path_factory.mktemp("tls"))) as sandbox:
        yield sandbox


@pytest.fixture
def services(tls_server: Sandbox, trusted: Any) -> Iterator[tuple[Sandbox, dict[str, str]]]:
    """The sandbox, and variables with which a process takes it for the real hosts."""
    tls_server.reset()
    with Proxy({"dbots.co": tls_server.port, "lbots.org": tls_server.port}) as proxy:
        yield tls_server, {
            "DBOTS_TOKEN": tls_server.dbots_token,
            "DBOTS_USER_KEY": tls_server.user_key,
            "LBOTS_TOKEN": tls_server.lbots_token,
            "DISCORD_TOKEN": "discord-token",
            "HTTPS_PROXY": proxy.url,
        }


@pytest.mark.parametrize("example", [text for text in EXAMPLES if "discord" not in text])
def test_an_example_of_the_readme_runs_as_it_stands(
    example: str, services: Any, tmp_path: Path
) -> None:
    for package, module in (("tqdm", "tqdm"), ("contrib.socks", "socks")):
        if package in example:
            pytest.importorskip(module)
    box, secrets = services
    status, _, err = run("-c", example, cwd=tmp_path, **secrets)
    assert status == 0, err
    posts = "lbots.post_" in example and "Sandbox" not in example
    assert box.total == (0 if not posts else 2317 if "602" in example else 893)
    assert (box.guild_count == 893) == ("dbots.post_stats" in example)
    assert (box.dbots_token == "dbots-token-2") == ("regenerate_key" in example)


@pytest.mark.parametrize(("line", "result"), SHELL)
def test_a_command_of_the_readme_prints_what_it_says(line: str, result: str, services: Any) -> None:
    assert run("-m", "botlists", *line.split(), **services[1]) == (0, f"{result}\n", "")


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


# In place of the connection to Discord, which tells of three guilds after a while.
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
    await asyncio.Event().wait()

discord.http.HTTPClient.static_login = static_login
discord.Client.application_info = application_info
discord.Client.connect = connect
"""


@pytest.mark.parametrize("example", [text for text in EXAMPLES if "import discord" in text])
def test_a_recipe_for_bots_posts_when_it_is_ready_and_ends_on_ctrl_c(
    example: str, services: Any
) -> None:
    pytest.importorskip("discord")
    box, secrets = services
    with started("-c", STAND_IN + example, **secrets) as process:
        eventually(lambda: box.total == 3 or process.poll() is not None)
        eventually(lambda: box.guild_count == 3 or "DBotsClient" not in example)
        interrupted = time.monotonic()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert time.monotonic() - interrupted < 5
    assert out == "" and "Traceback" not in err
    assert {request.json.get("guild_count", 3) for request in box.received} == {3}


@pytest.mark.parametrize("example", [text for text in EXAMPLES if "def shard_counts" in text])
def test_the_shards_of_a_bot_are_counted_with_the_empty_ones(example: str) -> None:
    discord = pytest.importorskip("discord")
    scope: dict[str, Any] = {}
    exec(example, scope)
    bot = discord.AutoShardedClient(shard_count=4, intents=discord.Intents.default())
    for shard in (0, 3, 3):
        guild_id = shard << 22 | len(bot.guilds)
        bot._connection._add_guild(discord.Guild(data={"id": guild_id}, state=bot._connection))
    assert scope["shard_counts"](bot) == [1, 0, 0, 2]


@pytest.mark.skipif(not README, reason="no README here")
def test_the_readme_has_every_name() -> None:
    assert (len(EXAMPLES), len(SHELL), len(CRON)) == (11, 3, 1)
    for name in botlists.__all__:
        assert f"``{name}" in README
    for client in (DBotsClient, LBotsClient):
        for name in vars(client):
            assert name.startswith("_") or f"``{name}" in README
    assert f"\n{botlists.__version__}:\n" in README


# The demonstration

@pytest.fixture(scope="session", autouse=True)
def beside() -> Iterator[tuple[Any, Any]]:
    """What waits for limits, and so runs beside the other tests."""
    script = "import test_botlists; test_botlists.use_limits()"
    with started("-c", script, no_proxy="*") as limits, started("test_botlists.py") as shows:
        yield limits, shows


def test_the_demonstration_shows_every_call_and_no_secret(beside: Any) -> None:
    text, err = beside[1].communicate(timeout=60)
    assert (beside[1].returncode, err) == (0, "")
    for client in (DBotsClient, LBotsClient):
        for name in vars(client):
            assert name.startswith("_") or "favor" in name or name in text
    assert "token-1" not in text and "user-key" not in text
    assert max(map(len, text.splitlines())) <= 80
    for part in ("Unauthorized", "NotFound", "TooManyRequests", "trying again", "limit\n"):
        assert part in text


def test_the_demonstration_serves_until_stopped() -> None:
    port = unused_port()
    with started("test_botlists.py", "--serve", str(port)) as process:
        assert process.stdout is not None
        told = "".join(itertools.takewhile(lambda line: "Ctrl-C" not in line, process.stdout))
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
    """Shows what botlists logs, as it comes."""

    def emit(self, record: logging.LogRecord) -> None:
        shown("  log", f"{record.levelname} {record.getMessage()}")


def show_traffic(request: Received, response: Response) -> None:
    path = re.sub("^/[dl]bots/api/v1", "", request.path)
    shown("  sent", f"{request.method} {path} {request.body.decode()}".rstrip())
    shown("  answer", f"{response.status_code} {response.get_data(as_text=True)}")


def show(client: Any, name: str, *args: Any, note: str = "", **kwargs: Any) -> None:
    """Make a call, and print it and what came of it."""
    given = [repr(arg) for arg in args] + [f"{key}={value!r}" for key, value in kwargs.items()]
    print(f"{client._SERVICE.lower()}.{name}({', '.join(given)}){note and '   # ' + note}")
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
        box.on_answer = show_traffic
        dbots, lbots = clients_of(box)
        print("Each call, what goes over the wire, and its result. Secrets are masked.")
        shown("\ndbots =", f"{dbots}")
        show(dbots, "post_stats", 893)
        show(dbots, "get_api", note="no webhook was ever set")
        show(dbots, "edit_api", vote_webhook_url=URL)
        show(dbots, "get_log", note="the service leaves out what is empty")
        show(dbots, "regenerate_key", note="this drops the webhook")
        show(dbots, "post_stats", 894, note="with the new token")
        shown("\nlbots =", f"{lbots}")
        show(lbots, "post_stats", 19902)
        show(lbots, "post_stats", 564, shard_id=2, shard_count=4)
        show(lbots, "post_shard_stats", [564, 570, 581])
        show(lbots, "has_favourited", FAN)
        show(lbots, "has_favourited", STRANGER)
        for count in ("first", "second", "third", "fourth"):
            show(lbots, "get_favourites", note=f"the {count}; 3 may go in 4 s")
        print("\nA service that is busy for a moment:\n")
        box.next_answers = [Response("Back in a second.", 503, {"Retry-After": "1"})]
        show(dbots, "post_stats", 895)
        print("\nErrors:\n")
        wrong = DBotsClient(BOT, "wrong", base_url=box.dbots_url)
        show(wrong, "post_stats", 893, note="with a wrong token")
        unknown = DBotsClient(1, box.dbots_token, base_url=box.dbots_url)
        show(unknown, "post_stats", 893, note="of a bot that is not on the list")
        box.windows.clear()  # as after a while
        lbots = LBotsClient(BOT, box.lbots_token, base_url=box.lbots_url, max_wait=0)
        print(f"\nlbots = LBotsClient({BOT}, ..., max_wait=0)")
        for count in ("first", "second", "third", "fourth"):
            show(lbots, "get_favourites", note=f"the {count}; 3 may go in 4 s")
        show(lbots, "invalidate_token")
        show(lbots, "post_stats", 19903, note="with a token that is no longer valid")


def serve(port: int) -> None:
    """Keep a sandbox up until Ctrl-C, and show each request that reaches it."""

    def tell(request: Received, response: Response) -> None:
        now = time.strftime("%H:%M:%S")
        line = f"{request.method:5} {request.path} {response.status_code} {request.body.decode()}"
        print(now, line.rstrip(), flush=True)
        for token in {box.dbots_token, box.lbots_token} - tokens:
            print(f"{now} the token is now {token}", flush=True)
            tokens.add(token)

    with Sandbox(port) as box:
        tokens = {box.dbots_token, box.lbots_token}
        box.on_answer = tell
        print("Both services are up, with one bot on each. From a shell, in this directory:\n")
        for secret, url, call in (
            (f"DBOTS_TOKEN={box.dbots_token}", box.dbots_url, f"dbots post-stats {BOT} 893"),
            (f"DBOTS_USER_KEY={box.user_key}", box.dbots_url, f"dbots get-api {BOT}"),
            (f"LBOTS_TOKEN={box.lbots_token}", box.lbots_url, f"lbots get-favourites {BOT}"),
        ):
            print(f"  {secret} python botlists.py --base-url {url} {call}")
        print("\nFrom Python:\n\n  from botlists import DBotsClient, LBotsClient")
        keys = f"{box.dbots_token!r}, user_key={box.user_key!r}"
        print(f"  dbots = DBotsClient({BOT}, {keys}, base_url={box.dbots_url!r})")
        print(f"  lbots = LBotsClient({BOT}, {box.lbots_token!r}, base_url={box.lbots_url!r})")
        print(f"\nUser {FAN} has favourited the bot. Ctrl-C ends it.", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    parser = argparse.ArgumentParser(description=demonstrate.__doc__)
    parser.add_argument("--serve", nargs="?", type=int, const=0, metavar="PORT", help=serve.__doc__)
    arguments = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        demonstrate() if arguments.serve is None else serve(arguments.serve)
