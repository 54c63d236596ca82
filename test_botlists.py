"""The specification of botlists, and a sandbox of DBots and LBots to try it on.

    python -m pytest                              check every promise
    python test_botlists.py                       see every call, without an account or a network
    python test_botlists.py --serve [PORT]        keep the sandbox running, for your own scripts

From top to bottom:

- the sandbox, a stateful fake of both services, with the demonstration and --serve
- scripted servers, which send exactly the bytes that a test gives them
- fixtures and helpers
- ENDPOINTS, the table that says what is known of each endpoint: a new endpoint is one more row
- the tests, by promise, in the order of botlists.py: layout, errors, results, clients, arguments,
  responses, traffic, command line
- the tests of the README, the sandbox and the demonstration

The sandbox responds as the services do: LBots as documented, DBots as its published source does.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import base64
import collections
import contextlib
import ctypes
import errno
import faulthandler
import gc
import gzip
import http.client
import importlib
import importlib.util
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
import urllib.request
import warnings
import weakref
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
URL = "https://example.com/vote"

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


# Old versions of pytest-httpserver handle one connection at a time.
THREADED = "threaded" in inspect.signature(HTTPServer.__init__).parameters


class Sandbox(HTTPServer):
    """Both services on one port, with one bot (BOT) on each, and a state that calls change.

        with Sandbox() as sandbox:
            lbots = LBotsClient(BOT, sandbox.lbots_token, base_url=sandbox.lbots_url)

    port: where to listen on 127.0.0.1; by default, any free port.
    tls: the context of a server with a certificate, to serve https.

    With pytest-httpserver 1.0.11 or later, each connection has its own thread: a silent one blocks
    no other, and what responds to a vote may call the sandbox. What a handler or `on_response`
    raises is a response with status 500 and is raised again at the end of the `with` block, or by
    `check()`.

    Attributes, which tests may read and change; `reset()` sets them to their first values:

    dbots_url, lbots_url: for a client's `base_url`.
    dbots_token, lbots_token, user_key: for a client. `other_key` is that of a user who does not
        manage the bot. A rotation increments the number at the end of a token, or adds one.
    received: the requests so far. Each is a Received(at, method, path, headers, body), and has
        the body's `json`.
    next_responses: werkzeug.Response objects to send in place of the services' own.
    on_response: called as on_response(received, response) before each response is sent.
    rate_limits: {"dbots": (requests, seconds), "stats": ..., "favourites": ...}: the documented
        limits. Remove one to switch it off.
    documented_rotation: False if DBots has only the rotation path that is not documented, as in
        its published source.
    guild_count: the count on DBots.
    webhook: DBots' {"voteWebhookURL": URL or None}; {} until one is set. `vote(user)` votes.
    changes: DBots' audit log.
    shards: {shard_id: guild_count} on LBots, with None for a post without a shard. `total` is
        their sum, as LBots shows it.
    favourites: {user_id: datetime} on LBots.
    """

    def __init__(self, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        threaded: Any = {"threaded": True} if THREADED else {}
        super().__init__("127.0.0.1", port, ssl_context=tls, **threaded)
        self.lock = threading.Lock()
        self.reset()
        self.expect_request(re.compile("")).respond_with_handler(self.respond)

    def __exit__(self, *exc_info: Any) -> None:
        super().__exit__(*exc_info)
        self.check()

    def reset(self) -> None:
        self.received: list[Received] = []
        self.on_response: Callable[[Received, Response], object] = lambda request, response: None
        self.next_responses: list[Response] = []
        self.rate_limits = {"dbots": (300, 60.0), "stats": (20, 5.0), "favourites": (3, 4.0)}
        self.windows: dict[str, list[float]] = collections.defaultdict(list)
        self.user_key = "dbots-user-key"
        self.other_key = "dbots-key-of-somebody-else"
        self.dbots_token = "dbots-token-1"
        self.documented_rotation = True
        self.guild_count = 0
        self.webhook: dict[str, str | None] = {}
        change: dict[str, Any] = {"by": str(STRANGER), "at": "2020-08-07T12:56:27.100Z"}
        self.changes: list[dict[str, Any]] = [
            {**change, "changes": {"old": {"tags": []}, "new": {"tags": ["music"]}}},
            change,  # a save without a change
            {**change, "changes": {"old": {"tags": ["music"]}}},  # a removal
        ]
        self.lbots_token = "lbots-token-1"
        self.shards: dict[int | None, int] = {}
        self.favourites = {FAN: datetime(2019, 1, 21, 1, 19, 38, tzinfo=timezone.utc)}

    @property
    def dbots_url(self) -> str:
        return self.url_for("/dbots/api/v1")

    @property
    def lbots_url(self) -> str:
        return self.url_for("/lbots/api/v1")

    @property
    def total(self) -> int:
        """The number of guilds that LBots shows: the sum of the shards, if any were posted."""
        sharded = [count for shard, count in self.shards.items() if shard is not None]
        return sum(sharded) if sharded else self.shards.get(None, 0)

    def vote(self, user: int | str) -> int:
        """Send a vote to the webhook, as DBots does, and return the status of the response."""
        url = self.webhook.get("voteWebhookURL")
        if url is None:
            raise ValueError("no vote webhook is set")
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        body = json.dumps({"at": now.replace("+00:00", "Z"), "by": str(user)})
        headers = {"Authorization": self.dbots_token, "Content-Type": "application/json"}
        with urllib3.PoolManager(timeout=10, retries=False) as pool:
            return pool.request("POST", url, body=body, headers=headers).status

    def respond(self, request: Request) -> Response:
        headers, body = dict(request.headers), request.get_data()
        seen = Received(time.monotonic(), request.method, request.path, headers, body)
        with self.lock:
            self.received.append(seen)
            next_response = self.next_responses.pop(0) if self.next_responses else None
        response = next_response or self.handle(request)
        self.on_response(seen, response)
        return response

    def handle(self, request: Request) -> Response:
        vote = re.fullmatch("/dbots/vote/([0-9]+)", request.path)
        if vote:
            try:
                return Response(f"The webhook responded with {self.vote(vote.group(1))}.\n")
            except (ValueError, urllib3.exceptions.HTTPError) as error:
                return Response(f"{error}\n", 502)
        # Behind a proxy the services have their own hosts, otherwise they have their own paths.
        lbots = request.path.startswith("/lbots/") or request.host.startswith("lbots.")
        if not (lbots or "/api/v1/" in request.path):
            return Response(PAGE, content_type="text/html")
        path = request.path.partition("/api/v1")[2]
        try:
            for method, pattern, handler in self.LBOTS if lbots else self.DBOTS:
                match = re.fullmatch(pattern, path)
                if match and method == request.method:
                    with self.lock:
                        document = handler(self, request, *match.groups())
                    if lbots:
                        document = {"status_code": 200, "success": True, **document}
                    return self.json(200, document)
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

    def check_rate_limit(self, name: str, reason: str) -> None:
        requests, seconds = self.rate_limits.get(name, (sys.maxsize, 0.0))
        now = time.monotonic()
        window = [at for at in self.windows[name] if now - at < seconds]
        self.windows[name] = [*window, now]
        if len(window) >= requests:
            raise Refusal(429, reason)

    @staticmethod
    def rotated(token: str) -> str:
        name, number = re.fullmatch("(.*?)(?:-([0-9]+))?", token, re.DOTALL).groups()  # type: ignore[union-attr]
        return f"{name}-{int(number or 1) + 1}"

    # DBots

    def check_dbots_token(self, request: Request, bot: str) -> None:
        self.check_rate_limit("dbots", "You are being rate limited.")
        if bot != BOT:
            raise Refusal(404, "Not found")
        if request.headers.get("Authorization") != self.dbots_token:
            raise Refusal(401, "Unauthorized")

    def check_user_key(self, request: Request, bot: str) -> None:
        self.check_rate_limit("dbots", "You are being rate limited.")
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
        documented = request.path.endswith("/keys/regen")
        if documented and not self.documented_rotation:
            raise Refusal(404, "Not found")
        self.check_user_key(request, bot)
        self.dbots_token = self.rotated(self.dbots_token)
        self.webhook = {}
        return {"token": self.dbots_token} if documented else self.dbots_token

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
        ("GET", "/bots/([^/]+)/keys?/regen", dbots_regen),
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
        self.check_rate_limit("stats", "Too Many Requests")
        stats = json.loads(request.get_data())
        numbers = [stats.get(key, 0) for key in ("guild_count", "shard_id", "shard_count")]
        if "guild_count" not in stats or any(type(number) is not int for number in numbers):
            raise Refusal(400, "Invalid post data")
        self.shards[stats.get("shard_id")] = stats["guild_count"]
        return {}

    def lbots_favourites(self, request: Request, bot: str) -> dict[str, Any]:
        self.check_lbots_token(request, bot)
        self.check_rate_limit("favourites", "Too Many Requests")
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
        self.lbots_token = self.rotated(self.lbots_token)
        return {}

    LBOTS = (
        ("POST", "/bots/([^/]+)/stats", lbots_stats),
        ("GET", "/bots/([^/]+)/favou?rites", lbots_favourites),
        ("GET", "/bots/([^/]+)/favou?rites/user/([0-9]+)", lbots_favourited),
        ("GET", "/bots/([^/]+)/invalidate", lbots_invalidate),
    )


def http_date(at: datetime) -> str:
    return at.strftime("%a, %d %b %Y %H:%M:%S GMT")


def clients_of(box: Sandbox) -> dict[str, Any]:
    """A client of each service, for the bot in the sandbox."""
    return {
        "dbots": DBotsClient(BOT, box.dbots_token, user_key=box.user_key, base_url=box.dbots_url),
        "lbots": LBotsClient(BOT, box.lbots_token, base_url=box.lbots_url),
    }


# The demonstration: python test_botlists.py


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
    call = f"{service_of(client)}.{name}({', '.join(given)})"
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
        clients = clients_of(box)
        print("Each call, what goes over the wire, and its result. Secrets are masked.\n")
        for service, client in clients.items():
            shown(f"{service} =", f"{client}")
        print()
        for endpoint in ENDPOINTS:
            if not endpoint.one_shot:
                show(clients[endpoint.service], endpoint.method, **endpoint.arguments)
        print("\nShards, and a user who has not favourited the bot:\n")
        dbots, lbots = clients.values()
        show(lbots, "post_stats", 564, shard_id=2, shard_count=4)
        show(lbots, "post_shard_stats", [564, 570, 581])
        show(lbots, "has_favourited", STRANGER)
        print("\nThe rate limit of LBots: 3 calls in 4 seconds.\n")
        for count in ("second", "third", "fourth"):
            show(lbots, "get_favourites", note=f"the {count}")
        print("\nA service that is busy for a moment:\n")
        box.next_responses = [Response("Back in a second.", 503, {"Retry-After": "1"})]
        show(dbots, "post_stats", 894)
        print("\nErrors:\n")
        wrong = DBotsClient(BOT, "wrong", base_url=box.dbots_url)
        show(wrong, "post_stats", 893, note="with a wrong token")
        unknown = DBotsClient(1, box.dbots_token, base_url=box.dbots_url)
        show(unknown, "post_stats", 893, note="for a bot that is not on the list")
        box.windows.clear()  # as if time had passed
        impatient = LBotsClient(BOT, box.lbots_token, base_url=box.lbots_url, max_wait=0)
        print(f"\nlbots = LBotsClient({BOT}, ..., max_wait=0)")
        for count in ("first", "second", "third", "fourth"):
            show(impatient, "get_favourites", note=f"the {count}")
        print("\nRotations, which are never retried once they may have reached the service:\n")
        for endpoint in ENDPOINTS:
            if endpoint.one_shot:
                show(clients[endpoint.service], endpoint.method, **endpoint.arguments)
        show(dbots, "get_api", note="the rotation has removed the webhook")
        show(dbots, "post_stats", 895, note="with the new token")
        show(lbots, "post_stats", 895, note="with a token that is no longer valid")


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


# Scripted servers

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
        threading.Thread(target=self.serve_forever, args=(0.001,), daemon=True).start()

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

TOKEN = "a-t0ken/of.some+length="
USER_KEY = "the-key.of-a-user/" * 8  # as long as a JWT

PYPY = sys.implementation.name == "pypy"  # a forked child keeps its import lock, even if locked
POSIX = hasattr(os, "fork")
needs_fork = pytest.mark.skipif(not POSIX, reason="needs os.fork")
needs_sigint = pytest.mark.skipif(os.name == "nt", reason="needs to send SIGINT to one process")
needs_shell = pytest.mark.skipif(not (POSIX and os.path.exists("/bin/sh")), reason="needs /bin/sh")


def cases(names: str, table: dict[str, Any]) -> pytest.MarkDecorator:
    """Parametrize a test with the values of `table`. Its keys are the IDs: they name the cases."""
    return pytest.mark.parametrize(names, list(table.values()), ids=list(table))


def as_id(value: Any) -> str:
    """The ID of a case that its value names best."""
    plain = isinstance(value, str) and re.fullmatch(r"[\w. ]+", value, re.ASCII)
    return value if plain else ascii(value)[:50]


@pytest.fixture(scope="session")
def terminal(pytestconfig: pytest.Config) -> int:
    """A file descriptor of stderr as it was before pytest captured it."""
    capture: Any = pytestconfig.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        return os.dup(2)


@pytest.fixture(autouse=True)
def a_hanging_test_ends_the_run(terminal: int) -> Iterator[None]:
    """After a minute, each thread's stack is shown, and the process exits with status 1."""
    faulthandler.dump_traceback_later(60, exit=True, file=terminal)
    yield
    faulthandler.cancel_dump_traceback_later()


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


@pytest.fixture(scope="session")
def server() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(server: Sandbox) -> Iterator[Sandbox]:
    server.reset()
    yield server
    server.check()


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


def dbots_at(server: Server, **options: Any) -> DBotsClient:
    return DBotsClient(BOT, TOKEN, user_key=USER_KEY, base_url=server.url, **options)


def lbots_at(server: Server, **options: Any) -> LBotsClient:
    return LBotsClient(BOT, TOKEN, base_url=server.url, **options)


def service_of(client: Any) -> str:
    return "dbots" if isinstance(client, DBotsClient) else "lbots"


def do(client: Any, method: str) -> Any:
    """Call a method with the arguments that ENDPOINTS has for it."""
    [endpoint] = (row for row in ENDPOINTS if row.id == f"{service_of(client)}.{method}")
    return getattr(client, method)(**endpoint.arguments)


def play(call: str, *replies: Reply, **options: Any) -> tuple[Any, list[Received]]:
    """The result, or the error, of a call to a Peer with these replies, and what it received."""
    service, method = call.split(".")
    client_at: Callable[..., Any] = dbots_at if service == "dbots" else lbots_at
    with Peer(*replies) as peer, client_at(peer, **options) as client:
        try:
            return do(client, method), peer.received
        except botlists.BotListError as error:
            return error, peer.received


def raised(call: Callable[..., object], *arguments: Any) -> Any:
    """The error of a call that fails."""
    with pytest.raises(botlists.BotListError) as caught:
        call(*arguments)
    return caught.value


def text_of(error: BaseException) -> str:
    """All that a traceback shows, and the repr."""
    lines = traceback.format_exception(type(error), error, error.__traceback__)
    return "".join([*lines, repr(error)])


def behind(error: BaseException) -> list[BaseException]:
    """The causes and contexts of an error, and theirs."""
    found: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        current = waiting.pop()
        if current is not None and not any(current is seen for seen in found):
            found.append(current)
            waiting += [current.__cause__, current.__context__]
    return found[1:]


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
        timeout=50,
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


# The table of endpoints


class Missing:
    """In `Endpoint.fields`: the field may be left out."""


class Endpoint(NamedTuple):
    """What the tests know of an endpoint."""

    id: str  # the service and the method
    arguments: dict[str, Any]  # of the method
    verb: str
    path: str  # after /bots/ID/
    body: dict[str, Any] | None  # of the request
    credential: str  # token or user_key
    response: dict[str, Any]  # a good one, as the sandbox sends it
    fields: dict[str, set[Any]]  # those that the method needs, each with the types it may have
    result: Any  # of the method, from that response
    usage: str  # the arguments of the command, as in its help
    words: str  # the same arguments as the method's
    printed: dict[str, Any]  # the JSON that the command prints
    limit: tuple[int, float] | None = None  # requests and seconds, if the service documents them
    one_shot: bool = False  # never sent again once the service may have acted

    @property
    def service(self) -> str:
        return self.id.partition(".")[0]

    @property
    def method(self) -> str:
        return self.id.partition(".")[2]

    @property
    def command(self) -> str:
        return f"{self.service} {self.method.replace('_', '-')}"

    @property
    def variable(self) -> str:
        return f"{self.service}_{self.credential}".upper()

    def __str__(self) -> str:
        return self.id


EDITED = datetime(2020, 8, 7, 12, 56, 27, 100000, timezone.utc)
NULL = type(None)
DONE = {"success": True}

ENDPOINTS = [
    Endpoint(
        id="dbots.post_stats",
        arguments={"guild_count": 893},
        verb="POST",
        path="stats",
        body={"guildCount": 893},
        credential="token",
        response={"guildCount": 893},
        fields={"guildCount": {int}},
        result=893,
        usage="BOT N",
        words="893",
        printed={"guild_count": 893},
    ),
    Endpoint(
        id="dbots.get_log",
        arguments={},
        verb="GET",
        path="log",
        body=None,
        credential="user_key",
        response={
            "_id": BOT,
            "changes": [
                {
                    "by": str(STRANGER),
                    "at": "2020-08-07T12:56:27.100Z",
                    "changes": {"old": {"tags": []}, "new": {"tags": ["music"]}},
                },
                {"by": str(STRANGER), "at": "2020-08-07T12:56:27.100Z"},
                {
                    "by": str(STRANGER),
                    "at": "2020-08-07T12:56:27.100Z",
                    "changes": {"old": {"tags": ["music"]}},
                },
            ],
        },
        fields={"_id": {str}, "changes": {list}},
        result=(
            BOT,
            (
                (EDITED, str(STRANGER), {"tags": []}, {"tags": ["music"]}),
                (EDITED, str(STRANGER), {}, {}),
                (EDITED, str(STRANGER), {"tags": ["music"]}, {}),
            ),
        ),
        usage="BOT",
        words="",
        printed={
            "bot_id": BOT,
            "changes": [
                {
                    "at": EDITED.isoformat(),
                    "by": str(STRANGER),
                    "old": {"tags": []},
                    "new": {"tags": ["music"]},
                },
                {"at": EDITED.isoformat(), "by": str(STRANGER), "old": {}, "new": {}},
                {
                    "at": EDITED.isoformat(),
                    "by": str(STRANGER),
                    "old": {"tags": ["music"]},
                    "new": {},
                },
            ],
        },
    ),
    Endpoint(
        id="dbots.regenerate_key",
        arguments={},
        verb="GET",
        path="keys/regen",
        body=None,
        credential="user_key",
        response={"token": "dbots-token-2"},
        fields={"token": {str}},
        result="dbots-token-2",
        usage="BOT",
        words="",
        printed={"token": "dbots-token-2"},
        one_shot=True,
    ),
    Endpoint(
        id="dbots.get_api",
        arguments={},
        verb="GET",
        path="api",
        body=None,
        credential="user_key",
        response={"_id": BOT, "token": "dbots-token-1", "__v": 0},
        fields={"_id": {str}, "token": {str}, "voteWebhookURL": {str, NULL, Missing}},
        result=(BOT, "dbots-token-1", None),
        usage="BOT",
        words="",
        printed={"bot_id": BOT, "token": "dbots-token-1", "vote_webhook_url": None},
    ),
    Endpoint(
        id="dbots.edit_api",
        arguments={"vote_webhook_url": URL},
        verb="PATCH",
        path="api",
        body={"voteWebhookURL": URL},
        credential="user_key",
        response={"_id": BOT, "token": "dbots-token-1", "voteWebhookURL": URL},
        fields={"_id": {str}, "token": {str}, "voteWebhookURL": {str, NULL, Missing}},
        result=(BOT, "dbots-token-1", URL),
        usage="BOT (--vote-webhook-url URL | --clear)",
        words=f"--vote-webhook-url {URL}",
        printed={"bot_id": BOT, "token": "dbots-token-1", "vote_webhook_url": URL},
    ),
    Endpoint(
        id="lbots.post_stats",
        arguments={"guild_count": 893},
        verb="POST",
        path="stats",
        body={"guild_count": 893},
        credential="token",
        response=DONE,
        fields={"success": {bool}},
        result=None,
        usage="BOT N [--shard-id I] [--shard-count C]",
        words="893",
        printed={"guild_count": 893},
        limit=(20, 5.0),
    ),
    Endpoint(
        id="lbots.post_shard_stats",
        arguments={"guild_counts": [893]},
        verb="POST",
        path="stats",
        body={"guild_count": 893, "shard_id": 0, "shard_count": 1},
        credential="token",
        response=DONE,
        fields={"success": {bool}},
        result=None,
        usage="BOT N [N ...]",
        words="893",
        printed={"guild_counts": [893]},
        limit=(20, 5.0),
    ),
    Endpoint(
        id="lbots.get_favourites",
        arguments={},
        verb="GET",
        path="favourites",
        body=None,
        credential="token",
        response={**DONE, "favourites": 1},
        fields={"success": {bool}, "favourites": {int}},
        result=1,
        usage="BOT",
        words="",
        printed={"favourites": 1},
        limit=(3, 4.0),
    ),
    Endpoint(
        id="lbots.has_favourited",
        arguments={"user_id": FAN},
        verb="GET",
        path=f"favourites/user/{FAN}",
        body=None,
        credential="token",
        response={**DONE, "time": "Mon, 21 Jan 2019 01:19:38 GMT", "favourited": True},
        fields={"success": {bool}, "time": {datetime, NULL}, "favourited": {bool}},
        result=(FAN, True, datetime(2019, 1, 21, 1, 19, 38, tzinfo=timezone.utc)),
        usage="BOT USER",
        words=str(FAN),
        printed={"user_id": str(FAN), "favourited": True, "time": "2019-01-21T01:19:38+00:00"},
    ),
    Endpoint(
        id="lbots.invalidate_token",
        arguments={},
        verb="GET",
        path="invalidate",
        body=None,
        credential="token",
        response=DONE,
        fields={"success": {bool}},
        result=None,
        usage="BOT",
        words="",
        printed={"invalidated": True},
        one_shot=True,
    ),
]
each_endpoint = cases("endpoint", {row.id: row for row in ENDPOINTS})
each_limited_endpoint = cases("endpoint", {row.id: row for row in ENDPOINTS if row.limit})

# A success for every method.
GOOD_BODY = {name: value for row in ENDPOINTS for name, value in row.response.items()}
GOOD_BODY.update({"guildCount": 1, "token": "t", "changes": [], "voteWebhookURL": None})
GOOD = response(body=GOOD_BODY)

CLIENTS: dict[str, Any] = {"dbots": DBotsClient, "lbots": LBotsClient}


def commands_in(help_text: str) -> dict[str, str]:
    """{"SERVICE.METHOD": arguments and variable} of the list that `botlists --help` shows."""
    lines = re.findall(r"^ +([dl]bots) ([a-z-]+) (.*?) +([A-Z_]+)$", help_text, re.MULTILINE)
    return {
        f"{service}.{name.replace('-', '_')}": f"{arguments} {variable}"
        for service, name, arguments, variable in lines
    }


def accepted_commands(command: Any) -> dict[str, list[str]]:
    """{"SERVICE.METHOD": the words of its usage} of the commands that argparse knows."""
    found = {}
    for service in CLIENTS:
        known = command(f"{service} no-such-command")[2].partition("choose from")[2]
        for name in re.findall("[a-z]+(?:-[a-z]+)+", known):
            usage = command(f"{service} {name} --help")[1].partition("\n\n")[0]
            words = " ".join(usage.split()).partition(f"botlists {service} {name} ")[2]
            if words:  # an American name shows the usage of the British one
                for option in ("-h", "--base-url URL", "--timeout S", "--retries N"):
                    words = words.replace(f"[{option}]", "")
                for option in ("--max-wait S", "--verbose"):
                    words = words.replace(f"[{option}]", "")
                found[f"{service}.{name.replace('-', '_')}"] = sorted(words.split())
    return found


def methods_in_readme() -> dict[str, str]:
    """{"SERVICE.METHOD": row} of the README's tables of methods."""
    found = {}
    for service, client in CLIENTS.items():
        head = client.__name__.replace("Client", " method")
        table = re.search(f"^{head}.*?\n\n", README, re.MULTILINE | re.DOTALL)
        for row in table.group().splitlines() if table else ():
            method = re.match(r"``(\w+)\(", row)
            if method:
                found[f"{service}.{method.group(1)}"] = row
    return found


def test_methods_commands_handlers_and_readme_have_what_the_table_has(command: Any) -> None:
    rows = {row.id: row for row in ENDPOINTS}
    methods = {
        f"{service}.{name}"
        for service, client in CLIENTS.items()
        for name, member in vars(client).items()
        # An American name is another name of the same function.
        if inspect.isfunction(member) and name == member.__name__ and not name.startswith("_")
    }
    listed = commands_in(command("--help")[1])
    accepted = accepted_commands(command)
    documented = methods_in_readme()
    missing = []
    for name in sorted({*rows, *methods, *listed, *accepted, *documented}):
        row = rows.get(name)
        if row is None:
            missing.append(f"{name}: no row in ENDPOINTS")
        if name not in methods:
            missing.append(f"{name}: no method")
        if name not in listed:
            missing.append(f"{name}: no line in botlists --help")
        elif row and listed[name] != f"{row.usage} {row.variable}":
            missing.append(f"{name}: botlists --help lists {listed[name]!r}")
        if name not in accepted:
            missing.append(f"{name}: no command")
        elif row and accepted[name] != sorted(row.usage.split()):
            missing.append(f"{name}: the command's usage has {accepted[name]}")
        if README and name not in documented:
            missing.append(f"{name}: no row in README's table")
        elif README and row:
            request = f"{row.verb} /bots/ID/{row.path.replace(str(FAN), 'ID')} "
            if not ("the same" in documented[name] or request in documented[name]):
                missing.append(f"{name}: README's table lacks {request!r}")
    handlers: list[tuple[Any, ...]] = [("dbots", *route) for route in Sandbox.DBOTS]
    handlers += [("lbots", *route) for route in Sandbox.LBOTS]
    for row in ENDPOINTS:
        place = f"/bots/{BOT}/{row.path}"
        if not any(
            (service, verb) == (row.service, row.verb) and re.fullmatch(pattern, place)
            for service, verb, pattern, _ in handlers
        ):
            missing.append(f"{row.id}: no handler in Sandbox for {row.verb} {place}")
    for service, verb, pattern, _ in handlers:
        if not any(
            (service, verb) == (row.service, row.verb)
            and re.fullmatch(pattern, f"/bots/{BOT}/{row.path}")
            for row in ENDPOINTS
        ):
            missing.append(f"{service}: Sandbox handles {verb} {pattern}: no row in ENDPOINTS")
    assert not missing, "\n" + "\n".join(missing)


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
    monkeypatch.delattr(os, "fork", raising=False)
    monkeypatch.delattr(os, "register_at_fork", raising=False)
    module = runpy.run_path(botlists.__file__)
    with Peer(GOOD) as peer, module["DBotsClient"](BOT, TOKEN, base_url=peer.url) as dbots:
        assert dbots.post_stats(1) == 1


def test_completion_shows_the_public_names_only() -> None:
    shown = [name for name in dir(botlists) if not re.fullmatch("__.*__", name)]
    assert shown == sorted(botlists.__all__)
    assert "__version__" in dir(botlists)


@pytest.mark.parametrize("name", sorted(botlists.__all__))
def test_each_public_name_and_method_is_documented(name: str) -> None:
    thing = getattr(botlists, name)
    assert thing.__doc__
    for member_name, member in vars(thing).items():
        assert member_name.startswith("_") or not callable(member) or member.__doc__


# Errors

KINDS = {400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound"}
KINDS.update({429: "TooManyRequests", 402: "APIError", 407: "APIError", 600: "APIError"})
KINDS.update(dict.fromkeys((500, 503, 520, 599), "ServerError"))


def test_the_tree_of_errors() -> None:
    for error in (botlists.TransportError, botlists.InvalidResponse, botlists.APIError):
        assert error.__bases__ == (botlists.BotListError,)
    assert botlists.TransportTimeout.__bases__ == (botlists.TransportError,)
    for name in {*KINDS.values(), "DeprecatedEndpoint"} - {"APIError"}:
        assert getattr(botlists, name).__bases__ == (botlists.APIError,)


@pytest.mark.parametrize("service", ["DBots", "LBots"])
@pytest.mark.parametrize("status", KINDS)
def test_each_status_has_its_error(status: int, service: str) -> None:
    body = json.dumps({"DBots": {"message": "why"}, "LBots": {"error": "why"}}[service]).encode()
    refusal = response(status, body, Retry_After="120")
    error, _ = play(f"{service.lower()}.post_stats", refusal, retries=0)
    assert type(error).__name__ == KINDS[status]
    assert (error.status, error.message, error.body) == (status, "why", body)
    assert (error.service, error.retry_after, error.sent) == (service, 120, True)
    assert str(error) == f"{service}: {status}: why"


@pytest.mark.parametrize(
    ("call", "changed", "text"),
    [
        ("dbots.post_stats", {"token": "wrong"}, "401: Unauthorized"),
        ("dbots.post_stats", {"bot_id": 1}, "404: Not found"),
        ("dbots.get_log", {"user_key": "expired"}, "401: Unauthorized"),
        ("dbots.get_log", {"user_key": "dbots-key-of-somebody-else"}, "400: Bot not manageable"),
        ("dbots.get_api", {"user_key": "expired"}, "500: Cannot read properties of undefined"),
        ("lbots.post_stats", {"token": "wrong"}, "401: Unauthorized"),
        ("lbots.get_favourites", {"bot_id": 1}, "404: Bot does not exist"),
    ],
    ids=as_id,
)
def test_what_the_services_refuse(call: str, changed: Any, text: str, sandbox: Sandbox) -> None:
    service, method = call.split(".")
    given = {
        "dbots": {"token": sandbox.dbots_token, "base_url": sandbox.dbots_url},
        "lbots": {"token": sandbox.lbots_token, "base_url": sandbox.lbots_url},
    }[service]
    client = CLIENTS[service](**{"bot_id": BOT, **given, **changed})
    with pytest.raises(getattr(botlists, KINDS[int(text[:3])]), match=f"^.Bots: {text}") as caught:
        do(client, method)
    assert caught.value.retry_after is None


def test_dbots_own_limiter_sends_a_text_and_a_retry_after(sandbox: Sandbox) -> None:
    sandbox.rate_limits["dbots"] = (0, 60.0)
    dbots = DBotsClient(BOT, sandbox.dbots_token, base_url=sandbox.dbots_url)
    with pytest.raises(botlists.TooManyRequests) as caught:
        dbots.post_stats(1)
    assert str(caught.value) == "DBots: 429: You are being rate limited."
    assert caught.value.retry_after == 60


def test_a_wrong_path_gives_an_html_page_and_says_so(sandbox: Sandbox) -> None:
    dbots = DBotsClient(BOT, sandbox.dbots_token, base_url=sandbox.url_for("/page"))
    with pytest.raises(botlists.InvalidResponse, match="^DBots: 200: .* an HTML page$"):
        dbots.post_stats(1)


@cases(
    "http_status, code, status",
    {
        "200 but 401": (200, 401, 401),
        "404 but 403": (404, 403, 403),
        "200 but 429": (200, 429, 429),
        "302 but 503": (302, 503, 503),
        "404 but 400": (404, 400, 400),
        "200 is no error status": (200, 200, 200),
        "399 is no error status": (404, 399, 404),
        "true is no number": (200, True, 200),
        "a string is no number": (404, "403", 404),
    },
)
def test_success_false_is_an_error_whose_status_code_chooses_the_class(
    http_status: int, code: Any, status: int
) -> None:
    body = {"success": False, "error": "because", "favourites": 1, "status_code": code}
    error, _ = play("lbots.get_favourites", response(http_status, body), retries=0)
    assert type(error).__name__ == KINDS.get(status, "APIError")
    assert (error.status, error.message) == (status, "because")


@pytest.mark.parametrize("status", [200, 401, 410, 503])
@pytest.mark.parametrize("call", ["dbots.post_stats", "lbots.post_stats"])
def test_deprecated_whatever_the_status(status: int, call: str, naps: list[float]) -> None:
    body = {"status_code": status, "success": status == 200, "error": "DEPRECATED"}
    error, received = play(call, response(status, body))
    assert type(error) is botlists.DeprecatedEndpoint
    assert (error.status, error.sent, len(received)) == (status, True, 1)


REASON, REASON_OF_PAGE = "The Reason", "The Reason (the response is an HTML page)"
LIMITED, LONG = "You are being rate limited.", "word " * 40


@pytest.mark.parametrize("declared", ["", "text/html; charset=utf-8", "Text/HTML"])
@cases(
    "body, message",
    {
        "message": ({"message": "mine", "error": "other"}, "mine"),
        "text": (LIMITED.encode(), LIMITED),
        "text of two lines": (b"5 a minute,\ntry later.\n", "5 a minute, try later."),
        "one word": (b"Banned", "Banned"),
        "text of 199 characters": (LONG.encode(), LONG.strip()),
        "text of a CDN": (b"error code: 1010", "error code: 1010"),
        "message is a number": ({"message": 5}, REASON),
        "message is blank": ({"message": " "}, REASON),
        "message is missing": ({"detail": "x"}, REASON),
        "nothing": (b"", REASON),
        "text of 201 characters": (LONG.encode() + b"!", REASON),
        "markup": (b"Error <b>502</b>", None),
        "deep JSON": (b"[" * 200, REASON),
        "cut object": (b'{"token": "cut', REASON),
        "cut list": (b'["a b', REASON),
        "null": (b"null", REASON),
        "cut string": (b'"x y', REASON),
        "compressed": (gzip.compress(b"some words"), REASON),
        "page": (PAGE.encode(), REASON_OF_PAGE),
        "page without doctype": (b"<html>\r\n<b>502</b>", REASON_OF_PAGE),
        "page after blanks": (b"\n <HTML lang=en>", REASON_OF_PAGE),
        "page with text": (b"<!DOCTYPE HTML><p>a b", REASON_OF_PAGE),
    },
)
def test_message_is_the_services_or_a_short_text_or_the_reason(
    body: Any, message: str | None, declared: str
) -> None:
    headers = {"Content-Type": declared} if declared else {}
    error, _ = play("dbots.post_stats", response(403, body, reason="The Reason", **headers))
    if message is None:  # markup that is HTML only if it is declared as such
        message = REASON_OF_PAGE if declared else REASON
    assert error.message == message


def refusal_text(message: str) -> str:
    return str(play("dbots.post_stats", response(400, {"message": message}))[0])


@cases(
    "message, text",
    {
        "control characters": ("a\r\nb\x1b[31m\0\x85\u2028c", "a  b [31m   c"),
        "right-to-left": ("a\u202eb", "a b"),
        "soft hyphen": ("a\u00adb", "a b"),
        "Arabic letter mark": ("a\u061cb", "a b"),
        "zero-width space": ("a\u200bb", "a b"),
        "byte order mark": ("a\ufeffb", "a b"),
        "language tag": ("a\U000e0001b", "a b"),
        "surrogate": ("a\ud800b", "a b"),
        "300 characters": ("d" * 288, "d" * 288),
        "301 characters": ("d" * 289, "d" * 285 + "..."),
    },
)
def test_the_text_of_an_error_is_one_clean_line_of_300_characters(message: str, text: str) -> None:
    shown = refusal_text(message)
    assert shown == f"DBots: 400: {text}"
    assert len(shown) <= 300 and shown.isprintable()


class Failure(NamedTuple):
    """How a call fails: by the bytes that a peer sends, or by a port where nobody listens."""

    kind: str
    sent: bool
    reply: Reply | None = b""  # None: nobody listens
    calls: int = 1  # the last of which fails
    timeout: float = 10.0


FAILURES = {
    "refused connection": Failure("TransportError", False, None),
    "closed connection": Failure("TransportError", True, b""),
    "silence": Failure("TransportTimeout", True, silence, timeout=0.1),
    "not HTTP": Failure("TransportError", True, b"SSH-2.0-OpenSSH_9.6\r\n\r\n"),
    "not JSON": Failure("InvalidResponse", True, response(200, b"-")),
    "redirect": Failure("InvalidResponse", True, response(302, Location="/elsewhere")),
    "401": Failure("Unauthorized", True, response(401)),
    "429": Failure("TooManyRequests", True, response(429)),
    "503": Failure("ServerError", True, response(503)),
    "own rate limit": Failure("TooManyRequests", False, response(body=DONE), calls=21),
}
each_failure = cases("failure", FAILURES)


def fail(failure: Failure, token: str = TOKEN, user_key: str = USER_KEY) -> list[Any]:
    """The errors of calls that fail this way: LBots', and except for rate limits DBots' two."""
    errors = []
    with Peer(failure.reply or b"") as peer:
        url = f"http://127.0.0.1:{unused_port()}" if failure.reply is None else peer.url
        given: Any = {"base_url": url, "timeout": failure.timeout, "retries": 0, "max_wait": 0}
        lbots = LBotsClient(BOT, token, **given)
        dbots = DBotsClient(BOT, token, user_key=user_key, **given)
        calls: list[Any] = [partial(lbots.post_stats, 4242)]
        if failure.calls == 1:
            calls += [partial(dbots.post_stats, 4242), dbots.get_log]
        for call in calls:
            for _ in range(failure.calls - 1):
                call()
            with pytest.raises(getattr(botlists, failure.kind)) as caught:
                call()
            errors.append(caught.value)
        dbots.close()
        lbots.close()
    return errors


@each_failure
def test_every_error_says_which_service_and_whether_it_may_have_been_sent(
    failure: Failure,
) -> None:
    for error in fail(failure):
        assert type(error).__name__ == failure.kind
        assert error.sent is failure.sent
        assert error.service in ("DBots", "LBots")
        assert str(error).startswith(f"{error.service}: ")


@each_failure
def test_every_error_can_be_pickled_with_its_attributes(failure: Failure) -> None:
    for error in fail(failure):
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            copy = pickle.loads(pickle.dumps(error, protocol))
            assert (type(copy), vars(copy), copy.sent) == (type(error), vars(error), error.sent)
            assert (str(copy), repr(copy)) == (str(error), repr(error))


# What urllib3 raises, and what it wraps.
CAUSES = (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError)


@each_failure
def test_the_cause_is_kept_but_nothing_behind_an_error_has_a_traceback(failure: Failure) -> None:
    for error in fail(failure):
        if isinstance(error, botlists.TransportError):
            assert isinstance(error.__cause__, CAUSES)
        assert [each for each in behind(error) if each.__traceback__ is not None] == []


@each_failure
def test_an_exception_that_the_caller_is_handling_keeps_its_traceback(failure: Failure) -> None:
    try:
        raise ValueError("the caller's own")
    except ValueError as error:
        own, trace = error, error.__traceback__
        fail(failure)
    assert own.__traceback__ is trace is not None


@each_limited_endpoint
def test_the_clients_own_limit_is_an_error_that_says_what_was_not_sent(endpoint: Endpoint) -> None:
    requests, seconds = endpoint.limit  # type: ignore[misc]
    with Peer(GOOD) as peer, lbots_at(peer, max_wait=0) as client:
        for _ in range(requests):
            do(client, endpoint.method)
        text = f"^LBots: not sent: .*{requests} requests in {seconds:g} s"
        with pytest.raises(botlists.TooManyRequests, match=text) as caught:
            do(client, endpoint.method)
        assert len(peer.received) == requests
    error = caught.value
    assert (error.status, error.body, error.sent, error.__cause__) == (429, b"", False, None)
    assert error.retry_after is not None and 0 < error.retry_after <= seconds
    assert "429" not in str(error)


# Errors: secrets


def test_secrets_are_masked_in_what_a_service_says_and_in_the_log(caplog: Log) -> None:
    caplog.set_level(logging.DEBUG)
    echo = response(503, {"message": f"bad {TOKEN}, {USER_KEY}!"}, reason=TOKEN)
    error, _ = play("dbots.post_stats", echo, max_wait=0)
    assert str(error) == "DBots: 503: bad ***, ***!"
    assert error.message == "bad ***, ***!"
    assert TOKEN not in caplog.text and USER_KEY[:18] not in caplog.text


@pytest.mark.parametrize("status", [200, 302, 401, 503])
@cases(
    "echo",
    {
        "in a text": {"body": f"No {USER_KEY}{TOKEN}".encode()},
        "in the reason phrase": {"reason": f"{TOKEN} {USER_KEY}"},
        "in Location": {"Location": f"/{TOKEN}?{USER_KEY}"},
        "in a message": {"body": {"message": f"bad {TOKEN}, {USER_KEY}!"}},
    },
)
def test_secrets_that_a_service_echoes_are_not_shown(
    status: int, echo: Any, caplog: Log, naps: list[float]
) -> None:
    caplog.set_level(logging.DEBUG)
    error, _ = play("dbots.post_stats", response(status, **echo))
    shown = text_of(error) + caplog.text + repr(getattr(error, "message", ""))
    assert TOKEN not in shown and USER_KEY[:18] not in shown


# repr() doubles a backslash and escapes a quote.
@pytest.mark.parametrize("token", [TOKEN, "a\\b'c\"d\\e"], ids=["plain", "changed by repr"])
@cases(
    "line",
    {
        "alone": "{}",
        "with HTTP in front": "HTTP/1.1 {}",
        "as a chunk size": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        "as a length": "HTTP/1.1 200 OK\r\nContent-Length: {0}, {0}1\r\n\r\n{0}",
    },
)
def test_a_secret_that_comes_back_as_a_line_of_the_protocol_is_not_shown(
    line: str, token: str, naps: list[float], caplog: Log
) -> None:
    caplog.set_level(logging.DEBUG, "botlists")
    reply = send_and_close(f"{line.format(token)}\r\n\r\n".encode())
    with Peer(reply) as peer, LBotsClient(BOT, token, base_url=peer.url) as lbots:
        error = raised(lbots.post_stats, 1)
    shown = str(error) + caplog.text
    for secret in (token, repr(token)[1:-1]):
        assert secret not in shown


@cases(
    "token, user_key",
    {
        "the token is the longer": ("abc-secret-longer", "abc-secret"),
        "the key is the longer": ("abc-secret", "abc-secret-longer"),
    },
)
def test_of_two_secrets_of_which_one_contains_the_other_the_longer_is_masked(
    token: str, user_key: str
) -> None:
    echo = response(401, {"message": "it was abc-secret-longer, or abc-secret"})
    with Peer(echo) as peer:
        dbots = DBotsClient(BOT, token, user_key=user_key, base_url=peer.url)
        assert raised(dbots.get_log).message == "it was ***, or ***"


BASIC = base64.b64encode(b"us3r:passw0rd").decode()


@pytest.mark.parametrize("own_pool", [False, True], ids=["environment", "a user's pool"])
@pytest.mark.parametrize("echo", ["us3r:passw0rd", "passw0rd", f"Basic {BASIC}", BASIC])
def test_a_proxys_password_in_a_refused_connect_is_not_shown(
    echo: str, own_pool: bool, monkeypatch: Patch, naps: list[float], caplog: Log
) -> None:
    caplog.set_level(logging.DEBUG, "botlists")
    with Peer(response(407, reason=f"wrong: {echo}", Connection="close")) as proxy:
        monkeypatch.setenv("https_proxy", f"http://us3r:passw0rd@127.0.0.1:{proxy.port}")
        headers = {"X-Bot": "1", "Proxy-Authorization": f"Basic {BASIC}"}
        pool = urllib3.ProxyManager(proxy.url, proxy_headers=headers) if own_pool else None
        lbots = LBotsClient(BOT, TOKEN, base_url="https://lists.example", pool=pool)
        error = raised(lbots.post_stats, 1)
        assert proxy.received[0].headers["Proxy-Authorization"] == f"Basic {BASIC}"
    assert type(error) is botlists.TransportError and "407" in str(error)
    shown = str(error) + caplog.text
    assert "passw0rd" not in shown and BASIC not in shown


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize(
    "body",
    [
        b'{"token": "new/t0ken"',
        b'"new/t0ken',
        b'{"token": "new/t0ken", "x',
        b'{"key": "new/t0ken"}',
        b"<p>new/t0ken</p>",
    ],
    ids=as_id,
)
def test_a_new_token_that_cannot_be_read_is_kept_in_the_body_and_not_shown(
    body: bytes, status: int
) -> None:
    error, _ = play("dbots.regenerate_key", response(status, body))
    assert "new/t0ken" not in text_of(error) + repr(getattr(error, "message", ""))
    assert error.body == body


def variables_in_traceback(error: BaseException) -> str:
    stack = traceback.TracebackException.from_exception(error, capture_locals=True)
    return "".join(stack.format())


def variables_in_loguru(error: BaseException) -> str:
    logger = pytest.importorskip("loguru").logger
    lines: list[str] = []
    sink = logger.add(lines.append, format="", diagnose=True, backtrace=False)
    logger.opt(exception=error).error("")
    logger.remove(sink)
    return "".join(lines)


def variables_in_rich(error: BaseException) -> str:
    extract = pytest.importorskip("rich.traceback").Traceback.extract
    trace = extract(type(error), error, error.__traceback__, show_locals=True)
    return "".join(str(frame.locals) for stack in trace.stacks for frame in stack.frames)


def from_botlists(error: BaseException) -> BaseException:
    """The error without the functions of this file, whose variables have the secrets."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return error.with_traceback(trace)


TOOLS = {
    "traceback": variables_in_traceback,
    "loguru": variables_in_loguru,
    "rich": variables_in_rich,
}


@pytest.mark.parametrize("length", [20, 200])
@cases("tool", TOOLS)
@each_failure
def test_tools_that_print_variables_show_no_secret(
    failure: Failure, tool: Callable[[BaseException], str], length: int
) -> None:
    token, user_key = "t0ken/of-the-bot+".ljust(length, "="), "k3y/of-a-user-as+".ljust(length, "-")
    shown = "".join(tool(from_botlists(error)) for error in fail(failure, token, user_key))
    assert "4242" in shown or tool is variables_in_loguru  # it does print variables
    assert token[:17] not in shown and user_key[:17] not in shown


@cases("tool", TOOLS)
def test_tools_that_print_variables_show_no_password_of_a_proxy(
    tool: Callable[[BaseException], str], monkeypatch: Patch
) -> None:
    with Peer(response(407, Connection="close")) as proxy:
        monkeypatch.setenv("https_proxy", f"http://us3r:passw0rd@127.0.0.1:{proxy.port}")
        lbots = LBotsClient(BOT, TOKEN, base_url="https://lists.example", max_wait=0)
        shown = tool(from_botlists(raised(lbots.post_stats, 4242)))
    assert "passw0rd" not in shown and BASIC not in shown


@cases("tool", TOOLS)
def test_tools_that_print_variables_show_no_secret_beyond_the_constructors_arguments(
    tool: Callable[[BaseException], str],
) -> None:
    with pytest.raises(ValueError, match="base_url") as caught:
        DBotsClient(BOT, TOKEN, user_key=USER_KEY, base_url="ftp://dbots.co")
    trace = from_botlists(caught.value).__traceback__
    assert trace is not None
    shown = tool(caught.value.with_traceback(trace.tb_next))  # within the constructor
    assert "ftp://dbots.co" in shown
    assert TOKEN not in shown and USER_KEY[:18] not in shown


# Errors: transport


@pytest.mark.parametrize("own_pool", [False, True], ids=["own connections", "a user's pool"])
@cases(
    "data",
    {
        "closed": b"",
        "not HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
        "a long header": b"HTTP/1.1 200 OK\r\na: " + b"b" * 10**6 + b"\r\n\r\n",
        "a cut body": b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"guildCount": 1}',
        "a bad chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        "chunk size -5": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n{}\r\n",
        "chunk size below -2**63": (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-%x\r\n" % 2**99
        ),
        "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\n{}",
    },
)
def test_a_broken_response_is_a_transport_error_and_the_client_goes_on(
    data: bytes, own_pool: bool
) -> None:
    pool = urllib3.PoolManager(maxsize=1, block=True) if own_pool else None
    with Peer(send_and_close(data), GOOD) as peer, dbots_at(peer, pool=pool, timeout=5) as dbots:
        text = f"^DBots: no complete response: 127.0.0.1:{peer.port}: "
        with pytest.raises(botlists.TransportError, match=text) as lost:
            dbots.regenerate_key()
        assert (type(lost.value), lost.value.sent) == (botlists.TransportError, True)
        assert isinstance(lost.value.__cause__, CAUSES)
        assert len(str(lost.value)) <= 300 and str(lost.value).isprintable()
        assert len(peer.received) == 1
        assert dbots.post_stats(1) == 1


@contextlib.contextmanager
def full_backlog() -> Iterator[str]:
    """The address of a listener that accepts no more connections: connecting times out."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(9)]
        sockets[0].bind(("127.0.0.1", 0))
        sockets[0].listen(0)
        for filler in sockets[1:]:
            filler.setblocking(False)
            filler.connect_ex(sockets[0].getsockname())
        yield f"127.0.0.1:{sockets[0].getsockname()[1]}"


@pytest.mark.parametrize("method", ["get_log", "regenerate_key"])
@cases(
    "where, kind, why",
    {
        "refused connection": ("unused port", "TransportError", "refused"),
        "unknown name": ("name.invalid", "TransportError", "Name or service not known"),
        "unknown name and port": ("name.invalid:8080", "TransportError", "not known"),
        "connect timeout": ("full backlog", "TransportTimeout", "timed out"),
    },
)
def test_what_was_certainly_not_sent_says_so_names_the_host_and_is_retried(
    where: str, kind: str, why: str, method: str, naps: list[float], names: Any
) -> None:
    with full_backlog() as full:
        places = {"unused port": f"127.0.0.1:{unused_port()}", "full backlog": full}
        host = places.get(where, where)
        timeout = 0.1 if host == full else 5
        url = f"http://{host}/api/v1"
        with DBotsClient(BOT, user_key=USER_KEY, base_url=url, timeout=timeout) as dbots:
            text = f"^DBots: not sent: {re.escape(host)}: .*{why}"
            with pytest.raises(botlists.TransportError, match=text) as caught:
                do(dbots, method)
    assert (type(caught.value).__name__, caught.value.sent, len(naps)) == (kind, False, 2)
    assert isinstance(caught.value.__cause__, CAUSES)


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("place", ["name.invalid", "name.invalid:8080"])
def test_a_failure_at_a_proxy_names_the_host_and_the_proxy(
    scheme: str, place: str, monkeypatch: Patch
) -> None:
    proxy = f"http://127.0.0.1:{unused_port()}"
    monkeypatch.setenv("all_proxy", proxy)
    with LBotsClient(BOT, TOKEN, base_url=f"{scheme}://{place}", retries=0) as lbots:
        text = f"^LBots: not sent: {place} via proxy {proxy}: .*refused"
        with pytest.raises(botlists.TransportError, match=text) as caught:
            lbots.post_stats(1)
    assert caught.value.sent is False


@cases(
    "data",
    {
        "nothing": b"",
        "half of the head": b"HTTP/1.1 200 OK\r\n",
        "a cut body": response(200, b"{}")[:-1],
    },
)
def test_a_silent_service_is_a_timeout(data: bytes) -> None:
    def stop_there(connection: socket.socket) -> None:
        connection.sendall(data)
        silence(connection)

    started = time.monotonic()
    error, _ = play("dbots.get_api", stop_there, timeout=0.2, retries=0)
    assert 0.2 <= time.monotonic() - started < 2
    assert (type(error), error.sent) == (botlists.TransportTimeout, True)
    assert re.match(r"DBots: no complete response: 127\.0\.0\.1:\d+: .*timed out", str(error))
    assert isinstance(error.__cause__, CAUSES)


def test_the_timeout_is_for_each_wait_not_for_the_sum() -> None:
    def drip(connection: socket.socket) -> None:
        for byte in response(body={"guildCount": 8}, reason=""):
            connection.sendall(bytes([byte]))
            time.sleep(0.01)

    assert play("dbots.post_stats", drip, timeout=0.3, retries=0)[0] == 8


ATTEMPTS = {
    "lost": b"",
    "429": response(429, Connection="close"),
    "503": response(503, Connection="close"),
}


@pytest.mark.parametrize(
    ("method", "attempts", "text"),
    [
        ("get_log", "lost refused refused", "no complete response"),
        ("get_log", "refused lost unknown", "no complete response"),
        ("get_log", "503 lost refused", "no complete response"),
        ("get_log", "503 refused unknown", "503"),
        ("get_log", "lost 503 refused", "503"),
        ("get_log", "refused unknown 503", "503"),
        ("get_log", "refused refused unknown", "not sent: .*not known"),
        ("get_log", "unknown unknown refused", "not sent: .*refused"),
        ("regenerate_key", "429 lost", "no complete response"),
        ("regenerate_key", "429 refused refused", "429"),
        ("regenerate_key", "refused lost", "no complete response"),
        ("regenerate_key", "refused 503", "503"),
    ],
)
def test_the_error_raised_is_that_of_the_last_attempt_that_may_have_reached_the_service(
    method: str, attempts: str, text: str, names: Any, naps: list[float]
) -> None:
    replies = [ATTEMPTS[each] for each in attempts.split() if each in ATTEMPTS]
    with Peer(*replies, GOOD) as peer:
        ports = {"refused": unused_port(), "unknown": None}
        names["lists.example"] = iter([ports.get(each, peer.port) for each in attempts.split()])
        dbots = DBotsClient(BOT, user_key=USER_KEY, base_url="http://lists.example")
        error = raised(do, dbots, method)
        dbots.close()
        assert re.search(text, str(error))
        assert error.sent is ("not sent" not in text)
        assert len(naps) == len(attempts.split()) - 1


# Results


def test_results_are_immutable_named_tuples() -> None:
    favourite = botlists.Favourite(FAN, True, None)
    with pytest.raises(AttributeError):
        favourite.favourited = False  # type: ignore[misc]
    assert favourite._fields == ("user_id", "favourited", "time")
    assert botlists.AuditLog._fields == ("bot_id", "changes")
    assert botlists.AuditChange._fields == ("at", "by", "old", "new")
    assert botlists.ApiDocument._fields == ("bot_id", "token", "vote_webhook_url")


@pytest.mark.parametrize("favourited", [False, True])
def test_a_favourite_is_true_if_the_user_has_favourited(favourited: bool) -> None:
    assert bool(botlists.Favourite(FAN, favourited, None)) is favourited


def test_the_repr_of_an_api_document_hides_the_token() -> None:
    document = botlists.ApiDocument(BOT, TOKEN, URL)
    assert TOKEN not in f"{document} {document!r} {[document]}"
    assert BOT in repr(document) and URL in repr(document)


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

    def __repr__(self) -> str:
        return f"Index({self.value})"


class Loud(int):
    """An int that prints as something else, as members of enums do."""

    __str__ = __repr__ = lambda self: "../1"


each_client = pytest.mark.parametrize("client", CLIENTS.values(), ids=list(CLIENTS))


@each_client
@cases(
    "bot_id",
    {"str": BOT, "int": int(BOT), "index": Index(int(BOT)), "enum": Loud(BOT), "00": f"00{BOT}"},
)
def test_attributes_and_repr(bot_id: Any, client: Any) -> None:
    lists = client(bot_id, TOKEN, base_url="http://example.com/api/v1/")  # the slash is fine
    assert (lists.bot_id, lists.base_url) == (BOT, "http://example.com/api/v1")
    name = client.__name__
    assert repr(lists) == f"{name}(bot_id='{BOT}', base_url='http://example.com/api/v1')"


@pytest.mark.parametrize("highest", [2**64 - 1, str(2**64 - 1)], ids=["int", "str"])
def test_the_highest_id_is_accepted(highest: Any) -> None:
    assert DBotsClient(highest, TOKEN).bot_id == "18446744073709551615"


def sent_by(endpoint: Endpoint) -> Received:
    """What a request of this endpoint has beside the headers of HTTP."""
    secret = {
        "dbots.token": "dbots-token-1",
        "dbots.user_key": "dbots-user-key",
        "lbots.token": "lbots-token-1",
    }[f"{endpoint.service}.{endpoint.credential}"]
    headers = {"Authorization": secret, "User-Agent": f"botlists/{botlists.__version__}"}
    body = b""
    if endpoint.body is not None:
        headers["Content-Type"] = "application/json"
        body = json.dumps(endpoint.body).encode()
    path = f"/{endpoint.service}/api/v1/bots/{BOT}/{endpoint.path}"
    return Received(0.0, endpoint.verb, path, headers, body)


@each_endpoint
def test_a_call_sends_what_the_document_asks_for_and_returns_what_it_promises(
    endpoint: Endpoint, sandbox: Sandbox
) -> None:
    result = do(clients_of(sandbox)[endpoint.service], endpoint.method)
    assert result == endpoint.result
    [request] = sandbox.received
    expected = sent_by(endpoint)
    names = ("Authorization", "User-Agent", "Content-Type")
    headers = {name: request.headers[name] for name in names if name in request.headers}
    assert request._replace(at=0.0, headers=headers) == expected


NO_GUILDS = {"guild_count": 0, "shard_id": 0, "shard_count": 4}
NO_SHARD = {"guild_count": 19902, "shard_count": 19}


@pytest.mark.parametrize(
    ("call", "arguments", "body"),
    [
        ("dbots.post_stats", {"guild_count": 0}, {"guildCount": 0}),
        ("dbots.post_stats", {"guild_count": Index(2**53 - 1)}, {"guildCount": 2**53 - 1}),
        ("dbots.edit_api", {"vote_webhook_url": "any text"}, {"voteWebhookURL": "any text"}),
        ("dbots.edit_api", {"vote_webhook_url": None}, {"voteWebhookURL": None}),
        ("lbots.post_stats", NO_SHARD, NO_SHARD),
        ("lbots.post_stats", NO_GUILDS, NO_GUILDS),
        (
            "lbots.post_stats",
            {"guild_count": Loud(7), "shard_id": 2},
            {"guild_count": 7, "shard_id": 2},
        ),
    ],
    ids=as_id,
)
def test_a_body_has_each_argument_that_is_given_0_and_none_included(
    call: str, arguments: Any, body: Any, sandbox: Sandbox
) -> None:
    service, method = call.split(".")
    getattr(clients_of(sandbox)[service], method)(**arguments)
    assert sandbox.received[0].body == json.dumps(body).encode()


def test_dbots_edit_api_returns_what_the_service_has_stored(sandbox: Sandbox) -> None:
    dbots = clients_of(sandbox)["dbots"]
    assert dbots.edit_api(vote_webhook_url="any text").vote_webhook_url == "any text"
    assert dbots.edit_api(vote_webhook_url=None).vote_webhook_url is None


@pytest.mark.parametrize("user", ["0042", 42, Loud(42)], ids=["str", "int", "enum"])
def test_lbots_has_favourited_asks_for_the_plain_id(user: Any, sandbox: Sandbox) -> None:
    assert clients_of(sandbox)["lbots"].has_favourited(user) == (42, False, None)
    assert sandbox.received[0].path.endswith("/favourites/user/42")


@pytest.mark.parametrize("american", ["get_favorites", "has_favorited"])
def test_an_american_name_is_the_same_method(american: str) -> None:
    assert getattr(LBotsClient, american) is getattr(
        LBotsClient, american.replace("favor", "favour")
    )


@pytest.mark.parametrize("name", ["favourites", "favorites"])
def test_lbots_get_favourites_reads_either_spelling(name: str) -> None:
    assert play("lbots.get_favourites", response(body={**DONE, name: 30}))[0] == 30


@pytest.mark.parametrize("name", ["favourited", "favorited"])
def test_lbots_has_favourited_reads_either_spelling_and_tells_the_user_asked_for(name: str) -> None:
    document: Any = {**DONE, "time": None, name: True, "user": 1, "more": []}
    assert play("lbots.has_favourited", response(body=document))[0] == (FAN, True, None)


CHANGE = {
    "at": "2020-08-07T12:56:27.100Z",
    "by": str(STRANGER),
    "changes": {"old": {"a": 1}, "new": {"a": [2]}},
    "unknown": True,
}
BARE = {"at": CHANGE["at"], "by": CHANGE["by"]}


@cases(
    "changes, states",
    {
        "one object, as documented": (CHANGE, [({"a": 1}, {"a": [2]})]),
        "a list, as the service sends it": ([CHANGE], [({"a": 1}, {"a": [2]})]),
        "none": ([], []),
        "a save that changed nothing": ([BARE, CHANGE], [({}, {}), ({"a": 1}, {"a": [2]})]),
        "a removal": ([{**BARE, "changes": {"old": {"tags": []}}}], [({"tags": []}, {})]),
        "an addition": ([{**BARE, "changes": {"new": {"tags": []}}}], [({}, {"tags": []})]),
        "neither old nor new": ([{**BARE, "changes": {}}], [({}, {})]),
    },
)
def test_dbots_get_log_accepts_what_the_service_leaves_out(changes: Any, states: Any) -> None:
    body = {"_id": BOT, "changes": changes, "analytics": {}}
    log, _ = play("dbots.get_log", response(body=body))
    assert log.bot_id == BOT
    assert list(log.changes) == [(EDITED, str(STRANGER), old, new) for old, new in states]
    assert all(type(change) is botlists.AuditChange for change in log.changes)


def test_dbots_has_no_success_and_ignores_unknown_keys() -> None:
    body = {"guildCount": 1, "success": False, "status_code": 401, "error": "x", "message": "y"}
    assert play("dbots.post_stats", response(body=body))[0] == 1


@pytest.mark.parametrize("documented", [True, False])
def test_dbots_regenerate_key_works_on_either_path_and_drops_the_webhook(
    sandbox: Sandbox, documented: bool
) -> None:
    dbots = clients_of(sandbox)["dbots"]
    sandbox.documented_rotation = documented
    dbots.edit_api(vote_webhook_url=URL)
    del sandbox.received[:]
    assert dbots.regenerate_key() == sandbox.dbots_token == "dbots-token-2"
    paths = [request.path.split(BOT)[1] for request in sandbox.received]
    assert paths == ["/keys/regen", "/key/regen"][: 1 if documented else 2]
    assert dbots.get_api() == (BOT, "dbots-token-2", None)


@pytest.mark.parametrize("path", ["keys", "key"])
@cases(
    "reply, kind",
    {
        "lost": (b"", "TransportError"),
        "401": (response(401), "Unauthorized"),
        "500": (response(500), "ServerError"),
        "a page": (response(200, PAGE.encode()), "InvalidResponse"),
        "deprecated": (response(404, {"error": "DEPRECATED"}), "DeprecatedEndpoint"),
    },
)
def test_dbots_regenerate_key_tries_the_second_path_on_not_found_only(
    reply: bytes, kind: str, path: str, naps: list[float]
) -> None:
    not_found = [response(404, PAGE.encode())] if path == "key" else []
    with Peer(*not_found, reply, GOOD) as peer, dbots_at(peer) as dbots:
        with pytest.raises(getattr(botlists, kind)):
            dbots.regenerate_key()
        asked = [request.path.split("/")[3] for request in peer.received]
        assert asked == ["keys", "key"][: 1 + len(not_found)]
        assert naps == []
        assert dbots.post_stats(1) == 1
        assert peer.received[-1].headers["Authorization"] == TOKEN


def test_dbots_regenerate_key_of_a_bot_that_is_gone_is_not_found(naps: list[float]) -> None:
    error, received = play("dbots.regenerate_key", response(404), response(404), GOOD)
    assert type(error) is botlists.NotFound
    assert [request.path.split("/")[3] for request in received] == ["keys", "key"]


@pytest.mark.parametrize("before", ["lost-in-a-rotation", None])
@pytest.mark.parametrize("method", ["regenerate_key", "get_api", "edit_api"])
def test_each_response_with_the_token_replaces_the_clients(
    method: str, before: str | None, sandbox: Sandbox
) -> None:
    given: Any = {"user_key": sandbox.user_key, "base_url": sandbox.dbots_url}
    with DBotsClient(BOT, before, **given) as client:
        with pytest.raises((botlists.Unauthorized, ValueError)):
            client.post_stats(1)
        do(client, method)
        assert client.post_stats(5) == sandbox.guild_count == 5


def test_each_attempt_uses_the_current_token(naps: list[float]) -> None:
    def rotate(connection: socket.socket) -> None:
        client.get_api()  # as another thread may do at any time
        connection.sendall(response(503))

    with Peer(rotate, GOOD) as peer, dbots_at(peer) as client:
        client.post_stats(1)
        used = [request.headers["Authorization"] for request in peer.received]
        assert used == [TOKEN, USER_KEY, "t"]


@cases(
    "counts, shard_count, sent",
    {
        "list": ([5, 0, 7], None, [(5, 0, 3), (0, 1, 3), (7, 2, 3)]),
        "range": (range(1, 3), None, [(1, 0, 2), (2, 1, 2)]),
        "tuple, with more shards": ((1, 2), 8, [(1, 0, 8), (2, 1, 8)]),
        "mapping": ({5: 50, 0: 1}, 6, [(50, 5, 6), (1, 0, 6)]),
        "read-only mapping": (types.MappingProxyType({2: 5}), 3, [(5, 2, 3)]),
        "another sequence": (collections.UserList([4, 6]), None, [(4, 0, 2), (6, 1, 2)]),
    },
)
def test_lbots_post_shard_stats_posts_each_shard_and_tells_the_progress(
    counts: Any, shard_count: int | None, sent: Any, sandbox: Sandbox
) -> None:
    seen: list[tuple[int, int]] = []
    clients_of(sandbox)["lbots"].post_shard_stats(
        counts, shard_count=shard_count, progress=lambda *progress: seen.append(progress)
    )
    keys = ("guild_count", "shard_id", "shard_count")
    assert [request.json for request in sandbox.received] == [dict(zip(keys, s)) for s in sent]
    assert seen == [(done, len(sent)) for done in range(1, len(sent) + 1)]
    assert sandbox.total == sum(count for count, _, _ in sent)


def test_the_shards_before_one_that_fails_are_posted(naps: list[float]) -> None:
    seen: list[int] = []
    done = response(body=DONE)
    with Peer(done, done, response(400)) as peer, lbots_at(peer) as lbots:
        with pytest.raises(botlists.BadRequest):
            lbots.post_shard_stats([1] * 5, progress=lambda done, _: seen.append(done))
        assert (len(peer.received), seen) == (3, [1, 2])


def test_200_shards_need_no_larger_max_wait_and_one_connection(naps: list[float]) -> None:
    with Peer(response(body=DONE)) as peer, lbots_at(peer) as lbots:
        lbots.post_shard_stats([1] * 200)
        assert (len(peer.received), peer.connections) == (200, 1)
    assert 40 < sum(naps) <= 45


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


# Arguments

COUNTS = [-1, 2**53, 2**70, True, 1.5, "893", None, b"1", Index(-1), float("nan")]
IDS = [
    "../1",
    "１２３",
    0,
    2**64,
    -1,
    True,
    1.0,
    "",
    " 1",
    "1\n",
    "1_0",
    "+1",
    "0",
    None,
    b"1",
    2**70,
]
IDS += [str(2**64), "1" * 5000]
SECRETS = [
    "",
    " ",
    "t0k\n",
    "a\r\nX: 1",
    " t0k",
    "t0k ",
    "ключ",
    "a\0b",
    "a\x7f",
    5,
    b"t0k",
    f"{TOKEN}\n",
]
URLS = ["", "dbots.co", "ftp://dbots.co", "http://", "http:///x", "http://h:99999", 5, None, TOKEN]
URLS += ["http://dbots..co", f"http://{64 * 'h'}.co"]  # no host can have such a name
URLS += ["https://u:p@h/", "http://h/?q", "http://h/#f", "http://h/\n", "http://h\r", "http://h?"]
URLS += [
    "http://h/#",
    "http://h /",
    "http://h/a b",
    "http://h ",
    " http://h",
    f"https://u:{TOKEN}@h",
]
POST, SHARDS = "lbots.post_stats", "lbots.post_shard_stats"
# The name in the message, the call, and its arguments.
BAD_CALLS: list[tuple[str, str, dict[str, Any]]] = [
    *(("guild_count", "dbots.post_stats", {"guild_count": value}) for value in COUNTS),
    *(("guild_count", POST, {"guild_count": value}) for value in COUNTS),
    *(
        (name, POST, {"guild_count": 1, "shard_count": 4, name: value})
        for name in ("shard_id", "shard_count")
        for value in COUNTS
        if value is not None
    ),
    ("shard_id", POST, {"guild_count": 1, "shard_id": 4, "shard_count": 4}),
    ("shard_id", POST, {"guild_count": 1, "shard_id": -1}),
    ("shard_count", POST, {"guild_count": 1, "shard_count": 0}),
    ("shard_count", POST, {"guild_count": 1, "shard_id": 0, "shard_count": 0}),
    *(("guild_counts", SHARDS, {"guild_counts": [1, value]}) for value in COUNTS),
    ("guild_counts", SHARDS, {"guild_counts": []}),
    ("guild_counts", SHARDS, {"guild_counts": {}, "shard_count": 1}),
    ("guild_counts", SHARDS, {"guild_counts": {0: "1"}, "shard_count": 1}),
    ("shard_count", SHARDS, {"guild_counts": {0: 1}}),
    ("shard_count", SHARDS, {"guild_counts": {1: 1}, "shard_count": 1}),
    *(("shard_count", SHARDS, {"guild_counts": [1, 2], "shard_count": n}) for n in (1, 0, 2.0)),
    *(("shard_id", SHARDS, {"guild_counts": {k: 1}, "shard_count": 1}) for k in (-1, "0")),
    ("progress", SHARDS, {"guild_counts": [1], "progress": 55}),
    *(("user_id", "lbots.has_favourited", {"user_id": value}) for value in IDS),
    *(("vote_webhook_url", "dbots.edit_api", {"vote_webhook_url": v}) for v in (55, b"url")),
]
BAD_OPTIONS: dict[str, list[Any]] = {
    "bot_id": [*IDS, TOKEN],
    "token": SECRETS,
    "base_url": URLS,
    "timeout": [0, 0.0, -1, float("nan"), "10", None, True],
    "retries": [-1, 1.5, True, "10", None],
    "max_wait": [-1, float("nan"), "10", None, True],
    "pool": [55, urllib3.HTTPConnectionPool("localhost"), types.SimpleNamespace()],
}


def shows(message: str, value: Any) -> bool:
    """Whether a message shows the value. One character, None and a bare scheme may be chance."""
    values = [value, *value] if isinstance(value, list) else [value]
    texts = {as_text(value) for value in values for as_text in (str, repr)} - {"None", "http://"}
    return any(len(text) > 1 and text in message for text in texts)


@pytest.mark.parametrize(("name", "call", "given"), BAD_CALLS, ids=as_id)
def test_bad_arguments_of_a_call_are_named_but_not_shown_and_nothing_is_sent(
    sandbox: Sandbox, name: str, call: str, given: dict[str, Any]
) -> None:
    service, method = call.split(".")
    with pytest.raises((TypeError, ValueError), match=name) as caught:
        getattr(clients_of(sandbox)[service], method)(**given)
    assert not shows(str(caught.value), given.get(name))
    assert sandbox.received == []


@each_client
@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name, values in BAD_OPTIONS.items() for value in values],
    ids=as_id,
)
def test_bad_arguments_of_a_client_are_named_not_shown(client: Any, name: str, value: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{name} must ") as caught:
        client(**{"bot_id": BOT, "token": TOKEN, name: value})
    assert not shows(str(caught.value), value)
    assert TOKEN not in text_of(caught.value)


@pytest.mark.parametrize("value", SECRETS, ids=as_id)
def test_a_bad_user_key_is_named_not_shown(value: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="^user_key must ") as caught:
        DBotsClient(BOT, user_key=value)
    assert not shows(str(caught.value), value)


class Series:
    """Like pandas' Series: neither a Sequence nor a Mapping. Here its keys are shards 2 and 3."""

    counts = {2: 581, 3: 602}
    __getitem__, __len__ = counts.__getitem__, counts.__len__
    keys, items = counts.keys, counts.items

    def __iter__(self) -> Iterator[int]:
        return iter(self.counts.values())


@cases(
    "counts",
    {
        **{ascii(counts): counts for counts in (5, None, "12", b"12", bytearray(b"12"), {1, 2})},
        "memoryview": memoryview(b"12"),
        "dict view": {1: 2}.values(),
        "generator": (count for count in [1, 2]),
        "iterator": iter([1]),
        "object": object(),
        "Series": Series(),
    },
)
def test_shards_are_a_sequence_or_a_mapping_or_a_typeerror_that_says_so(
    counts: Any, sandbox: Sandbox
) -> None:
    with pytest.raises(TypeError, match="guild_counts must be a sequence.* or a mapping"):
        clients_of(sandbox)["lbots"].post_shard_stats(counts, shard_count=4)
    assert sandbox.received == []


QUOTED = ['"{}"', "'{}'", '"{}', "'{}", '{}"', "{}'"]


@pytest.mark.parametrize("name", ["token", "user_key"])
@pytest.mark.parametrize("quoted", QUOTED, ids=as_id)
def test_a_quoted_secret_is_refused_with_a_text_that_says_quotes(quoted: str, name: str) -> None:
    given: Any = {"token": "good", name: quoted.format(TOKEN)}
    with pytest.raises(ValueError, match=f"^{name} must .*quotes") as caught:
        DBotsClient(BOT, **given)
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("secret", ["a'b", 'a"b', "a b", "~!"])
def test_a_secret_may_be_any_other_printable_ascii(secret: str) -> None:
    with Peer(GOOD) as peer, LBotsClient(BOT, secret, base_url=peer.url) as lbots:
        lbots.post_stats(1)
        assert peer.received[0].headers["Authorization"] == secret


def test_an_lbots_client_needs_a_token() -> None:
    with pytest.raises(TypeError, match="token"):
        LBotsClient(BOT)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="token"):
        LBotsClient(BOT, None)  # type: ignore[arg-type]


def test_a_dbots_client_needs_a_token_or_a_user_key() -> None:
    with pytest.raises(ValueError, match="token.*user_key"):
        DBotsClient(BOT)


@cases("endpoint", {row.id: row for row in ENDPOINTS if row.service == "dbots"})
def test_a_method_whose_credential_was_not_given_is_a_valueerror_that_names_it(
    endpoint: Endpoint,
) -> None:
    other: Any = {"user_key" if endpoint.credential == "token" else "token": "the other"}
    with Peer(GOOD) as peer, DBotsClient(BOT, base_url=peer.url, **other) as dbots:
        with pytest.raises(ValueError, match=f"needs a {endpoint.credential}"):
            do(dbots, endpoint.method)
        assert peer.received == []


@pytest.mark.parametrize("value", [0.5, 3, 1e9, float("inf")])
def test_seconds_may_be_any_number(value: float) -> None:
    options = {"timeout": value, "max_wait": value, "retries": 0}
    assert play("lbots.get_favourites", slow(GOOD, 0.05), **options)[0] == 1


# Responses

WRONG: dict[str, Any] = {"null": None, "true": True, "1.0": 1.0, "a str": "1", "[]": [], "{}": {}}
UNUSABLE_TOKENS = {"empty": "", "newline": "a\nb", "space": " a", "not ASCII": "ключ"}


def wrong_documents(endpoint: Endpoint) -> Iterator[tuple[str, Any]]:
    """Each field left out, or of a wrong type, or a token that is none; and other JSON."""
    whole = endpoint.response
    for name, kinds in endpoint.fields.items():
        if Missing not in kinds:
            yield f"no {name}", {key: whole[key] for key in whole if key != name}
        for case, value in WRONG.items():
            if type(value) not in kinds:
                yield f"{name} is {case}", {**whole, name: value}
    if "token" in endpoint.fields:
        for case, value in UNUSABLE_TOKENS.items():
            yield f"token: {case}", {**whole, "token": value}
    for case, value in WRONG.items():
        if (endpoint.id, case) != ("dbots.regenerate_key", "a str"):  # this is a token
            yield f"just {case}", value


@each_endpoint
def test_a_good_response_gives_the_result(endpoint: Endpoint) -> None:
    result, _ = play(endpoint.id, response(body=endpoint.response))
    assert result == endpoint.result


@cases(
    "call, document",
    {
        f"{endpoint}: {case}": (endpoint.id, document)
        for endpoint in ENDPOINTS
        for case, document in wrong_documents(endpoint)
    },
)
def test_a_response_that_lacks_or_mistypes_a_field_is_invalid(call: str, document: Any) -> None:
    error, received = play(call, response(body=document))
    assert type(error) is botlists.InvalidResponse
    assert (error.status, error.sent, error.__cause__) == (200, True, None)
    assert error.body == json.dumps(document).encode()
    assert len(received) == 1


@cases("token", UNUSABLE_TOKENS)
def test_a_bare_string_that_is_no_token_is_invalid(token: str) -> None:
    error, _ = play("dbots.regenerate_key", response(body=token))
    assert type(error) is botlists.InvalidResponse
    assert error.body == json.dumps(token).encode()


@cases(
    "entry",
    {
        **{f"just {case}": value for case, value in WRONG.items()},
        **{
            f"{key} is {case}": {**CHANGE, key: WRONG[case]}
            for key in BARE
            for case in WRONG
            if case != "a str" or key == "at"
        },
        **{
            f"changes is {case}": {**CHANGE, "changes": WRONG[case]}
            for case in WRONG
            if case != "{}"
        },
        "no at": {"by": CHANGE["by"]},
        "no by": {"at": CHANGE["at"]},
        "old is null": {**CHANGE, "changes": {"old": None}},
        "old is 1": {**CHANGE, "changes": {"old": 1}},
        "new is null": {**CHANGE, "changes": {"new": None}},
        "new is 1": {**CHANGE, "changes": {"new": 1}},
    },
)
def test_an_entry_of_the_log_that_lacks_or_mistypes_a_field_is_invalid(entry: Any) -> None:
    document = {"_id": BOT, "changes": [CHANGE, entry]}
    error, _ = play("dbots.get_log", response(body=document))
    assert type(error) is botlists.InvalidResponse


@cases(
    "text, when",
    {
        "JavaScript": ("2020-08-07T12:56:27.100Z", EDITED),
        "without milliseconds": ("2020-08-07T12:56:27Z", EDITED.replace(microsecond=0)),
        "offset": ("2020-08-07T14:56:27.100+02:00", EDITED),
        "negative offset": ("2020-08-07T11:26:27.100-01:30", EDITED),
        "HTTP": ("Fri, 07 Aug 2020 12:56:27 GMT", EDITED.replace(microsecond=0)),
    },
)
def test_dates_of_javascript_and_http_are_aware_and_in_utc(text: str, when: datetime) -> None:
    log, _ = play("dbots.get_log", response(body={"_id": BOT, "changes": {**CHANGE, "at": text}}))
    fan, _ = play("lbots.has_favourited", response(body={**DONE, "time": text, "favourited": True}))
    assert log.changes[0].at == fan.time == when
    assert log.changes[0].at.tzinfo is fan.time.tzinfo is timezone.utc


@cases(
    "text",
    {
        "empty": "",
        "a word": "yesterday",
        "beyond year 9999": "9999-12-31T23:59:59-23:59",
        "month 99": "9999-99-99T00:00:00.000Z",
        "month Foo": "Thu, 99 Foo 9999 99:99:99 GMT",
    },
)
def test_any_other_date_is_invalid(text: str) -> None:
    log, _ = play("dbots.get_log", response(body={"_id": BOT, "changes": {**CHANGE, "at": text}}))
    fan, _ = play("lbots.has_favourited", response(body={**DONE, "time": text, "favourited": True}))
    for error in (log, fan):
        assert type(error) is botlists.InvalidResponse and "is not a date" in str(error)


COMPRESSED = gzip.compress(b'{"guildCount": 4, "token": "t"}')


@pytest.mark.parametrize("method", ["post_stats", "regenerate_key"])
@cases(
    "data, text",
    {
        "page": (response(200, PAGE.encode(), Content_Type="text/html"), "an HTML page"),
        "page that says it is JSON": (
            response(200, PAGE.encode(), Content_Type="application/json"),
            "an HTML page",
        ),
        "cut JSON": (response(200, b'{"guildCount": 89'), "not JSON"),
        "deep JSON": (response(200, b"[" * 200000 + b"]" * 200000), "not JSON"),
        "not UTF-8": (response(200, b'"\xff"'), "not JSON"),
        "204": (response(204), "^DBots: 204: "),
        "compressed": (response(200, COMPRESSED, Content_Encoding="gzip"), "not JSON"),
        **{
            f"{status}": (response(status, "token", Location="http://h:x/a"), "to http://h:x/a")
            for status in (301, 302, 303, 307, 308)
        },
    },
)
def test_an_unpromised_response_is_invalid_and_the_client_goes_on(
    data: bytes, text: str, method: str
) -> None:
    with Peer(data, GOOD) as peer, dbots_at(peer, timeout=5) as dbots:
        with pytest.raises(botlists.InvalidResponse, match=text) as caught:
            do(dbots, method)
        assert caught.value.sent is True
        assert len(peer.received) == 1
        assert dbots.post_stats(1) == 1


@pytest.mark.parametrize("own_pool", [False, True], ids=["own connections", "a user's pool"])
@pytest.mark.parametrize("status", [102, 103, 199])
def test_what_comes_after_an_interim_response_is_never_the_response_to_another_request(
    status: int, own_pool: bool
) -> None:
    sent = threading.Event()
    has = {**DONE, "time": None, "favourited": True}

    def reply(connection: socket.socket) -> None:
        connection.sendall(f"HTTP/1.1 {status} Processing\r\n\r\n".encode())
        time.sleep(0.3)  # the next request is sent in the meantime
        with contextlib.suppress(OSError):
            connection.sendall(response(body=has))
        sent.set()

    pool = urllib3.PoolManager(maxsize=1) if own_pool else None
    has_not = response(body={**has, "favourited": False})
    with Peer(reply, has_not) as peer, lbots_at(peer, pool=pool) as lbots:
        with pytest.raises(botlists.InvalidResponse, match="interim response") as caught:
            lbots.has_favourited(FAN)
        assert (caught.value.status, caught.value.sent) == (status, True)
        assert not lbots.has_favourited(STRANGER)
        assert (len(peer.received), peer.connections) == (2, 2)
        assert sent.wait(5)
        assert not lbots.has_favourited(STRANGER)


@cases(
    "data",
    {
        "201": response(201, {"guildCount": 4}),
        "identity": response(200, {"guildCount": 4}, Content_Encoding="identity"),
        "100 Continue": b"HTTP/1.1 100 Continue\r\n\r\n" + response(200, {"guildCount": 4}),
        "4 MiB": response(200, b'{"guildCount": 4}'.ljust(4 * 2**20)),
        "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b'8\r\n{"guildC\r\n9;x=y\r\nount": 4}\r\n0\r\nTrailer: x\r\n\r\n',
    },
)
def test_an_unusual_response_that_keeps_the_promise_is_fine(data: bytes) -> None:
    with Peer(data) as peer, dbots_at(peer) as dbots:
        assert [dbots.post_stats(1), dbots.post_stats(1)] == [4, 4]
        assert peer.connections == 1


def test_a_response_that_ends_with_its_connection_is_fine() -> None:
    data = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b'{"guildCount": 4}'
    with Peer(send_and_close(data)) as peer, dbots_at(peer) as dbots:
        assert [dbots.post_stats(1), dbots.post_stats(1)] == [4, 4]
        assert peer.connections == 2


CHUNKED = "Transfer-Encoding: chunked\r\n\r\n"
MIB = b"x" * 2**20


@pytest.mark.parametrize("status", [200, 500])
@cases(
    "head, piece",
    {
        "body of known length": ("Content-Length: 209715200\r\n\r\n", MIB),
        "body until the end": ("Connection: close\r\n\r\n", MIB),
        "body of chunks": (CHUNKED, b"100000\r\n" + MIB + b"\r\n"),
        "line: chunk size": (f"{CHUNKED}1", b"1" * 2**20),
        "line: chunk extension": (f"{CHUNKED}1;extension=", MIB),
        "line: trailer": (f"{CHUNKED}0\r\ntrailer: ", MIB),
    },
)
def test_an_endless_body_or_line_is_not_read_further_and_the_client_goes_on(
    status: int, head: str, piece: bytes, request: pytest.FixtureRequest
) -> None:
    pool = urllib3.PoolManager(maxsize=1, block=True)
    pieces = iter(128 * [piece])
    dropped = threading.Event()

    def flood(connection: socket.socket) -> None:
        connection.sendall(f"HTTP/1.1 {status} OK\r\n{head}".encode())
        try:
            for data in pieces:
                connection.sendall(data)
        except OSError:
            dropped.set()

    with Peer(flood, GOOD) as peer, dbots_at(peer, pool=pool, timeout=5, retries=0) as dbots:
        with pytest.raises(botlists.BotListError) as caught:
            dbots.post_stats(1)
        assert dropped.wait(5)
        assert len(list(pieces)) > 96  # 4 MiB, and what the system buffers, were sent
        if "line: " in request.node.callspec.id:
            assert type(caught.value) is botlists.TransportError
        else:
            assert type(caught.value) is botlists.InvalidResponse
            assert "larger than 4 MiB" in str(caught.value)
            assert 4 * 2**20 < len(caught.value.body) < 5 * 2**20
        assert dbots.post_stats(1) == 1  # so the pool has its connection again
        assert peer.connections == 2


# Traffic: rate limits

each_limit = cases(
    "endpoint, number, window",
    {row.id: (row, *row.limit) for row in ENDPOINTS if row.limit is not None},
)


def client_at(endpoint: Endpoint, server: Server, **options: Any) -> Any:
    return (dbots_at if endpoint.service == "dbots" else lbots_at)(server, **options)


def clock() -> float:
    """The monotonic clock of botlists, which a fixture may have replaced."""
    return float(vars(botlists)["time"].monotonic())


class Timed(Peer):
    """Calls `wait` before each response, and notes the span from each request to its response."""

    def __init__(self, *replies: bytes, wait: Callable[[], object] = lambda: None) -> None:
        self.wait = wait
        self.spans: list[tuple[float, float]] = []  # on the clock of botlists
        super().__init__(*replies or [GOOD])

    def next_reply(self, request: Received) -> Reply:
        came = clock()
        reply = super().next_reply(request)
        self.wait()
        self.spans.append((came, clock()))
        return reply


def waits(*seconds: float) -> Callable[[], None]:
    """A function that sleeps for each of `seconds` in turn, over and over."""
    turns = itertools.cycle(seconds)
    return lambda: time.sleep(next(turns))


def fit(spans: list[Any], number: int, window: float) -> bool:
    """Whether no window of that length has more than `number` of the requests.

    The service may count a request at any time of its span: from its arrival to its response.
    """
    return all(
        sum(came <= at and responded > at - window for came, responded in spans) <= number
        for at, _ in spans
    )


def repeat(client: Any, method: str, times: int) -> None:
    for _ in range(times):
        do(client, method)


def measure_in_real_time() -> None:
    """Print how long each of these takes, and the spans of its requests."""

    def outlast_max_wait(lbots: LBotsClient) -> None:
        refused = in_threads(9, lbots.get_favourites)  # 3 at once and 3 after 4 s
        assert [type(error) for error in refused] == [botlists.TooManyRequests] * 3

    works: dict[str, Callable[[LBotsClient], object]] = {
        "25 posts": lambda lbots: repeat(lbots, "post_stats", 25),
        "25 shards": lambda lbots: lbots.post_shard_stats(range(25)),
        "25 posts of 5 threads": lambda lbots: in_threads(
            5, lambda: repeat(lbots, "post_stats", 5)
        ),
        "4 favourite counts": lambda lbots: repeat(lbots, "get_favourites", 4),
        "9 favourite counts with a max_wait for 6": outlast_max_wait,
    }

    def measure(work: Callable[[LBotsClient], object]) -> tuple[float, list[Any]]:
        with Timed(wait=waits(0, 0.02, 0.05)) as peer, lbots_at(peer, max_wait=5.5) as lbots:
            started = time.monotonic()
            work(lbots)
            return time.monotonic() - started, peer.spans

    with ThreadPoolExecutor(len(works)) as threads:
        print(json.dumps(dict(zip(works, threads.map(measure, works.values())))))


@pytest.fixture(scope="session")
def outputs() -> list[tuple[int, str, str]]:
    """What `run` returns of two processes that wait in real time, and so run at the same time."""
    script = "import test_botlists; test_botlists.measure_in_real_time()"
    with ThreadPoolExecutor(2) as threads:
        measured = threads.submit(run, "-c", script, no_proxy="*")
        demonstration = threads.submit(run, "test_botlists.py")
        return [measured.result(), demonstration.result()]


@pytest.fixture(scope="session")
def measured(outputs: list[tuple[int, str, str]]) -> dict[str, Any]:
    status, out, err = outputs[0]
    assert (status, err) == (0, "")
    result: dict[str, Any] = json.loads(out)
    return result


@pytest.mark.parametrize(
    ("work", "requests", "number", "window", "most"),
    [
        ("25 posts", 25, 20, 5, 7.5),
        ("25 shards", 25, 20, 5, 7.5),
        ("25 posts of 5 threads", 25, 20, 5, 7.5),
        ("4 favourite counts", 4, 3, 4, 6.5),
        ("9 favourite counts with a max_wait for 6", 6, 3, 4, 6.5),
    ],
)
def test_a_limit_is_kept_end_to_end_and_wastes_next_to_nothing(
    work: str, requests: int, number: int, window: float, most: float, measured: dict[str, Any]
) -> None:
    took, spans = measured[work]
    assert window <= took < most
    assert len(spans) == requests and fit(spans, number, window)


@each_limit
def test_one_thread_keeps_a_limit_in_any_window_and_waits_no_longer_than_needed(
    endpoint: Endpoint, number: int, window: float, naps: list[float]
) -> None:
    with Timed() as peer, client_at(endpoint, peer) as client:
        repeat(client, endpoint.method, 3 * number + 1)
    assert len(peer.spans) == 3 * number + 1 and fit(peer.spans, number, window)
    assert sum(naps) <= 3 * window


SPEED = 20


@pytest.fixture
def fast(monkeypatch: Patch) -> None:
    """Make the clocks of botlists run SPEED times as fast."""
    start, wall = time.monotonic(), time.time()

    def elapsed() -> float:
        return SPEED * (time.monotonic() - start)

    clocks = types.SimpleNamespace(
        monotonic=lambda: start + elapsed(),
        time=lambda: wall + elapsed(),
        sleep=lambda seconds: time.sleep(seconds / SPEED),
    )
    monkeypatch.setattr(botlists, "time", clocks)


@pytest.fixture
def hasty() -> Iterator[None]:
    """Let threads take turns as often as possible."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@cases(
    "delays, most",
    {
        "quick responses": ([0], 30),
        "slow responses": ([0, 0.08, 0, 0.03, 0.05], 35),
        "responses slower than the window": ([0, 0.3, 0.03], 60),
    },
)
@pytest.mark.usefixtures("fast")
def test_threads_together_keep_a_limit_and_all_have_their_turn(
    delays: list[float], most: float
) -> None:
    with Timed(wait=waits(*delays)) as peer, lbots_at(peer) as lbots:
        started = clock()
        assert in_threads(9, lambda: repeat(lbots, "post_stats", 5)) == []
        assert 10 <= clock() - started < most
    assert len(peer.spans) == 45 and fit(peer.spans, 20, 5)


@cases("endpoint", {row.id: row for row in ENDPOINTS if row.limit is None})
def test_endpoints_without_a_documented_limit_are_not_held_back(endpoint: Endpoint) -> None:
    with Peer(GOOD) as peer, client_at(endpoint, peer, max_wait=0) as client:
        repeat(client, endpoint.method, 30)
        assert len(peer.received) == 30


@each_limit
@pytest.mark.parametrize("max_wait", [0, 3.5])
def test_a_wait_longer_than_max_wait_is_refused_at_once_and_not_sent(
    max_wait: float, endpoint: Endpoint, number: int, window: float
) -> None:
    with Peer(GOOD) as peer, client_at(endpoint, peer, max_wait=max_wait) as client:
        repeat(client, endpoint.method, number)
        started = time.monotonic()
        with pytest.raises(botlists.TooManyRequests, match="^LBots: not sent: ") as caught:
            do(client, endpoint.method)
        assert time.monotonic() - started < 1
        assert (caught.value.sent, len(peer.received)) == (False, number)


@each_limit
def test_retry_after_of_the_clients_own_limit_is_the_earliest_possible_wait(
    endpoint: Endpoint, number: int, window: float, naps: list[float]
) -> None:
    with Peer(GOOD) as peer, client_at(endpoint, peer, max_wait=0) as client:
        do(client, endpoint.method)
        naps.append(1.5)
        repeat(client, endpoint.method, number - 1)
        with pytest.raises(botlists.TooManyRequests) as caught:
            do(client, endpoint.method)
        wait = caught.value.retry_after
        assert wait is not None and window - 3 < wait <= window - 1.5
        naps.append(wait)
        do(client, endpoint.method)
        pytest.raises(botlists.TooManyRequests, do, client, endpoint.method)


@each_limit
def test_a_refused_call_gives_its_slot_back(
    endpoint: Endpoint, number: int, window: float, naps: list[float]
) -> None:
    with Peer(GOOD) as peer, client_at(endpoint, peer, max_wait=0) as client:
        for _ in range(2):
            repeat(client, endpoint.method, number)
            for _ in range(number + 5):
                pytest.raises(botlists.TooManyRequests, do, client, endpoint.method)
            naps.append(window)
        assert len(peer.received) == 2 * number


@pytest.mark.parametrize("kind", ["closed", "refused", "400", "not JSON", "interrupted"])
def test_a_call_that_fails_gives_its_slot_back_after_the_window(
    kind: str, naps: list[float], names: dict[str, Any]
) -> None:
    replies = {"400": response(400, Connection="close"), "not JSON": response(200, PAGE.encode())}
    with Peer(replies.get(kind, b"")) as peer:
        names["lists.example"] = unused_port() if kind == "refused" else peer.port
        url = "http://lists.example"
        lbots = LBotsClient(BOT, TOKEN, base_url=url, max_wait=0, retries=0)
        expected = KeyboardInterrupt if kind == "interrupted" else botlists.BotListError
        for _ in range(2):
            for _ in range(3):
                if kind == "interrupted":
                    names["lists.example"] = map(interrupt, [0])
                    lbots.close()
                with pytest.raises(expected) as caught:
                    lbots.get_favourites()
                assert not isinstance(caught.value, botlists.TooManyRequests)
            pytest.raises(botlists.TooManyRequests, lbots.get_favourites)
            naps.append(4)


def test_an_interrupted_wait_leaves_the_limit_intact(naps: list[float], monkeypatch: Patch) -> None:
    with Peer(GOOD) as peer, lbots_at(peer) as lbots:
        repeat(lbots, "get_favourites", 3)
        with monkeypatch.context() as patch:
            patch.setattr("botlists.time.sleep", interrupt)
            pytest.raises(KeyboardInterrupt, lbots.get_favourites)
        repeat(lbots, "get_favourites", 3)
        assert len(peer.received) == 6
    assert sum(naps) <= 4


class Held(Timed):
    """Sends the first `number` responses when told to, and each later one at once."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.respond = threading.Event()
        super().__init__(wait=self.hold)

    def hold(self) -> None:
        if len(self.received) <= self.number:
            self.respond.wait(30)


@contextlib.contextmanager
def in_flight(number: int, **options: Any) -> Iterator[tuple[Held, LBotsClient]]:
    """A service, and its client with that many favourite counts in flight, of three allowed."""
    with Held(number) as peer, lbots_at(peer, **options) as lbots:
        others = ThreadPoolExecutor(number)
        calls = [others.submit(lbots.get_favourites) for _ in range(number)]
        try:
            eventually(lambda: len(peer.received) == number)
            yield peer, lbots
        finally:
            peer.respond.set()
            assert [sent.result(30) for sent in calls] == [1] * number


def test_with_all_slots_in_flight_a_max_wait_within_the_window_is_refused_at_once() -> None:
    with in_flight(3, max_wait=3.9) as (peer, lbots):
        started = time.monotonic()
        with pytest.raises(botlists.TooManyRequests, match="^LBots: not sent: ") as caught:
            lbots.get_favourites()
        assert time.monotonic() - started < 1
        assert (caught.value.sent, caught.value.retry_after) == (False, 4)
        assert len(peer.received) == 3


def test_with_all_slots_in_flight_a_longer_max_wait_is_refused_in_time_and_not_retried(
    naps: list[float],
) -> None:
    with in_flight(3, max_wait=4.5) as (peer, lbots):
        started = time.monotonic()
        with pytest.raises(botlists.TooManyRequests, match="^LBots: not sent: ") as caught:
            lbots.get_favourites()
        assert 0.4 < time.monotonic() - started < 4.5
        assert (caught.value.sent, caught.value.retry_after) == (False, 4)
        assert (len(peer.received), naps) == (3, [])


@pytest.mark.usefixtures("fast")
def test_threads_that_wait_for_slots_in_flight_all_get_one_when_responses_come() -> None:
    with in_flight(3) as (peer, lbots), ThreadPoolExecutor(6) as more:
        waiting = [more.submit(lbots.get_favourites) for _ in range(6)]
        peer.respond.set()
        started = clock()
        assert [sent.result(30) for sent in waiting] == [1] * 6
        assert 8 <= clock() - started < 30
    assert len(peer.spans) == 9 and fit(peer.spans, 3, 4)


@pytest.mark.usefixtures("fast", "hasty")
def test_a_refused_call_never_makes_another_threads_call_be_refused() -> None:
    # Two slots are in flight and the third is free every 4 s. Eight threads ask all the time. A
    # call that began after the slot was free may be refused only if another one took it.
    successes, refusals = [], []
    done = threading.Event()

    def keep_asking(lbots: LBotsClient) -> None:
        while not done.is_set():
            started = clock()
            try:
                lbots.get_favourites()
                successes.append((started, clock()))
                if len(successes) == 6:
                    done.set()
            except botlists.TooManyRequests:
                refusals.append((started, clock()))

    with in_flight(2, max_wait=0) as (_, lbots):
        assert in_threads(8, lambda: keep_asking(lbots)) == []
    successes.sort()
    for (_, responded), (taken, _) in zip(successes, successes[1:]):
        free = responded + 4
        wrong = [ask for ask in refusals if free < ask[0] and ask[1] < taken]
        assert wrong == []


def test_every_attempt_counts_against_the_limit(naps: list[float]) -> None:
    with Timed(response(503), response(503), GOOD) as peer, lbots_at(peer) as lbots:
        repeat(lbots, "get_favourites", 2)
    assert len(peer.spans) == 4 and fit(peer.spans, 3, 4)
    assert sum(naps) <= 4


@cases(
    "replies, slept",
    {
        "limit, then Retry-After": ([response(429, Retry_After="5")], 9),
        "limit, then a window": ([response(429)], 8),
        "limit, then too much": ([response(429, Retry_After="6.5")], None),
        "limit, then two windows": ([response(429), response(429)], None),
    },
)
def test_max_wait_is_for_limits_and_retries_of_one_request_together(
    replies: list[Reply], slept: float | None, naps: list[float]
) -> None:
    with Peer(GOOD, GOOD, GOOD, *replies, GOOD) as peer, lbots_at(peer, max_wait=10) as lbots:
        repeat(lbots, "get_favourites", 3)
        if slept is None:
            with pytest.raises(botlists.TooManyRequests, match="^LBots: 429: Said So"):
                lbots.get_favourites()
            assert sum(naps) <= 10
        else:
            assert lbots.get_favourites() == 1
            assert slept - 1 < sum(naps) <= slept
        assert len(peer.received) == 3 + len(replies) + (slept is not None)


def test_each_request_has_a_max_wait_of_its_own(naps: list[float]) -> None:
    with Peer(GOOD) as peer, lbots_at(peer, max_wait=5) as lbots:
        lbots.post_shard_stats([1] * 100)
        assert len(peer.received) == 100
    assert 5 < sum(naps) <= 20


def test_a_retry_whose_slot_comes_after_max_wait_raises_the_services_error(
    naps: list[float],
) -> None:
    with Peer(GOOD, GOOD, response(503)) as peer, lbots_at(peer, max_wait=2) as lbots:
        repeat(lbots, "get_favourites", 2)
        with pytest.raises(botlists.ServerError, match="^LBots: 503"):
            lbots.get_favourites()
        assert len(peer.received) == 3


def test_a_retry_whose_slots_other_threads_took_raises_the_services_error(
    naps: list[float], monkeypatch: Patch
) -> None:
    respond = threading.Event()

    def hold(connection: socket.socket) -> None:
        respond.wait(30)
        connection.sendall(GOOD)

    with Peer(response(503), hold) as peer, lbots_at(peer, max_wait=4.4) as lbots:
        others = ThreadPoolExecutor(3)

        def let_others_take_all_slots(seconds: float) -> None:
            naps.append(4)
            for _ in range(3):
                others.submit(lbots.get_favourites)
            eventually(lambda: len(peer.received) == 4)

        monkeypatch.setattr("botlists.time.sleep", let_others_take_all_slots)
        with pytest.raises(botlists.ServerError, match="^LBots: 503"):
            lbots.get_favourites()
        assert len(peer.received) == 4
        respond.set()
        others.shutdown()


# Traffic: retries

CDN = (520, 521, 522, 523, 524, 530)
TEMPORARY: dict[str, Reply] = {"closed": b"", "silent": silence}
TEMPORARY.update((str(status), response(status)) for status in (408, 429, 502, 503, 504, *CDN))
each_one_shot = cases("endpoint", {row.id: row for row in ENDPOINTS if row.one_shot})


def timeout_for(reply: Reply) -> float:
    return 0.2 if reply in (silence, CUT) else 10


@cases("reply", TEMPORARY)
@pytest.mark.parametrize("endpoint", ["dbots.post_stats", "lbots.get_favourites"])
def test_a_temporary_failure_is_retried(endpoint: str, reply: Reply, naps: list[float]) -> None:
    result, received = play(endpoint, reply, reply, GOOD, timeout=timeout_for(reply))
    assert (result, len(received), len(naps)) == (1, 3, 2)


@cases("endpoint", {row.id: row for row in ENDPOINTS if not row.one_shot})
@cases("reply", {"lost": b"", "503": response(503)})
def test_each_method_that_may_safely_run_twice_is_retried(
    reply: Reply, endpoint: Endpoint, naps: list[float]
) -> None:
    result, received = play(endpoint.id, reply, GOOD)
    assert not isinstance(result, Exception)
    assert (len(received), len(naps)) == (2, 1)


@pytest.mark.parametrize("retries", [0, 1, 200])
def test_retries_wait_half_to_all_of_1_2_4_and_so_on_up_to_32_seconds(
    retries: int, naps: list[float]
) -> None:
    _, received = play("dbots.post_stats", response(503), retries=retries, max_wait=1e6)
    assert len(received) - 1 == len(naps) == retries
    for attempt, nap in enumerate(naps):
        most = min(2**attempt, 32)
        assert most / 2 <= nap <= most


def test_clients_that_failed_together_do_not_retry_together(naps: list[float]) -> None:
    play("dbots.post_stats", response(503), retries=200, max_wait=1e6)
    assert len(set(naps)) == 200
    assert min(naps[5:]) < 18 and max(naps) > 30  # of half to all of 32 s


FINAL = [400, 401, 403, 404, 407, 418, 425, 500, 501, 505, 519, 525, 529, 531, 599, 200, 302]


@pytest.mark.parametrize("status", FINAL)
def test_what_is_final_is_not_retried(status: int, naps: list[float]) -> None:
    error, received = play("dbots.post_stats", response(status))
    assert isinstance(error, botlists.BotListError)
    assert (error.sent, len(received), naps) == (True, 1, [])


CUT = response(200, b"cut")[:-1]
LOST = {what: reply for what, reply in TEMPORARY.items() if what != "429"}
LOST.update({"503, Retry-After: 0": response(503, Retry_After="0"), "500": response(500)})
LOST.update({"cut, then silent": CUT, "cut, then closed": send_and_close(CUT)})


@each_one_shot
@cases("reply", LOST)
def test_a_one_shot_request_is_never_sent_twice(
    reply: Reply, endpoint: Endpoint, naps: list[float]
) -> None:
    error, received = play(endpoint.id, reply, GOOD, timeout=timeout_for(reply))
    assert isinstance(error, botlists.BotListError)
    assert (error.sent, len(received), naps) == (True, 1, [])


@each_one_shot
def test_a_one_shot_request_is_retried_after_429(endpoint: Endpoint, naps: list[float]) -> None:
    result, received = play(endpoint.id, response(429), GOOD)
    assert not isinstance(result, Exception) and len(received) == 2
    assert len(naps) == 1 and 0.5 <= naps[0] <= 1  # these have no rate limit


@each_endpoint
def test_what_was_certainly_not_sent_is_retried(
    endpoint: Endpoint, naps: list[float], names: dict[str, Any], monkeypatch: Patch
) -> None:
    with Peer(GOOD) as peer:
        # The name does not exist, then the connection is refused, then the service is there.
        names["lists.example"] = iter([None, unused_port(), peer.port])
        monkeypatch.setattr(peer, "url", "http://lists.example")
        with client_at(endpoint, peer) as client:
            do(client, endpoint.method)
        assert (len(peer.received), len(naps)) == (1, 2)


def dated(text: str) -> str:
    """`text`, but "in N s" becomes a date."""
    found = re.fullmatch("in (-?[0-9]+) s", text)
    if found is None:
        return text
    return http_date(datetime.now(timezone.utc) + timedelta(seconds=int(found.group(1))))


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("endpoint", ["dbots.post_stats", "lbots.get_favourites"])
@pytest.mark.parametrize(
    ("value", "least", "most"),
    [("7", 7, 7), (" 12 ", 12, 12), ("1.5", 1.5, 1.5), ("in 20 s", 18, 21)],
)
def test_retry_after_is_obeyed(
    value: str, least: float, most: float, endpoint: str, status: int, naps: list[float]
) -> None:
    result, received = play(endpoint, response(status, Retry_After=dated(value)), GOOD)
    assert (result, len(received)) == (1, 2)
    assert least <= sum(naps) <= most


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("value", ["86400", "31", "in 3600 s", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_retry_after_beyond_max_wait_raises_at_once(
    value: str, status: int, naps: list[float]
) -> None:
    error, received = play("dbots.post_stats", response(status, Retry_After=dated(value)))
    assert (error.status, len(received), naps) == (status, 1, [])
    assert error.retry_after > 30


NO_WAIT: dict[str, str | None] = {
    "missing": None,
    **{value: value for value in ("0", "0.0", "00", "-5", "+5", "nan", "inf", "1e999", "0x10")},
    **{value: value for value in ("soon", "1,2", "20300101112", "1" * 10, "in -60 s")},
    "30 digits": "9" * 30,
    "empty": "",
    "a space": " ",
    "not ASCII": "１２",
    "no date": "Thu, 99 Foo 9999 99:99:99 GMT",
}


@cases(
    "endpoint, status, least, most",
    {
        "503": ("dbots.post_stats", 503, 0.5, 1),
        "503 where there is a limit": ("lbots.get_favourites", 503, 0.5, 1),
        "429 where there is no limit": ("dbots.post_stats", 429, 0.5, 1),
        "429 of a post": ("lbots.post_stats", 429, 5, 5),
        "429 of a favourite count": ("lbots.get_favourites", 429, 4, 4),
    },
)
@cases("value", NO_WAIT)
def test_without_a_usable_retry_after_a_429_waits_for_the_window_and_all_else_for_the_backoff(
    value: str | None, endpoint: str, status: int, least: float, most: float, naps: list[float]
) -> None:
    header = {} if value is None else {"Retry_After": "@"}
    reply = response(status, **header).replace(b"@", dated(value or "").encode())
    result, received = play(endpoint, reply, GOOD)
    assert not isinstance(result, Exception) and len(received) == 2
    assert len(naps) == 1 and least <= naps[0] <= most


@pytest.mark.parametrize(("value", "shown"), [(None, None), ("soon", None), ("0", 0)])
def test_a_429_without_a_usable_retry_after_raises_if_the_window_is_longer_than_max_wait(
    value: str | None, shown: float | None, naps: list[float]
) -> None:
    header = {} if value is None else {"Retry_After": value}
    error, received = play("lbots.post_stats", response(429, **header), max_wait=4.9)
    assert (type(error), len(received), naps) == (botlists.TooManyRequests, 1, [])
    assert error.retry_after == shown


@pytest.mark.parametrize("endpoint", ["dbots.post_stats", "lbots.get_favourites"])
@cases(
    "reply",
    {
        "429": response(429),
        "429, Retry-After: 0.01": response(429, Retry_After="0.01"),
        "503": response(503),
        "lost": b"",
    },
)
def test_max_wait_0_never_sleeps(reply: bytes, endpoint: str, naps: list[float]) -> None:
    error, received = play(endpoint, reply, max_wait=0)
    assert isinstance(error, botlists.BotListError)
    assert (len(received), naps) == (1, [])


# Traffic: waiting for a connection


@pytest.mark.parametrize("retries", [0, 2])
def test_in_each_attempt_a_blocking_pool_is_waited_for_no_longer_than_timeout(
    retries: int, naps: list[float]
) -> None:
    pool = urllib3.PoolManager(maxsize=1, block=True)
    with Peer(GOOD) as peer:
        in_use = pool.request("GET", peer.url, preload_content=False)
        dbots = dbots_at(peer, pool=pool, timeout=0.2, retries=retries)
        started = time.monotonic()
        with pytest.raises(botlists.TransportError, match="^DBots: not sent: ") as caught:
            dbots.regenerate_key()
        attempts = retries + 1
        assert 0.2 * attempts <= time.monotonic() - started < 0.2 * attempts + 2
        assert (caught.value.sent, len(naps), len(peer.received)) == (False, retries, 1)
        in_use.read()
        in_use.release_conn()
        assert dbots.post_stats(1) == 1
        pool.clear()


def test_four_silent_addresses_take_four_times_timeout(monkeypatch: Patch) -> None:
    with full_backlog() as silent:
        host, port = silent.split(":")
        address = (socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, int(port)))
        monkeypatch.setattr(socket, "getaddrinfo", lambda *rest, **more: [address] * 4)
        lbots = LBotsClient(BOT, TOKEN, base_url="http://lists.example", timeout=0.2, retries=0)
        started = time.monotonic()
        with pytest.raises(botlists.TransportTimeout, match="not sent: .*timed out") as caught:
            lbots.has_favourited(FAN)
        assert 0.8 <= time.monotonic() - started < 3
        assert caught.value.sent is False


# Traffic: connections


@each_endpoint
def test_a_connection_closed_while_idle_is_replaced_silently(
    endpoint: Endpoint, caplog: Log
) -> None:
    with Peer(GOOD) as peer, client_at(endpoint, peer, retries=0) as client:
        client.post_stats(1)
        peer.hang_up()
        do(client, endpoint.method)
        assert (peer.connections, len(peer.received)) == (2, 2)
    assert [record for record in caplog.records if record.levelno >= logging.INFO] == []


class Forgetful(Peer):
    """Resets a connection that it has forgotten, as a NAT gateway does, on its next request.

    Each connection is forgotten after `uses` requests, or when `forget` is called.
    """

    def __init__(self, uses: int = sys.maxsize) -> None:
        self.uses = uses
        self.used: dict[socket.socket, int] = collections.defaultdict(int)
        super().__init__(self.reply)

    def forget(self) -> None:
        self.used.update(dict.fromkeys(self.used, self.uses))

    def reply(self, connection: socket.socket) -> None:
        self.used[connection] += 1
        if self.used[connection] > self.uses:
            reset(connection)
        else:
            connection.sendall(GOOD)


@cases("threads, rounds", {"one thread": (1, 10), "eight threads": (8, 60)})
def test_after_an_idle_minute_no_thread_meets_an_old_connection_or_is_disturbed(
    threads: int, rounds: int, naps: list[float]
) -> None:
    with Forgetful() as peer, dbots_at(peer, retries=0) as dbots:
        for _ in range(rounds):
            assert in_threads(threads, lambda: dbots.post_stats(1)) == []
            peer.forget()
            naps.append(61)
        assert len(peer.received) == rounds * threads
        assert peer.connections <= rounds * threads


@pytest.mark.parametrize("method", ["post_stats", "regenerate_key"])
def test_a_renewal_does_not_disturb_a_request_in_flight(method: str, naps: list[float]) -> None:
    with Held(1) as peer, dbots_at(peer, retries=0) as dbots, ThreadPoolExecutor(1) as other:
        in_flight = other.submit(dbots.post_stats, 1)
        eventually(lambda: len(peer.received) == 1)
        naps.append(61)
        do(dbots, method)
        peer.respond.set()
        assert in_flight.result(30) == 1
        assert (peer.connections, len(peer.received)) == (2, 2)


def test_within_a_minute_the_same_connection_is_used(naps: list[float]) -> None:
    with Peer(GOOD) as peer, dbots_at(peer) as dbots:
        for _ in range(3):
            dbots.post_stats(1)
            naps.append(57)
        assert peer.connections == 1


def test_a_request_that_takes_more_than_a_minute_does_not_make_its_connection_old(
    naps: list[float],
) -> None:
    def take_two_minutes(connection: socket.socket) -> None:
        naps.append(120)
        connection.sendall(GOOD)

    with Peer(take_two_minutes, GOOD) as peer, dbots_at(peer) as dbots:
        dbots.post_stats(1)
        dbots.post_stats(1)
        assert peer.connections == 1


@pytest.fixture
def ahead(monkeypatch: Patch) -> list[float]:
    """Seconds that the wall clock is ahead of its usual value. A test adds some to it."""
    seconds: list[float] = []
    clocks = types.SimpleNamespace(
        monotonic=time.monotonic, time=lambda: time.time() + sum(seconds), sleep=time.sleep
    )
    monkeypatch.setattr(botlists, "time", clocks)
    return seconds


@each_endpoint
@cases(
    "seconds",
    {
        "suspended for eight hours": 8 * 3600,
        "suspended for a minute": 61,
        "set back by an hour": -3600,
        "set back by ten seconds": -10,
    },
)
def test_after_a_suspension_or_a_step_of_the_wall_clock_no_old_connection_is_used(
    seconds: float, endpoint: Endpoint, ahead: list[float]
) -> None:
    with Forgetful() as peer, client_at(endpoint, peer, retries=0) as client:
        for _ in range(2):
            client.post_stats(1)
            peer.forget()
            ahead.append(seconds)
            do(client, endpoint.method)
            peer.forget()
            ahead.append(seconds)
        assert (peer.connections, len(peer.received)) == (4, 4)


def test_within_a_minute_of_the_wall_clock_the_same_connection_is_used(ahead: list[float]) -> None:
    with Peer(GOOD) as peer, dbots_at(peer) as dbots:
        for _ in range(3):
            dbots.post_stats(1)
            ahead.append(57)
        assert peer.connections == 1


@pytest.mark.parametrize("step", [3600, -3600])
def test_a_step_of_the_wall_clock_does_not_change_a_rate_limit(
    step: float, ahead: list[float]
) -> None:
    with Peer(GOOD) as peer, lbots_at(peer, max_wait=0) as lbots:
        repeat(lbots, "get_favourites", 3)
        ahead.append(step)
        with pytest.raises(botlists.TooManyRequests) as caught:
            lbots.get_favourites()
        assert caught.value.retry_after is not None and 2 < caught.value.retry_after <= 4


@each_one_shot
def test_a_one_shot_request_is_not_lost_when_the_service_closes_a_kept_connection_on_it(
    endpoint: Endpoint,
) -> None:
    with Forgetful(uses=1) as peer, client_at(endpoint, peer, retries=0) as client:
        repeat(client, endpoint.method, 5)
        assert (peer.connections, len(peer.received)) == (5, 5)


@cases(
    "method, replies",
    {
        "regenerate_key": ("dbots.regenerate_key", []),
        "regenerate_key, second path": ("dbots.regenerate_key", [response(404)]),
        "regenerate_key, retry": ("dbots.regenerate_key", [response(429)]),
        "invalidate_token": ("lbots.invalidate_token", []),
        "invalidate_token, retry": ("lbots.invalidate_token", [response(429)]),
    },
)
@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_each_attempt_of_a_one_shot_request_uses_a_new_connection(
    tls: bool, method: str, replies: list[bytes], trusted: ssl.SSLContext, naps: list[float]
) -> None:
    used: list[socket.socket] = []

    def noted(reply: bytes) -> Reply:
        def note_and_reply(connection: socket.socket) -> None:
            used.append(connection)
            connection.sendall(reply)

        return note_and_reply

    [endpoint] = (row for row in ENDPOINTS if row.id == method)
    service = Peer(*map(noted, [GOOD, GOOD, *replies, GOOD]), tls=trusted if tls else None)
    with service as peer, client_at(endpoint, peer) as client:
        client.post_stats(1)
        client.post_stats(1)
        do(client, endpoint.method)
    assert used[1] is used[0]
    assert len(set(used[1:])) == len(used[1:]) == 2 + len(replies)


@each_one_shot
def test_the_connections_of_one_shot_requests_are_not_piled_up(endpoint: Endpoint) -> None:
    with Peer(GOOD) as peer, client_at(endpoint, peer) as client:
        gc.disable()  # or else PyPy might close them when it collects garbage
        try:
            repeat(client, endpoint.method, 20)
            eventually(lambda: sum(used.fileno() != -1 for used in peer.sockets) <= 2)
        finally:
            gc.enable()


@each_one_shot
def test_a_one_shot_request_disturbs_no_other_thread(endpoint: Endpoint) -> None:
    other = "has_favourited" if endpoint.service == "lbots" else "post_stats"  # without a limit
    with Peer(slow(GOOD, 0, 0.002)) as peer, client_at(endpoint, peer, retries=0) as client:
        turns = iter(range(8))

        def rotate_or_ask() -> None:
            repeat(client, endpoint.method if next(turns) == 0 else other, 20)

        assert in_threads(8, rotate_or_ask) == []
        assert len(peer.received) == 8 * 20


@pytest.mark.parametrize("idle", [0, 3600], ids=["at once", "after an hour"])
@each_endpoint
def test_connections_of_a_users_pool_are_not_renewed(
    endpoint: Endpoint, idle: float, naps: list[float]
) -> None:
    with urllib3.PoolManager() as pool, Peer(GOOD) as peer:
        client = client_at(endpoint, peer, pool=pool)
        for _ in range(2):
            client.post_stats(1)
            naps.append(idle)
            do(client, endpoint.method)
        assert (peer.connections, len(peer.received)) == (1, 4)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("idle", [0, 61], ids=["a new client", "after an idle minute"])
@pytest.mark.parametrize("turn", range(10))
def test_threads_that_start_at_once_share_connections_and_close_closes_all_of_them_at_once(
    turn: int, idle: float, naps: list[float]
) -> None:
    all_of_them = threading.Barrier(8)

    def wait_for_all(connection: socket.socket) -> None:
        all_of_them.wait(30)  # so that each thread needs a connection of its own
        connection.sendall(GOOD)

    with Peer(GOOD, *[wait_for_all] * 8, GOOD) as peer, dbots_at(peer) as dbots:
        dbots.post_stats(1)
        if idle:
            naps.append(idle)
        else:
            dbots.close()
        gc.disable()  # or else PyPy might close connections when it collects garbage
        try:
            assert in_threads(8, lambda: dbots.post_stats(1)) == []
            assert in_threads(8, lambda: repeat(dbots, "post_stats", 3)) == []
            assert peer.connections == 1 + 8
            dbots.close()
            eventually(lambda: all(used.fileno() == -1 for used in peer.sockets[1:]))
        finally:
            gc.enable()
        assert dbots.post_stats(1) == 1  # a client may be used after close()
        assert peer.connections == 1 + 8 + 1


def test_close_closes_a_connection_that_was_replaced_after_an_idle_minute_too(
    naps: list[float],
) -> None:
    with Peer(GOOD) as peer, dbots_at(peer) as dbots:
        gc.disable()
        try:
            dbots.post_stats(1)
            naps.append(61)
            dbots.post_stats(1)
            dbots.close()
            eventually(lambda: [used.fileno() for used in peer.sockets] == [-1, -1])
        finally:
            gc.enable()


@pytest.mark.parametrize("client_of", [dbots_at, lbots_at])
def test_a_client_that_is_gone_leaves_nothing_behind(client_of: Callable[[Server], Any]) -> None:
    with Peer(GOOD) as peer:
        client = client_of(peer)
        client.post_stats(1)
        gone = weakref.ref(client)
        del client

        def nothing_is_left() -> bool:
            gc.collect()
            return gone() is None and peer.sockets[0].fileno() == -1

        eventually(nothing_is_left)


def test_a_pool_of_the_users_own_is_used_and_left_open(tmp_path: Path) -> None:
    context = ssl.create_default_context(cadata=CERTIFICATE)
    with Peer(GOOD, tls=tls_context(tmp_path)) as peer:
        url = f"https://localhost:{peer.port}"
        with urllib3.PoolManager(ssl_context=context) as pool:
            with DBotsClient(BOT, TOKEN, base_url=url, pool=pool) as dbots:
                dbots.post_stats(1)
            assert pool.request("GET", url + "/still/open").status == 200
            assert peer.connections == 1


def test_a_pool_of_the_users_own_may_close_its_connections_when_it_likes() -> None:
    with urllib3.PoolManager(num_pools=1) as pool, Peer(GOOD) as peer, Peer(GOOD) as other:
        dbots = dbots_at(peer, pool=pool, retries=0)
        for _ in range(3):
            assert dbots.post_stats(1) == 1
            pool.request("GET", other.url)  # makes room for the other host
            assert dbots.post_stats(1) == 1
            pool.clear()
        assert len(peer.received) == 6


# Traffic: threads, forks, gevent and eventlet
#
# Forks are made in processes of their own, started for it: a process with other threads, such as
# this one with its servers, should not fork.


class Echo(Peer):
    """Responds to has_favourited with the user in the path as the time, so that mix-ups show."""

    def next_reply(self, request: Received) -> Reply:
        user = request.path.rpartition("/user/")[2]
        if not user.isdigit():
            return GOOD
        when = http_date(datetime(2000, 1, 1) + timedelta(seconds=int(user)))
        return response(body={**DONE, "time": when, "favourited": True})


def ask(client: LBotsClient, users: range) -> None:
    """Check that each response is that of the client's own request."""
    for user in users:
        at = client.has_favourited(user).time
        assert at is not None and at.timestamp() - 946684800 == user


def test_threads_may_share_a_client(caplog: Log) -> None:
    with Echo() as peer, lbots_at(peer) as lbots:
        starts = iter(range(1, 3000, 100))
        assert in_threads(20, lambda: ask(lbots, range(next(starts), 10**6)[:30])) == []
        assert peer.connections <= 20
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def apart(work: Callable[..., None], *arguments: object, first: str = "pass") -> None:
    """Call a function of this file in a new process, after the line `first`."""
    script = f"{first}\nimport test_botlists\ntest_botlists.{work.__name__}(*{arguments!r})"
    status, _, err = run("-c", script, no_proxy="*")
    assert status == 0, err


def fork_in_c() -> int:
    """Fork without the hooks of Python, as uWSGI does."""
    return int(ctypes.CDLL(None).fork())


def forked(fork: str, work: Callable[[], object]) -> int:
    """The process ID of a child that calls `work`. A child that hangs is killed."""
    with warnings.catch_warnings():
        # Python 3.12 and later warn if other threads run. Some tests are about just that.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork() if fork == "os.fork" else fork_in_c()
    if not pid:
        status = signal.alarm(30) + 1
        try:
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    return pid


def check_end(*children: int) -> None:
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * len(children)


try:
    HAS_FORK_IN_C = POSIX and hasattr(ctypes.CDLL(None), "fork")
except (OSError, TypeError):
    HAS_FORK_IN_C = False
each_fork = pytest.mark.parametrize(
    "fork",
    [
        pytest.param("os.fork", marks=needs_fork),
        pytest.param(
            "fork in C",
            marks=pytest.mark.skipif(not HAS_FORK_IN_C, reason="needs fork in the C library"),
        ),
    ],
)


def ask_as_a_family(fork: str, url: str) -> None:
    """A process, its children and its grandchildren use one client at the same time."""
    lbots = LBotsClient(BOT, TOKEN, base_url=url, retries=0)
    ask(lbots, range(1, 3))

    def be_a_child(first: int) -> None:
        ask(lbots, range(first, first + 20))
        grandchild = forked(fork, lambda: ask(lbots, range(first + 40, first + 60)))
        ask(lbots, range(first + 20, first + 40))
        check_end(grandchild)

    children = [forked(fork, partial(be_a_child, first)) for first in range(100, 700, 100)]
    ask(lbots, range(10, 50))
    check_end(*children)
    ask(lbots, range(1, 3))


@each_fork
@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_no_response_is_another_processs_and_each_process_has_its_own_connection(
    tls: bool, fork: str, trusted: ssl.SSLContext
) -> None:
    with Echo(tls=trusted if tls else None) as peer:
        apart(ask_as_a_family, fork, peer.url)
        assert peer.connections == 1 + 6 + 6  # so each process kept its own


def end_as_usual(fork: str, url: str) -> None:
    """A child calls a one-shot method, closes the client and ends, other than in `forked`."""
    dbots = DBotsClient(BOT, TOKEN, user_key=USER_KEY, base_url=url, retries=0)
    dbots.post_stats(1)
    child = os.fork() if fork == "os.fork" else fork_in_c()
    dbots.regenerate_key()
    if not child:
        dbots.close()
        sys.exit()
    check_end(child)
    dbots.post_stats(1)


@each_fork
@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_a_child_that_closes_the_client_and_ends_leaves_its_parents_connection_alone(
    tls: bool, fork: str, trusted: ssl.SSLContext
) -> None:
    with Peer(GOOD, tls=trusted if tls else None) as peer:
        apart(end_as_usual, fork, peer.url)
        assert len(peer.received) == 4
        assert peer.connections == 3  # the parent's, and one for each rotation


def use_up_limits_in_children(fork: str, url: str) -> None:
    """The parent has used up its limits; each child has its own, which its threads share."""
    lbots = LBotsClient(BOT, TOKEN, base_url=url, max_wait=0)
    repeat(lbots, "get_favourites", 3)

    def count_in_16_threads() -> None:
        sys.setswitchinterval(1e-6)
        refused = in_threads(16, lbots.get_favourites)
        assert [type(error) for error in refused] == [botlists.TooManyRequests] * 13

    for _ in range(10):
        check_end(forked(fork, count_in_16_threads))
    pytest.raises(botlists.TooManyRequests, lbots.get_favourites)


@each_fork
def test_a_child_has_one_limit_of_its_own_however_many_of_its_threads_start_at_once(
    fork: str,
) -> None:
    with Peer(GOOD) as peer:
        apart(use_up_limits_in_children, fork, peer.url)
        assert len(peer.received) == 3 + 10 * 3


def fork_while_threads_call(url: str) -> None:
    """Threads of the parent are inside the session and the rate limit when it forks."""
    lbots = LBotsClient(BOT, TOKEN, base_url=url, max_wait=0)
    done, starts = threading.Event(), itertools.count(1000, 1000)

    def keep_asking() -> None:
        for start in itertools.count(next(starts), 20):
            ask(lbots, range(start, start + 20))
            if done.is_set():
                return

    def keep_being_refused() -> None:
        while not done.is_set():
            with contextlib.suppress(botlists.TooManyRequests):
                lbots.get_favourites()

    def be_a_child() -> None:
        ask(lbots, range(100, 120))
        repeat(lbots, "get_favourites", 3)
        repeat(lbots, "post_stats", 20)

    sys.setswitchinterval(1e-5)
    threads = ThreadPoolExecutor(4)
    works = [threads.submit(work) for work in (keep_asking, keep_being_refused) for _ in range(2)]
    try:
        for _ in range(10):
            check_end(forked("os.fork", be_a_child))
    finally:
        done.set()
    assert [work.exception(60) for work in works] == [None] * 4
    ask(lbots, range(1, 3))


needs_fork_with_threads = pytest.mark.skipif(
    PYPY or not POSIX, reason="needs os.fork, and not PyPy's, where a child keeps the import lock"
)


@needs_fork_with_threads
def test_a_child_works_whatever_its_parents_threads_were_doing_at_the_fork() -> None:
    with Echo() as peer:
        apart(fork_while_threads_call, peer.url)


def fork_while_threads_wait(url: str) -> None:
    """Threads of the parent wait for slots when it forks, some of them in flight."""
    lbots = LBotsClient(BOT, TOKEN, base_url=url, timeout=60)
    repeat(lbots, "post_stats", 20)
    for method in ["get_favourites"] * 5 + ["post_stats"] * 2:
        threading.Thread(target=do, args=(lbots, method), daemon=True).start()

    def be_a_child() -> None:
        started = time.monotonic()
        repeat(lbots, "post_stats", 20)
        repeat(lbots, "get_favourites", 3)
        assert time.monotonic() - started < 3

    for _ in range(10):
        check_end(forked("os.fork", be_a_child))
    os._exit(0)  # not waiting for the threads


@needs_fork_with_threads
def test_a_child_does_not_wait_for_slots_for_which_its_parents_threads_waited() -> None:
    class SilentToThree(Peer):
        """Responds to all but the first three favourite counts."""

        def next_reply(self, request: Received) -> Reply:
            with self.lock:
                self.received.append(request)
                counts = [1 for seen in self.received if seen.path.endswith("/favourites")]
            return silence if request.method == "GET" and len(counts) <= 3 else GOOD

    with SilentToThree(GOOD) as peer:
        apart(fork_while_threads_wait, peer.url)


def use_in_green_threads(url: str) -> None:
    """All that needs more of a pool than one request."""
    now = [0.0]
    clocks = types.SimpleNamespace(
        sleep=time.sleep, time=time.time, monotonic=lambda: time.monotonic() + sum(now)
    )
    module: Any = botlists
    module.time = clocks  # in a process of its own
    with LBotsClient(BOT, TOKEN, base_url=url, max_wait=0) as lbots:
        lbots.post_stats(1)
        now.append(61)
        lbots.post_stats(1)
        lbots.invalidate_token()
        lbots.close()
        starts = iter(range(100, 1000, 100))
        assert in_threads(5, lambda: ask(lbots, range(next(starts), 10**6)[:10])) == []
        refused = in_threads(5, lbots.get_favourites)
        assert [type(error) for error in refused] == [botlists.TooManyRequests] * 2

        def be_a_child() -> None:
            repeat(lbots, "get_favourites", 3)
            ask(lbots, range(1, 10))
            lbots.close()

        if POSIX:
            check_end(forked("os.fork", be_a_child))
        ask(lbots, range(10, 20))


@cases(
    "library, patch",
    {
        "gevent": ("gevent", "from gevent import monkey; monkey.patch_all()"),
        "eventlet": ("eventlet", "import eventlet; eventlet.monkey_patch()"),
    },
)
def test_a_client_works_under_gevent_and_eventlet(library: str, patch: str) -> None:
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"needs {library}")
    with Echo() as peer:
        apart(use_in_green_threads, peer.url, first=patch)


def test_only_the_public_interface_of_other_modules_is_used() -> None:
    source = Path(botlists.__file__).read_text(encoding="utf-8")
    own = {"_replace", "_asdict", "_fields", "_make"}  # public in named tuples
    used: set[str] = set()
    imported: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            own.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            own.add(node.id)
        elif isinstance(node, ast.Attribute):
            used.add(node.attr)
            if isinstance(node.ctx, ast.Store) and getattr(node.value, "id", "") == "self":
                own.add(node.attr)
        elif isinstance(node, ast.Import):
            imported.update(part for alias in node.names for part in alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            imported.update([*(node.module or "").split("."), *(a.name for a in node.names)])
    private = {name for name in used | imported if re.match("_[^_]", name)}
    assert private - own == set()
    assert used & {"queue", "mutex", "sock"} == set()
    assert ".pool.pool" not in source


# Traffic: TLS


def post_in_a_child(fork: str, url: str) -> None:
    dbots = DBotsClient(BOT, TOKEN, base_url=url, retries=0)
    dbots.post_stats(1)
    os.remove(os.environ["SSL_CERT_FILE"])
    check_end(forked(fork, lambda: dbots.post_stats(1)))


@each_fork
def test_a_child_does_not_read_the_systems_certificates_again(
    fork: str, trusted: ssl.SSLContext
) -> None:
    with Peer(GOOD, tls=trusted) as peer:
        apart(post_in_a_child, fork, peer.url)
        assert peer.connections == 2


@pytest.mark.parametrize("why", ["the first", "lost", "closed", "an hour later", "one-shot"])
@pytest.mark.parametrize("proxied", [False, True], ids=["direct", "proxied"])
def test_the_systems_certificates_are_read_once_for_a_client(
    proxied: bool, why: str, trusted: ssl.SSLContext, naps: list[float], monkeypatch: Patch
) -> None:
    with Peer(GOOD, tls=trusted) as peer, Proxy() as proxy:
        if proxied:
            monkeypatch.setenv("https_proxy", proxy.url)
        with dbots_at(peer) as dbots:
            if why != "the first":
                dbots.post_stats(1)
            os.remove(os.environ["SSL_CERT_FILE"])
            if why == "lost":
                peer.hang_up()
            elif why == "closed":
                dbots.close()
            elif why == "an hour later":
                naps.append(3600)
            do(dbots, "regenerate_key" if why == "one-shot" else "post_stats")
        assert peer.connections == (1 if why == "the first" else 2)


@pytest.mark.parametrize("own_pool", [False, True], ids=["default", "own pool"])
@pytest.mark.parametrize("method", ["get_log", "regenerate_key"])
@cases(
    "host, authority",
    {
        "an address, unknown authority": ("127.0.0.1", ""),
        "a name, unknown authority": ("localhost", ""),
        "another host's": ("other.example", CERTIFICATE),
    },
)
def test_a_refused_certificate_stops_the_token_and_is_not_retried(
    host: str,
    authority: str,
    method: str,
    own_pool: bool,
    tmp_path: Path,
    monkeypatch: Patch,
    names: dict[str, Any],
    naps: list[float],
) -> None:
    if authority:
        (tmp_path / "authority.pem").write_text(authority)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    pool = urllib3.PoolManager() if own_pool else None
    with Peer(GOOD, tls=tls_context(tmp_path)) as peer:
        names[host] = peer.port
        url = f"https://{host}:{peer.port}"
        dbots = DBotsClient(BOT, user_key=USER_KEY, base_url=url, pool=pool)
        with pytest.raises(botlists.TransportError, match="^DBots: not sent: ") as caught:
            do(dbots, method)
        assert caught.value.sent is False
        assert f"{host}:{peer.port}" in str(caught.value)
        assert isinstance(caught.value.__cause__, (*CAUSES, ValueError))
        assert (peer.received, peer.connections, naps) == ([], 1, [])


@pytest.mark.skipif(not hasattr(ssl.SSLContext, "keylog_filename"), reason="needs Python 3.8")
@pytest.mark.parametrize("client", [DBotsClient, LBotsClient])
def test_if_tls_cannot_be_set_up_the_constructor_raises_oserror(
    client: Any, monkeypatch: Patch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "missing" / "keys"))
    pytest.raises(OSError, client, BOT, TOKEN)


@pytest.mark.skipif(not hasattr(ssl.SSLContext, "keylog_filename"), reason="needs Python 3.8")
def test_if_tls_cannot_be_set_up_a_command_is_one_line_and_status_1(
    command: Any, monkeypatch: Patch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "missing" / "keys"))
    status, out, err = command(f"dbots get-log {BOT} --base-url https://127.0.0.1")
    assert (status, out) == (1, "")
    assert re.fullmatch("botlists: .*No such file.*\n", err)


# Traffic: proxies


@pytest.mark.parametrize("own_pool", [False, True], ids=["environment", "own pool"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_request_through_a_proxy(
    scheme: str, own_pool: bool, trusted: ssl.SSLContext, monkeypatch: Patch
) -> None:
    plain = scheme == "http"
    tls = None if plain else trusted
    with Peer(GOOD, tls=tls) as peer, Proxy({"dbots.co": peer.port}) as proxy:
        monkeypatch.setenv(f"{scheme}_proxy", "" if own_pool else proxy.url)
        pool = urllib3.ProxyManager(proxy.url) if own_pool else None
        with DBotsClient(BOT, "t", base_url=f"{scheme}://dbots.co", pool=pool) as dbots:
            assert dbots.post_stats(893) == 1
        [request] = proxy.received
        line = f"POST http://dbots.co/bots/{BOT}/stats" if plain else "CONNECT dbots.co:443"
        assert f"{request.method} {request.path}" == line
        assert ("Authorization" in request.headers) == plain
        assert peer.received[0].path == f"/bots/{BOT}/stats"
        assert peer.received[0].json == {"guildCount": 893}
        assert peer.received[0].headers["Authorization"] == "t"


@pytest.mark.parametrize("forwards", [False, True])
def test_a_proxy_manager_of_the_users_own_may_forward_https(
    forwards: bool, trusted: ssl.SSLContext
) -> None:
    with Peer(GOOD, tls=trusted) as proxy:
        pool = urllib3.ProxyManager(
            f"https://localhost:{proxy.port}", use_forwarding_for_https=forwards, retries=False
        )
        options: dict[str, Any] = {"pool": pool, "timeout": 0.5, "retries": 0}
        dbots = DBotsClient(BOT, "t", base_url="https://dbots.co", **options)
        if forwards:
            assert dbots.post_stats(1) == 1
        else:  # this proxy takes the CONNECT for a request, and no TLS of dbots.co follows
            pytest.raises(botlists.TransportError, dbots.post_stats, 1)
        line = "POST https://dbots.co/bots/" if forwards else "CONNECT dbots.co:443"
        assert f"{proxy.received[0].method} {proxy.received[0].path}".startswith(line)
        pool.clear()


@pytest.mark.parametrize("own_pool", [False, True], ids=["environment", "own pool"])
@pytest.mark.parametrize(
    ("failure", "scheme", "sent", "why"),
    [
        ("is not there", "http", False, "refused"),
        ("is not there", "https", False, "refused"),
        ("is silent", "http", True, "timed out"),
        ("is silent", "https", True, "timed out"),
        ("closes the connection", "http", True, ""),
        ("closes the connection", "https", True, ""),
        ("refuses CONNECT", "https", True, "407"),
    ],
)
def test_a_failure_at_a_proxy_names_the_proxy_and_no_credentials(
    failure: str,
    scheme: str,
    sent: bool,
    why: str,
    own_pool: bool,
    monkeypatch: Patch,
    naps: list[float],
) -> None:
    replies: dict[str, Reply] = {"is silent": silence, "refuses CONNECT": response(407)}
    with Peer(replies.get(failure, b"")) as proxy:
        place = f"127.0.0.1:{unused_port() if failure == 'is not there' else proxy.port}"
        url = f"http://us3r:passw0rd@{place}"
        monkeypatch.setenv("all_proxy", url)
        options: dict[str, Any] = {"pool": urllib3.ProxyManager(url) if own_pool else None}
        options["timeout"] = 0.2 if failure == "is silent" else 5
        dbots = DBotsClient(BOT, user_key="k", base_url=f"{scheme}://lists.example", **options)
        with pytest.raises(botlists.TransportError) as caught:
            dbots.regenerate_key()
        assert len(proxy.received) == sent  # a request that may have arrived is not sent again
    error = caught.value
    what = "no complete response" if sent else "not sent"
    where = re.escape(f"lists.example via proxy http://{place}")
    assert re.match(f"DBots: {what}: {where}: .*{why}", str(error))
    assert (error.sent, len(naps)) == (sent, 0 if sent else 2)
    assert isinstance(error, botlists.TransportTimeout) == (failure == "is silent")
    assert not re.search("us3r|passw0rd", text_of(error))


PROXY_VARIABLES = [
    # what is set, and the schemes for which it counts
    ("http_proxy", "http"),
    ("HTTP_PROXY", "http"),
    ("https_proxy", "https"),
    ("HTTPS_PROXY", "https"),
    ("all_proxy", "http https"),
    ("ALL_PROXY", "http https"),
    ("HTTP_PROXY REQUEST_METHOD", ""),  # under CGI, this is a header of a request
    ("http_proxy REQUEST_METHOD", "http"),
    ("http_proxy https_proxy ALL_PROXY=http://127.0.0.1:1", "http https"),
    ("https_proxy= HTTPS_PROXY", ""),  # empty means none, and lower case wins
    ("http_proxy= HTTP_PROXY", ""),
]


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(("variables", "schemes"), PROXY_VARIABLES)
def test_proxy_variables(
    variables: str, schemes: str, scheme: str, trusted: ssl.SSLContext, monkeypatch: Patch
) -> None:
    if os.name == "nt" and "= " in variables:
        pytest.skip("needs variables that differ in case alone")
    tls = trusted if scheme == "https" else None
    with Peer(GOOD, tls=tls) as peer, Proxy() as proxy:
        for variable in variables.split():
            name, equals, value = variable.partition("=")
            # Without a scheme, as curl accepts it.
            monkeypatch.setenv(name, value if equals else f"127.0.0.1:{proxy.port}")
        with dbots_at(peer) as dbots:
            dbots.post_stats(1)
        assert len(proxy.received) == (scheme in schemes.split())
        assert len(peer.received) == 1


@pytest.mark.parametrize("scheme", ["http", "https"])
@cases(
    "variables",
    {
        "nothing set": [],
        "empty": ["http_proxy", "https_proxy"],
        "EMPTY": ["HTTP_PROXY", "HTTPS_PROXY"],
        "all_proxy empty": ["all_proxy"],
        "no_proxy empty": ["no_proxy"],
    },
)
def test_the_proxy_settings_of_macos_and_windows_are_not_read(
    variables: list[str], scheme: str, trusted: ssl.SSLContext, monkeypatch: Patch
) -> None:
    # As there: the system's settings count if the environment names no proxy.
    environment = urllib.request.getproxies_environment

    def system(*_: object) -> Any:
        raise AssertionError("the system's settings were read")

    def getproxies() -> Any:
        return environment() or system()

    def proxy_bypass(host: str, *_: object) -> Any:
        return bool(environment()) or system()

    monkeypatch.setattr(urllib.request, "getproxies", getproxies)
    monkeypatch.setattr(urllib.request, "proxy_bypass", proxy_bypass)
    for name in variables:
        monkeypatch.setenv(name, "")
    with Peer(GOOD, tls=trusted if scheme == "https" else None) as peer, dbots_at(peer) as dbots:
        assert dbots.post_stats(1) == 1


@pytest.mark.parametrize(
    ("value", "direct"),
    [
        ("*", True),
        ("lists.example", True),
        ("LISTS.example", True),
        ("example", True),
        (".example", True),
        ("lists.example:80", True),
        ("other.example, .lists.example", True),
        ("lists.example:8080", False),
        ("ists.example", False),
        ("a.example", False),
        ("", False),
    ],
)
def test_no_proxy_may_carry_hosts_suffixes_ports_and_a_star(
    value: str, direct: bool, names: dict[str, Any], monkeypatch: Patch
) -> None:
    with Peer(GOOD) as peer, Proxy({"lists.example": peer.port}) as proxy:
        names["lists.example"] = peer.port
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", value)
        with DBotsClient(BOT, TOKEN, base_url="http://lists.example") as dbots:
            assert dbots.post_stats(1) == 1
        assert len(proxy.received) == (not direct)


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    ("userinfo", "plain"),
    [
        ("user:pass", "user:pass"),
        ("us%40er:p%3Aa%2Fs%C3%A9", "us@er:p:a/sé"),
        ("u", "u:"),
        ("C0RP%5Cuser:%2F%3F%23", "C0RP\\user:/?#"),
        ("user:p@ss", "user:p@ss"),
    ],
)
def test_credentials_in_a_proxys_url_are_decoded_and_sent_to_the_proxy_only(
    userinfo: str, plain: str, scheme: str, trusted: ssl.SSLContext, monkeypatch: Patch
) -> None:
    password = "Basic " + base64.b64encode(plain.encode()).decode()
    tls = trusted if scheme == "https" else None
    with Peer(GOOD, tls=tls) as peer, Proxy(password=password) as proxy:
        monkeypatch.setenv(f"{scheme}_proxy", f"http://{userinfo}@127.0.0.1:{proxy.port}/")
        with dbots_at(peer) as dbots:
            assert dbots.post_stats(1) == 1
        assert "Proxy-Authorization" not in peer.received[0].headers
        assert proxy.received[0].headers["Proxy-Authorization"] == password


UNESCAPED = [f"u{char}u:p@passw0rd" for char in "\\/?#"]
UNESCAPED += [f"u:p{char}p@passw0rd" for char in "\\/?#"]
UNESCAPED += [f"u:{char}{char}@passw0rd" for char in "\\/?#"]
UNESCAPED += [f"u:{char}8@passw0rd" for char in "\\/?#"]
MALFORMED = ["socks5://passw0rd:1", "http:///passw0rd", "http://passw0rd:99999", "http://passw0rd "]


@pytest.mark.parametrize("client", [DBotsClient, LBotsClient])
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
@pytest.mark.parametrize(
    "value", [*UNESCAPED, *(f"http://{place}:8080" for place in UNESCAPED), *MALFORMED]
)
def test_an_unusable_proxy_variable_is_a_valueerror_that_names_it_and_hides_its_value(
    value: str, variable: str, client: Any, monkeypatch: Patch
) -> None:
    monkeypatch.setenv(variable, value)
    [name] = (name for name in os.environ if name.lower() == variable.lower())
    with pytest.raises(ValueError, match=f"^{name} must be ") as caught:
        client(BOT, TOKEN)
    assert "passw0rd" not in text_of(caught.value)


@cases(
    "options",
    {
        "own pool": {"pool": urllib3.PoolManager()},
        "another scheme": {"base_url": "http://127.0.0.1"},
    },
)
def test_a_proxy_variable_that_is_not_needed_may_be_unusable(
    options: Any, monkeypatch: Patch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://127.0.0.1:1")
    DBotsClient(BOT, TOKEN, **options)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_https_proxy_with_the_certificate_of_another_host_gets_no_request(
    scheme: str, trusted: ssl.SSLContext, monkeypatch: Patch, names: dict[str, Any]
) -> None:
    with Peer(GOOD, tls=trusted) as proxy:
        names["other.example"] = proxy.port
        monkeypatch.setenv("all_proxy", f"https://u:p@other.example:{proxy.port}")
        dbots = DBotsClient(BOT, user_key=USER_KEY, base_url=f"{scheme}://dbots.co")
        with pytest.raises(botlists.TransportError, match="not sent.*other.example") as caught:
            dbots.regenerate_key()
        assert caught.value.sent is False
        assert (proxy.received, proxy.connections) == ([], 1)


# Traffic: logging


def logged(caplog: Log) -> list[str]:
    records = [record for record in caplog.records if record.name == "botlists"]
    return [f"{record.levelname} {record.getMessage()}" for record in records]


@cases(
    "reply, said, why",
    {
        "503": (response(503, {"message": "loud"}), "503", "503"),
        "429": (response(429, reason="loud"), "429", "429"),
        "closed": (b"", "no .*response", ".*127.0.0.1.*closed connection.*"),
        "silent": (silence, "no .*response", ".*127.0.0.1.*timed out.*"),
    },
)
def test_each_attempt_is_a_debug_line_and_each_retry_a_warning_with_reason_and_delay(
    reply: Reply, said: str, why: str, naps: list[float], caplog: Log
) -> None:
    caplog.set_level(logging.DEBUG, "botlists")
    assert play("dbots.post_stats", reply, GOOD, timeout=timeout_for(reply))[0] == 1
    attempt, retry, success = logged(caplog)
    label = f"DBots POST /bots/{BOT}/stats"
    assert re.fullmatch(rf"DEBUG {label}: {said} in \d+ ms", attempt)
    assert re.fullmatch(rf"WARNING {label}: {why}; retrying in {naps[0]:.1f} s", retry)
    assert re.fullmatch(rf"DEBUG {label}: 200 in \d+ ms", success)
    assert not re.search("loud|guildCount|" + re.escape(TOKEN), caplog.text)


@each_endpoint
def test_a_debug_line_has_service_method_path_status_and_milliseconds(
    endpoint: Endpoint, caplog: Log
) -> None:
    caplog.set_level(logging.DEBUG, "botlists")
    play(endpoint.id, GOOD)
    [line] = logged(caplog)
    service = {"dbots": "DBots", "lbots": "LBots"}[endpoint.service]
    label = f"DEBUG {service} {endpoint.verb} /bots/{BOT}/{endpoint.path}"
    assert re.fullmatch(rf"{label}: 200 in \d+ ms", line)


def test_an_error_that_is_raised_is_not_logged_beyond_its_debug_line(caplog: Log) -> None:
    caplog.set_level(logging.DEBUG, "botlists")
    play("lbots.get_favourites", response(500))
    [line] = logged(caplog)
    assert line.startswith("DEBUG ")


@pytest.mark.parametrize(("passed", "most"), [(0, 4), (1, 3), (2, 2), (3.1, None), (4, None)])
def test_waiting_a_second_or_more_for_a_limit_is_an_info_line_and_less_is_none(
    passed: float, most: float | None, naps: list[float], caplog: Log
) -> None:
    caplog.set_level(logging.INFO, "botlists")
    with Peer(GOOD) as peer, lbots_at(peer) as lbots:
        repeat(lbots, "get_favourites", 3)
        naps.append(passed)
        lbots.get_favourites()
    lines = logged(caplog)
    assert len(lines) == (most is not None)
    if most is not None:
        label = f"INFO LBots GET /bots/{BOT}/favourites"
        found = re.fullmatch(rf"{label}: waiting (\d\.\d) s .*rate limit", lines[0])
        assert found and most - 1 < float(found.group(1)) <= most


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


@each_endpoint
def test_a_command_calls_its_method_and_prints_one_json_object(
    endpoint: Endpoint, command: Any, sandbox: Sandbox
) -> None:
    assert command(f"{endpoint.command} {BOT} {endpoint.words}") == (0, endpoint.printed, "")
    [request] = sandbox.received
    expected = sent_by(endpoint)
    assert (request.method, request.path, request.body) == expected[1:3] + expected[4:]


@cases(
    "line, printed",
    {
        "a shard": (
            f"lbots post-stats {BOT} 7 --shard-id 0 --shard-count 4",
            {"guild_count": 7, "shard_id": 0, "shard_count": 4},
        ),
        "several shards": (f"lbots post-shard-stats {BOT} 5 0 7", {"guild_counts": [5, 0, 7]}),
        "a stranger": (
            f"lbots has-favourited {BOT} {STRANGER}",
            {"user_id": str(STRANGER), "favourited": False, "time": None},
        ),
        "has-favorited": (
            f"lbots has-favorited {BOT} {STRANGER}",
            {"user_id": str(STRANGER), "favourited": False, "time": None},
        ),
        "get-favorites": (f"lbots get-favorites {BOT}", {"favourites": 1}),
        "no webhook": (
            f"dbots edit-api {BOT} --clear",
            {"bot_id": BOT, "token": "dbots-token-1", "vote_webhook_url": None},
        ),
    },
)
def test_commands_take_options_and_american_names(line: str, printed: Any, command: Any) -> None:
    assert command(line) == (0, printed, "")


def placed(line: str, options: str, place: str) -> str:
    return f"{options} {line}" if place == "before" else f"{line} {options}"


each_place = pytest.mark.parametrize("place", ["before", "after"])


@each_place
@cases(
    "options, replies, requests",
    {
        "--max-wait": ("--max-wait 1", [response(429, Retry_After="2")], 1),
        "--retries": ("--retries 4", [response(429, Retry_After="0.001")], 5),
        "--timeout": ("--max-wait 0 --timeout 0.5", [silence], 1),
    },
)
def test_options_count_before_the_service_or_after_the_command(
    options: str, replies: Any, requests: int, place: str, command: Any
) -> None:
    with Peer(*replies) as peer:
        options = f"--base-url {peer.url} {options}"
        status, out, err = command(placed(f"dbots post-stats {BOT} 1", options, place))
        assert (status, out, len(peer.received)) == (1, "", requests)
    text = "timed out" if "timeout" in options else "botlists: DBots: 429: Said So\n"
    assert text in err and err.count("\n") == 1


@each_place
@pytest.mark.parametrize(
    "option", ["--timeout 0", "--timeout x", "--max-wait -1", "--retries -1", "--base-url h"]
)
def test_a_bad_option_is_named(option: str, place: str, command: Any) -> None:
    status, out, err = command(placed(f"dbots post-stats {BOT} 1", option, place))
    assert (status, out) == (2, "") and "error: " in err
    assert option.split()[0][2:].replace("-", "_") in err.replace("-", "_")


@each_place
def test_verbose_shows_attempts_and_retries_on_stderr_and_without_it_nothing_is_shown(
    place: str, command: Any
) -> None:
    line = f"dbots post-stats {BOT} 893"
    with Peer(response(503, Retry_After="0.01"), response(body={"guildCount": 893})) as peer:
        status, out, err = command(placed(line, f"--base-url {peer.url} --verbose", place))
        assert (status, out) == (0, {"guild_count": 893})
        attempt, retry, success = err.splitlines()
        assert re.search(f"DBots POST /bots/{BOT}/stats: 503 in [0-9]+ ms$", attempt)
        assert re.search("503; retrying in 0.0 s$", retry)
        assert re.search(f"DBots POST /bots/{BOT}/stats: 200 in [0-9]+ ms$", success)
    with Peer(response(503, Retry_After="0.01"), response(body={"guildCount": 893})) as peer:
        quiet = command(placed(line, f"--base-url {peer.url}", place))
        assert quiet == (0, {"guild_count": 893}, "")
        assert len(peer.received) == 2


@pytest.mark.parametrize(
    ("line", "usage", "part"),
    [
        ("", "", "SERVICE"),
        ("dbots", "dbots", "COMMAND"),
        ("dbots post-stats", "dbots post-stats", "BOT"),
        ("dbots post-stats 1 1.5", "dbots post-stats", "N"),
        ("dbots post-stats 1 -- -5", "dbots post-stats", "0 or more"),
        ("dbots post-stats ../1 1", "dbots post-stats", "bot_id"),
        ("lbots has-favourited 1 x", "lbots has-favourited", "user_id"),
        ("dbots edit-api 1", "dbots edit-api", "--clear"),
        ("dbots edit-api --clear", "dbots edit-api", "BOT"),
        ("dbots edit-api 1 --clear --vote-webhook-url x", "dbots edit-api", "not allowed"),
        ("lbots post-stats 1 1 --shard-id 4 --shard-count 4", "lbots post-stats", "shard_id"),
        ("lbots post-stats 1 1 --token x", "", "unrecognized arguments"),
    ],
)
def test_wrong_usage_is_2_with_the_usage_of_that_command_and_nothing_is_sent(
    line: str, usage: str, part: str, command: Any, sandbox: Sandbox
) -> None:
    status, out, err = command(line)
    assert (status, out) == (2, "")
    assert err.startswith(f"usage: botlists {usage}") and part in err.rpartition("error: ")[2]
    assert "9007199254740991" not in err
    assert sandbox.received == []


each_variable = cases(
    "variable, line",
    {
        "DBOTS_TOKEN": ("DBOTS_TOKEN", "dbots post-stats 1 1"),
        "DBOTS_USER_KEY": ("DBOTS_USER_KEY", "dbots get-api 1"),
        "LBOTS_TOKEN": ("LBOTS_TOKEN", "lbots get-favourites 1"),
    },
)


@each_variable
@pytest.mark.parametrize("value", [None, ""], ids=["missing", "empty"])
def test_a_variable_that_is_not_set_is_2_and_one_line_that_says_so(
    value: str | None, variable: str, line: str, command: Any, monkeypatch: Patch
) -> None:
    monkeypatch.delenv(variable) if value is None else monkeypatch.setenv(variable, value)
    status, out, err = command(line)
    assert (status, out) == (2, "")
    assert re.fullmatch(f"botlists: .*{variable} is not set\n", err)


@each_variable
@pytest.mark.parametrize(
    "value",
    [" ", "passw0rd\n", "passw0rdé", *(quoted.format("passw0rd") for quoted in QUOTED)],
    ids=as_id,
)
def test_a_malformed_variable_is_2_and_one_line_that_names_it(
    value: str, variable: str, line: str, command: Any, monkeypatch: Patch
) -> None:
    monkeypatch.setenv(variable, value)
    status, out, err = command(line)
    assert (status, out) == (2, "")
    assert re.fullmatch(f"botlists: .*{variable} must be .*quotes.*\n", err)
    assert "passw0rd" not in err and "not set" not in err


@pytest.mark.parametrize("value", ["http://u:p/w@passw0rd:8080", "socks5://passw0rd:1"])
def test_an_unusable_proxy_variable_is_2_and_one_line_that_names_it(
    value: str, command: Any, monkeypatch: Patch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", value)
    status, out, err = command("dbots get-api 1 --base-url https://lists.example")
    assert (status, out) == (2, "")
    assert re.fullmatch("botlists: .*HTTPS_PROXY.+\n", err) and "passw0rd" not in err


HELP = {
    "": ["DBOTS_TOKEN", "DBOTS_USER_KEY", "LBOTS_TOKEN"],
    "dbots": ["DBOTS_TOKEN", "DBOTS_USER_KEY"],
    "lbots": ["LBOTS_TOKEN"],
    **{row.command: [row.variable] for row in ENDPOINTS},
}


@pytest.mark.parametrize("words", HELP, ids=[words or "botlists" for words in HELP])
def test_help_names_the_variables_and_fits_80_columns(words: str, command: Any) -> None:
    status, text, err = command(f"{words} --help")
    assert (status, err) == (0, "") and max(map(len, text.splitlines())) <= 80
    named = [name for name in HELP[""] if name in text]
    assert named == HELP[words]


@cases(
    "line, argument",
    {
        "N of post-shard-stats": ("lbots post-shard-stats", r"^  N +\w+ .*each shard"),
        "--clear": ("dbots edit-api", r"^  --clear +\w+ "),
        "--vote-webhook-url": ("dbots edit-api", r"^  --vote-webhook-url URL\s+\w+ "),
        "--verbose": ("", r"^  --verbose +\w+ .*stderr"),
        "what dbots' commands do": ("dbots", "audit log"),
        "what lbots' commands do": ("lbots", "favourites"),
    },
)
def test_help_explains(line: str, argument: str, command: Any) -> None:
    text = command(f"{line} --help")[1].partition("\n\n")[2]
    assert re.search(argument, text, re.MULTILINE)


def test_version(command: Any) -> None:
    assert command("--version") == (0, f"botlists {botlists.__version__}\n", "")


@pytest.mark.parametrize("terminal_there", [False, True])
def test_progress_is_shown_on_a_terminal_only(
    terminal_there: bool, command: Any, monkeypatch: Patch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal_there, raising=False)
    progress = "1 of 3 shards\r2 of 3 shards\r3 of 3 shards\n" if terminal_there else ""
    expected = (0, {"guild_counts": [1, 2, 3]}, progress)
    assert command(f"lbots post-shard-stats {BOT} 1 2 3") == expected


each_entry = pytest.mark.parametrize(
    "entry", [("-m", "botlists"), ("botlists.py",)], ids=["module", "file"]
)


@each_entry
@cases(
    "token, outcome",
    {
        "right": ("lbots-token-1", (0, '{"favourites": 1}\n', "")),
        "wrong": ("wrong", (1, "", "botlists: LBots: 401: Unauthorized\n")),
    },
)
def test_module_and_file_are_the_command(
    entry: Any, token: str, outcome: Any, sandbox: Sandbox
) -> None:
    line = ["--base-url", sandbox.lbots_url, "lbots", "get-favourites", BOT]
    assert run(*entry, *line, LBOTS_TOKEN=token) == outcome


@each_entry
def test_a_retry_is_not_mentioned(entry: Any) -> None:
    with Peer(response(503, Retry_After="0.01"), GOOD) as peer:
        line = ["--base-url", peer.url, "lbots", "get-favourites", BOT]
        assert run(*entry, *line, LBOTS_TOKEN=TOKEN) == (0, '{"favourites": 1}\n', "")
        assert len(peer.received) == 2


def test_without_arguments_main_takes_those_of_the_process(monkeypatch: Patch, capsys: Any) -> None:
    monkeypatch.setattr(sys, "argv", ["botlists.py", "--version"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(botlists.__file__, run_name="__main__")
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"botlists {botlists.__version__}\n"


# The command line: standard streams and Ctrl-C

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


@pytest.mark.parametrize(
    "stream",
    [
        pytest.param("None", id="none"),
        pytest.param("types.SimpleNamespace(write=len, flush=int)", id="without isatty"),
        pytest.param("(lambda stream: stream.close() or stream)(io.StringIO())", id="closed"),
        pytest.param("sys.stderr", marks=needs_shell, id="closed by the shell"),
    ],
)
def test_without_a_usable_stderr_calls_run_and_no_error_goes_to_stdout(
    stream: str, sandbox: Sandbox
) -> None:
    closed = ["/bin/sh", "-c", 'exec "$0" "$@" 2>&-'] if stream == "sys.stderr" else []
    at = f"--base-url {sandbox.lbots_url}"
    lines = [
        f"{at} lbots post-shard-stats {BOT} 1 2",
        f"{at} --verbose lbots get-favourites {BOT}",
        f"{at} lbots get-favourites 1{BOT}",  # not on the list
        f"dbots get-api {BOT}",  # its variable is missing
        "lbots get-favourites",
    ]
    script, token = RUN_LINES.format(stream=stream), sandbox.lbots_token
    out = '{"guild_counts": [1, 2]}\n0\n{"favourites": 1}\n0\n1\n2\n2\n'
    assert run("-c", script, *lines, prefix=closed, LBOTS_TOKEN=token) == (0, out, "")


class Full(io.StringIO):
    """A stdout on a full disk."""

    def write(self, _: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    def close(self) -> None:
        super().close()
        raise OSError(errno.ENOSPC, "No space left on device")


DONE_BUT_UNWRITTEN = "botlists: the call was done.+No space left.+\n"


def test_with_a_full_stdout_one_line_says_that_the_call_was_done(
    command: Any, monkeypatch: Patch, sandbox: Sandbox
) -> None:
    monkeypatch.setattr(sys, "stdout", Full())
    status, _, err = command(f"dbots regenerate-key {BOT}")
    assert (status, sandbox.dbots_token) == (1, "dbots-token-2")
    assert re.fullmatch(DONE_BUT_UNWRITTEN, err)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_with_a_full_disk_under_stdout_python_prints_nothing_more_at_exit(sandbox: Sandbox) -> None:
    line = ["--base-url", sandbox.dbots_url, "dbots", "regenerate-key", BOT]
    with open("/dev/full", "w", encoding="utf-8") as full:
        env: Any = {"DBOTS_USER_KEY": sandbox.user_key, "PYTHONUNBUFFERED": ""}
        status, _, err = run("-m", "botlists", *line, stdout=full, **env)
    assert (status, sandbox.dbots_token) == (1, "dbots-token-2")
    assert re.fullmatch(DONE_BUT_UNWRITTEN, err)


def closed_stream() -> io.StringIO:
    stream = io.StringIO()
    stream.close()
    return stream


each_lost_stdout = cases("stdout", {"none": lambda: None, "closed": closed_stream})
WITHOUT_STDOUT = 'exec "$0" "$@" >&-'


@each_lost_stdout
def test_without_stdout_a_rotation_says_so_and_does_not_begin(
    stdout: Any, command: Any, monkeypatch: Patch, sandbox: Sandbox
) -> None:
    monkeypatch.setattr(sys, "stdout", stdout())
    status, _, err = command(f"dbots regenerate-key {BOT}")
    assert status == 2 and re.fullmatch("botlists: .*stdout.*\n", err)
    assert (sandbox.received, sandbox.dbots_token) == ([], "dbots-token-1")


@each_lost_stdout
@cases("endpoint", {row.id: row for row in ENDPOINTS if row.method != "regenerate_key"})
def test_without_stdout_any_other_command_runs_and_shows_nothing_on_stderr(
    endpoint: Endpoint, stdout: Any, command: Any, monkeypatch: Patch, sandbox: Sandbox
) -> None:
    monkeypatch.setattr(sys, "stdout", stdout())
    assert command(f"{endpoint.command} {BOT} {endpoint.words}") == (0, "", "")
    assert len(sandbox.received) == 1


@needs_shell
@cases(
    "line, status",
    {
        "rotation": (f"dbots regenerate-key {BOT}", 2),
        "post": (f"dbots post-stats {BOT} 893", 0),
        "token": (f"dbots get-api {BOT}", 0),
    },
)
def test_with_stdout_closed_by_the_shell_no_token_goes_to_stderr(
    line: str, status: int, sandbox: Sandbox
) -> None:
    words = ["-m", "botlists", "--base-url", sandbox.dbots_url, *line.split()]
    secrets: Any = {"DBOTS_TOKEN": sandbox.dbots_token, "DBOTS_USER_KEY": sandbox.user_key}
    got, _, err = run(*words, prefix=["/bin/sh", "-c", WITHOUT_STDOUT], **secrets)
    assert (got, sandbox.dbots_token, len(sandbox.received)) == (
        *(status, "dbots-token-1", 1 if status == 0 else 0),
    )
    assert "dbots-token" not in err and (err == "") == (status == 0)


def test_an_interrupted_command_is_130_and_quiet(command: Any, monkeypatch: Patch) -> None:
    monkeypatch.setattr(DBotsClient, "get_log", interrupt)
    assert command(f"dbots get-log {BOT}") == (130, "", "")


@needs_sigint
def test_ctrl_c_is_130_and_quiet() -> None:
    log = "import logging, sys; logging.basicConfig(stream=sys.stdout)\n"
    with Peer(response(429, Retry_After="25")) as peer:
        line = ["--base-url", peer.url, "dbots", "get-log", BOT]
        with started(log + RUN_FILE, "botlists.py", *line, DBOTS_USER_KEY=USER_KEY) as process:
            assert process.stdout is not None and "429" in process.stdout.readline()
            process.send_signal(signal.SIGINT)
            assert (*process.communicate(timeout=30), process.returncode) == ("", "", 130)


# The README

# Empty if this file was copied next to other tests.
README = "".join(path.read_text(encoding="utf-8") for path in HERE.glob("README.rst"))
EXAMPLES = [
    textwrap.dedent(example)
    for example in re.findall(r"\.\. code:: python\n\n((?:    .*\n|\n)+)", README)
]
needs_readme = pytest.mark.skipif(not README, reason="no README here")


def example_with(part: str) -> str:
    [example] = [text for text in EXAMPLES if part in text]
    return example


@pytest.fixture(scope="session")
def tls_server(tmp_path_factory: Any) -> Iterator[Sandbox]:
    with Sandbox(tls=tls_context(tmp_path_factory.mktemp("tls"))) as sandbox:
        yield sandbox


@pytest.fixture
def services(tls_server: Sandbox, trusted: Any) -> Iterator[tuple[Sandbox, dict[str, str], Proxy]]:
    """The sandbox, variables with which a process uses it as the real hosts, and the proxy used."""
    tls_server.reset()
    with Proxy({"dbots.co": tls_server.port, "lbots.org": tls_server.port}) as proxy:
        secrets = {
            "DBOTS_TOKEN": tls_server.dbots_token,
            "DBOTS_USER_KEY": tls_server.user_key,
            "LBOTS_TOKEN": tls_server.lbots_token,
            "DISCORD_TOKEN": "discord-token",
            "HTTPS_PROXY": proxy.url,
        }
        yield tls_server, secrets, proxy
    tls_server.check()


@needs_readme
@cases(
    "part, module, total, guild_count, token",
    {
        "the first post to DBots": ("dbots.post_stats(893)", "", 0, 893, 1),
        "the first post to LBots": ("lbots.post_stats(893)", "", 893, 0, 1),
        "shards with a progress bar": ("tqdm(counts)", "tqdm", 2317, 0, 1),
        "a rotation": ("dbots.regenerate_key()", "", 0, 0, 2),
        "a pool": ("SOCKSProxyManager(", "socks", 0, 0, 1),
        "a test with the sandbox": ("def test_posts", "", 0, 0, 1),
    },
)
def test_an_example_of_the_readme_runs_as_it_stands(
    part: str, module: str, total: int, guild_count: int, token: int, services: Any, tmp_path: Path
) -> None:
    if module:
        pytest.importorskip(module)
    example = example_with(part)
    if "def test_" in part:
        example += "\ntest_posts()"
    box, secrets, _ = services
    status, _, err = run("-c", example, cwd=tmp_path, **secrets)
    assert status == 0, err
    assert (box.total, box.guild_count) == (total, guild_count)
    assert box.dbots_token == f"dbots-token-{token}"


SHELL = re.findall(r"^    \$ botlists (.+)\n    (\{.+)$", README, re.MULTILINE)


@pytest.mark.parametrize(("line", "printed"), SHELL)
def test_a_command_of_the_readme_prints_what_it_says(
    line: str, printed: str, services: Any
) -> None:
    assert run("-m", "botlists", *line.split(), **services[1]) == (0, f"{printed}\n", "")


CRON = re.findall(r"^    \*/30 \* \* \* \* [~/]\S*/botlists (.+)$", README, re.MULTILINE)


@needs_shell
@pytest.mark.parametrize("arguments", CRON)
def test_the_crontab_of_the_readme_posts_what_a_file_has(
    arguments: str, services: Any, tmp_path: Path
) -> None:
    write = example_with("os.replace") + "\nwrite_guild_count(893)"
    assert run("-c", write, HOME=str(tmp_path)) == (0, "", "")
    script = f"{sys.executable} {botlists.__file__} {arguments}"
    env = {**services[1], "PATH": "/usr/bin:/bin", "SSL_CERT_FILE": os.environ["SSL_CERT_FILE"]}
    done = subprocess.run(["/bin/sh", "-c", script], cwd=str(tmp_path), env=env, check=False)
    assert done.returncode == 0
    assert services[0].total == 893


SHARD_POST = "".join(
    re.findall(r"^    (lbots\.post_shard_stats\(shard_counts.+)$", README, re.MULTILINE)
)


@needs_readme
@cases(
    "client, options, guilds, counts",
    {
        "all shards": (
            "AutoShardedClient",
            {"shard_count": 4},
            [0, 3, 3],
            {0: 1, 1: 0, 2: 0, 3: 2},
        ),
        "some of them": (
            "AutoShardedClient",
            {"shard_ids": [0, 2], "shard_count": 4},
            [2, 2],
            {0: 0, 2: 2},
        ),
        "one of them": ("Client", {"shard_id": 2, "shard_count": 4}, [2], {2: 1}),
        "no shards": ("Client", {}, [0, 1, 2], {0: 3}),
    },
)
def test_each_process_of_a_bot_posts_its_own_shards_with_the_empty_ones(
    client: str, options: Any, guilds: list[int], counts: Any, sandbox: Sandbox
) -> None:
    discord = pytest.importorskip("discord")
    bot = getattr(discord, client)(intents=discord.Intents.default(), **options)
    for number, shard in enumerate(guilds):
        guild = discord.Guild(data={"id": shard << 22 | number}, state=bot._connection)
        bot._connection._add_guild(guild)
    scope = {"bot": bot, "lbots": clients_of(sandbox)["lbots"]}
    exec(f"{example_with('def shard_counts')}\n{SHARD_POST}", scope)
    assert sandbox.shards == counts
    assert {request.json["shard_count"] for request in sandbox.received} == {bot.shard_count or 1}


@needs_readme
@cases("status", {"504": 504, "200 with a page": 200, "no response": None})
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


@needs_readme
@cases("status, kind", {"504": (504, "ServerError"), "401": (401, "Unauthorized")})
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


@needs_readme
def test_the_readme_has_every_name() -> None:
    assert SHELL and CRON and SHARD_POST
    for name in botlists.__all__:
        assert f"``{name}" in README
    for client in CLIENTS.values():
        for name in vars(client):
            assert name.startswith("_") or f"``{name}" in README
    dated = rf"^{re.escape(botlists.__version__)} \(\d{{4}}-\d\d-\d\d\):"
    assert re.search(dated, README, re.MULTILINE)


# README's programs for bots

# aiohttp comes with each of the libraries.
web: Any = importlib.import_module("aiohttp.web") if importlib.util.find_spec("aiohttp") else None

LIBRARY = next(filter(importlib.util.find_spec, ["discord", "nextcord", "disnake"]), "")
PROGRAMS = {
    "thread": "threading.Thread(target=post_guild_counts",
    "loop": "@tasks.loop",
    "votes": "hmac.compare_digest",
}
posting = pytest.mark.parametrize("name", ["thread", "loop"])

# Runs before a program. It sets the address of Discord, logs when the bot becomes ready, and waits
# for further guilds for a shorter time than the default of 2 s.
PRELUDE = """
import logging, os, yarl
import discord

def init(self, *args, _init=discord.Client.__init__, **options):
    _init(self, *args, **{**options, "guild_ready_timeout": 0.1})

def dispatch(self, event, *args, _dispatch=discord.Client.dispatch, **options):
    if event == "ready":
        logging.info("the bot is ready")
    _dispatch(self, event, *args, **options)

discord.Client.__init__, discord.Client.dispatch = init, dispatch
discord.http.Route.BASE = discord.http.Route.API_BASE_URL = os.environ["DISCORD_URL"]
discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(os.environ["DISCORD_URL"])
"""


class Discord:
    """As much of Discord as a bot in three guilds needs: its REST API and its gateway.

    `said` has what the bot has written. The server runs in a thread of its own.
    """

    USER = {"id": BOT, "username": "bot", "discriminator": "0", "avatar": None, "bot": True}
    GUILDS = [
        {
            "id": str(number),
            "name": f"guild {number}",
            "owner_id": str(FAN),
            "roles": [],
            "channels": [{"id": f"{number}1", "type": 0, "name": "general", "position": 0}],
            "member_count": 2,
        }
        for number in (1, 2, 3)
    ]
    LIMIT = {"total": 1000, "remaining": 999, "reset_after": 0, "max_concurrency": 1}
    APPLICATION = {
        "id": BOT,
        "name": "bot",
        "description": "",
        "icon": None,
        "bot_public": True,
        "bot_require_code_grant": False,
        "owner": USER,
        "verify_key": "",
        "summary": "",
        "flags": 0,
    }

    def __init__(self) -> None:
        self.said: list[str] = []
        self.gateway: Any = None  # the WebSocket of the bot
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.run(self.start())

    def run(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self.loop).result(10)

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/", self.respond_as_gateway)
        app.router.add_route("*", "/{path:.+}", self.respond)
        self.runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self.runner.addresses[0][1]}"

    def close(self) -> None:
        self.run(self.runner.cleanup())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()

    async def respond(self, request: Any) -> Any:
        responses = {
            "/users/@me": self.USER,
            "/oauth2/applications/@me": self.APPLICATION,
            "/gateway": {"url": self.url},
            "/gateway/bot": {"url": self.url, "shards": 1, "session_start_limit": self.LIMIT},
            "/channels/11/messages": self.message("", self.USER),
        }
        if request.path.endswith("/messages"):
            self.said.append((await request.json())["content"])
        body = json.dumps(responses.get(request.path, [])).encode()
        return web.Response(body=body, content_type="application/json")

    async def respond_as_gateway(self, request: Any) -> Any:
        self.gateway = web.WebSocketResponse()
        await self.gateway.prepare(request)
        await self.send(10, {"heartbeat_interval": 45000})
        async for message in self.gateway:
            operation = json.loads(message.data)["op"]
            if operation == 1:  # a heartbeat
                await self.send(11)
            if operation == 2:  # the bot identifies itself
                await self.send_ready()
        return self.gateway

    async def send(self, operation: int, data: Any = None, event: str | None = None) -> None:
        number = None if event is None else 1
        await self.gateway.send_json({"op": operation, "d": data, "s": number, "t": event})

    async def send_ready(self) -> None:
        ready = {"v": 10, "session_id": "1", "resume_gateway_url": self.url, "user": self.USER}
        ready["guilds"] = [{"id": guild["id"], "unavailable": True} for guild in self.GUILDS]
        await self.send(0, {**ready, "application": self.APPLICATION}, "READY")
        for guild in self.GUILDS:
            await self.send(0, guild, "GUILD_CREATE")

    def make_ready_again(self) -> None:
        """What follows when a bot has lost its connection for long."""
        self.run(self.send_ready())

    def mention_bot(self, text: str, user: int) -> None:
        author = {**self.USER, "id": str(user), "username": "user", "bot": False}
        message = self.message(f"<@{BOT}> {text}", author)
        message.update(guild_id="1", mentions=[self.USER])
        self.run(self.send(0, message, "MESSAGE_CREATE"))

    @staticmethod
    def message(content: str, author: Any) -> dict[str, Any]:
        message = {"id": "31", "channel_id": "11", "type": 0, "content": content, "author": author}
        message.update(timestamp="2026-11-28T12:00:00+00:00", edited_timestamp=None)
        message.update(tts=False, pinned=False, mention_everyone=False)
        return {**message, "mentions": [], "mention_roles": [], "attachments": [], "embeds": []}


class Bot:
    """A program that runs. `log` has the lines of its stderr so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.log: list[str] = []
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line)

    def logs(self, text: str, times: int = 1) -> None:
        """Wait until the text was logged, or logged that many times."""
        with contextlib.suppress(AssertionError):
            eventually(lambda: self.has_logged(text, times) or not self.reader.is_alive())
        assert self.has_logged(text, times), "".join(self.log)

    def has_logged(self, text: str, times: int) -> bool:
        return "".join(self.log).count(text) >= times

    def stop(self) -> str:
        """End the program with Ctrl-C, and return its log."""
        interrupted = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        self.process.wait(30)
        assert time.monotonic() - interrupted < 10
        self.reader.join()
        return "".join(self.log)

    def kill(self) -> None:
        self.process.kill()
        self.reader.join()


@pytest.fixture
def discord() -> Iterator[Discord]:
    if not LIBRARY:
        pytest.skip("needs discord.py, py-cord, nextcord or disnake")
    server = Discord()
    yield server
    server.close()


@pytest.fixture
def start(services: Any, discord: Discord) -> Iterator[Callable[..., Bot]]:
    """Start a program of the README, with some of its text and of its environment changed."""

    def start(
        name: str, changes: Sequence[tuple[str, str]] = (), before: str = "", **env: str | None
    ) -> Bot:
        if not README:
            pytest.skip("no README here")
        if name == "loop" and sys.version_info < (3, 9):
            pytest.skip("asyncio.to_thread needs Python 3.9")
        text = PRELUDE + before + example_with(PROGRAMS[name])
        if LIBRARY != "discord":
            text = text.replace("import discord", f"import {LIBRARY} as discord")
            text = text.replace("from discord.", f"from {LIBRARY}.")
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        given = {**services[1], "DISCORD_URL": discord.url, **env}
        variables = {name: value for name, value in given.items() if value is not None}
        bot = Bot(programs.enter_context(started(text, **variables)))
        programs.callback(bot.kill)
        return bot

    with contextlib.ExitStack() as programs:
        yield start


def posted(box: Sandbox) -> list[tuple[str, int]]:
    """The host and the count of each post."""
    requests = [request for request in box.received if request.method == "POST"]
    counts = [
        request.json.get("guild_count", request.json.get("guildCount")) for request in requests
    ]
    return [(request.headers["Host"], count) for request, count in zip(requests, counts)]


@needs_sigint
@posting
@pytest.mark.parametrize(
    ("tokens", "hosts"),
    [
        ({}, ["dbots.co", "lbots.org"]),
        ({"LBOTS_TOKEN": ""}, ["dbots.co"]),
        ({"DBOTS_TOKEN": ""}, ["lbots.org"]),
        ({"DBOTS_TOKEN": None, "LBOTS_TOKEN": None}, []),
    ],
    ids=["both set", "one empty", "the other empty", "none set"],
)
def test_a_bot_posts_to_the_lists_whose_token_is_set_once_it_is_ready(
    name: str, tokens: dict[str, str | None], hosts: list[str], services: Any, start: Any
) -> None:
    bot = start(name, **tokens)
    bot.logs("the bot is ready")
    bot.logs("posted", len(hosts))
    log = bot.stop()
    assert posted(services[0]) == [(host, 3) for host in hosts]
    assert log.count("posted 3 guilds") == len(hosts)


def test_a_bots_thread_posts_shards_with_the_change_that_the_readme_names(
    services: Any, start: Any
) -> None:
    changes = [("lbots.post_stats(len(bot.guilds))", SHARD_POST)]
    bot = start("thread", changes, before=example_with("def shard_counts"))
    bot.logs("posted", 2)
    assert (services[0].shards, services[0].guild_count) == ({0: 3}, 3)


@posting
def test_a_bot_shows_each_line_of_its_log_once(name: str, start: Any) -> None:
    debug = ('("botlists").setLevel(logging.INFO)', '("botlists").setLevel(logging.DEBUG)')
    bot = start(name, [debug])
    bot.logs("posted", 2)
    log = "".join(bot.log)
    for text in (" has connected to Gateway", "LBots POST ", "the bot is ready"):
        assert log.count(text) == 1, log


SOON = {
    "thread": [("time.sleep(1)", "time.sleep(0.1)"), ("time.sleep(1800)", "time.sleep(0.3)")],
    "loop": [("minutes=30", "seconds=0.3")],
}


@posting
@pytest.mark.parametrize(("host", "status"), [("dbots.co", 401), ("lbots.org", 503)])
def test_a_bot_logs_an_error_of_a_list_which_stops_neither_the_other_nor_the_next_post(
    name: str, host: str, status: int, services: Any, start: Any
) -> None:
    def fail(request: Received, response: Response) -> None:
        if request.headers["Host"] == host and status not in sent:
            sent.append(status)
            response.status_code = status
            response.set_data(PAGE)

    box = services[0]
    sent: list[int] = []
    box.on_response = fail
    bot = start(name, SOON[name])
    bot.logs(f": {status}")
    bot.logs("posted", 4)
    assert {"dbots.co", "lbots.org"} == {host for host, _ in posted(box)}
    assert box.total == box.guild_count == 3


# What may have become of stdout and stderr when a bot has run for days.
GONE = {
    "no reader": "import os; r, w = os.pipe(); os.dup2(w, 1); os.dup2(w, 2); os.close(r)",
    "no terminal": "import os; m, s = os.openpty(); os.dup2(s, 1); os.dup2(s, 2); os.close(m)",
    "None": "import sys; sys.stdout = sys.stderr = None",
}


@pytest.mark.skipif(not POSIX, reason="needs os.openpty")
@posting
@pytest.mark.parametrize("gone", GONE.values(), ids=GONE)
def test_a_bot_goes_on_posting_when_nobody_reads_its_log(
    name: str, gone: str, services: Any, start: Any
) -> None:
    start(name, SOON[name], before=f"{gone}\n")
    eventually(lambda: len(posted(services[0])) >= 6)


@pytest.fixture
def silent(services: Any) -> Iterator[socket.socket]:
    """In place of both lists, a server that accepts connections and says nothing."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(3)
        server.settimeout(10)
        for host in ("dbots.co", "lbots.org"):
            services[2].hosts[host] = server.getsockname()[1]
        yield server


@needs_sigint
@posting
def test_a_bot_ends_within_10_s_of_ctrl_c_while_a_list_is_silent(
    name: str, silent: socket.socket, start: Any
) -> None:
    bot = start(name)
    with silent.accept()[0]:
        bot.stop()


def test_a_bot_is_not_blocked_by_a_silent_list(
    discord: Discord, silent: socket.socket, start: Any
) -> None:
    start("loop").logs("the bot is ready")
    with silent.accept()[0]:  # a post, which lasts 3 s
        silent.settimeout(2)
        discord.mention_bot("favourited", FAN)
        with silent.accept()[0]:
            discord.mention_bot("favourited", FAN)
            silent.accept()[0].close()


def test_a_bot_that_becomes_ready_twice_starts_its_loop_once(
    services: Any, discord: Discord, start: Any
) -> None:
    bot = start("loop")
    bot.logs("posted", 2)
    discord.make_ready_again()
    bot.logs("the bot is ready", 2)
    discord.mention_bot("favourited", FAN)
    eventually(lambda: discord.said == ["Thank you!"])
    assert "on_ready" not in "".join(bot.log)  # no exception in it
    assert len(posted(services[0])) == 2


def test_a_bots_command_tells_whether_its_author_has_favourited_the_bot(
    services: Any, discord: Discord, start: Any
) -> None:
    box = services[0]
    bot = start("loop")
    bot.logs("posted", 2)
    discord.mention_bot("favourited", FAN)
    eventually(lambda: len(discord.said) == 1)
    discord.mention_bot("favourited", STRANGER)
    eventually(lambda: len(discord.said) == 2)
    box.next_responses = [Response(PAGE, 503)]
    discord.mention_bot("favourited", FAN)
    eventually(lambda: len(discord.said) == 3)
    assert discord.said == [
        "Thank you!",
        "You have not favourited this bot yet.",
        "LBots is unavailable at the moment.",
    ]
    bot.logs("LBots: 503")


def test_a_bots_command_says_so_where_no_token_is_set(discord: Discord, start: Any) -> None:
    start("loop", LBOTS_TOKEN="").logs("posted")
    discord.mention_bot("favourited", FAN)
    eventually(lambda: discord.said == ["LBOTS_TOKEN is not set."])


@pytest.fixture
def receiver(services: Any, start: Any) -> tuple[Bot, int]:
    """The program that receives votes, ready, and its port."""
    port = unused_port()
    bot = start("votes", [("8080", str(port))])
    bot.logs("the bot is ready")
    eventually(lambda: is_listening(port))
    return bot, port


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_bot_makes_an_event_of_a_vote(services: Any, receiver: tuple[Bot, int]) -> None:
    (box, _, _), (bot, port) = services, receiver
    box.webhook = {"voteWebhookURL": f"http://127.0.0.1:{port}"}
    for voter in (FAN, STRANGER):
        assert box.vote(voter) == 204
        bot.logs(f"Vote by {voter}")


def test_a_bots_receiver_refuses_what_is_not_a_vote(
    receiver: tuple[Bot, int], services: Any
) -> None:
    (bot, port), token = receiver, services[0].dbots_token
    manager = urllib3.PoolManager(retries=False, timeout=10)

    def status(body: Any, method: str = "POST", path: str = "", **headers: str) -> int:
        url = f"http://127.0.0.1:{port}/{path}"
        return manager.request(method, url, body=body, headers=headers).status

    vote = b'{"at": "2026-11-27T12:00:00.000Z", "by": "1"}'
    for wrong in ({}, *({"Authorization": text} for text in ("", "wrong", "\xe9", token + "\xe9"))):
        assert status(vote, **wrong) == 401
    for body in (b"", b"x", b"\xff", b"[]", b"1", b"null", b'"by"', b"{}", b'{"by": ""}'):
        assert status(body, Authorization=token) == 400
    for by in (
        b"1",
        b"true",
        b"null",
        b'["1"]',
        b'"one"',
        b'"-1"',
        b'"\\u0661"',
        b'"' + b"1" * 5000 + b'"',
    ):
        assert status(b'{"by": %s}' % by, Authorization=token) == 400
    for method in ("GET", "HEAD", "PUT"):
        assert status(None, method, Authorization=token) == 405
    assert status(vote, path="vote", Authorization=token) == 404
    with socket.create_connection(("127.0.0.1", port)):  # it says nothing, and blocks nobody
        assert status(iter([vote[:9], vote[9:]]), Authorization=token) == 204  # in chunks
    bot.logs("Vote by 1\n")
    assert "".join(bot.log).count("Vote by") == 1


@needs_sigint
def test_a_bots_receiver_ends_within_10_s_of_ctrl_c_while_a_connection_is_silent(
    receiver: tuple[Bot, int],
) -> None:
    bot, port = receiver
    with socket.create_connection(("127.0.0.1", port)):
        bot.stop()


def test_a_bot_that_becomes_ready_twice_starts_its_receiver_once(
    services: Any, discord: Discord, receiver: tuple[Bot, int]
) -> None:
    (box, _, _), (bot, port) = services, receiver
    discord.make_ready_again()
    bot.logs("the bot is ready", 2)
    box.webhook = {"voteWebhookURL": f"http://127.0.0.1:{port}"}
    assert box.vote(FAN) == 204
    bot.logs(f"Vote by {FAN}")
    assert "on_ready" not in "".join(bot.log)  # no exception in it


@pytest.mark.parametrize("token", [None, ""], ids=["unset", "empty"])
def test_a_bot_without_a_token_receives_no_vote(token: str | None, start: Any) -> None:
    port = unused_port()
    bot = start("votes", [("8080", str(port))], DBOTS_TOKEN=token)
    bot.logs("DBOTS_TOKEN is not set")
    assert not is_listening(port)


# The sandbox, for the tests of others


needs_threads = pytest.mark.skipif(not THREADED, reason="needs pytest-httpserver 1.0.11")


@needs_threads
def test_a_silent_connection_does_not_block_the_sandbox(sandbox: Sandbox) -> None:
    with socket.create_connection((sandbox.host, sandbox.port)):
        assert clients_of(sandbox)["lbots"].get_favourites() == 1


class Receiver(Peer):
    """A receiver of votes that calls the sandbox before it responds."""

    def next_reply(self, request: Received) -> Reply:
        super().next_reply(request)
        with LBotsClient(BOT, "lbots-token-1", base_url=self.lbots_url) as lbots:
            favourited = lbots.has_favourited(request.json["by"]).favourited
        return response(204 if favourited else 403)

    lbots_url = ""


def test_a_vote_is_sent_as_dbots_sends_it(sandbox: Sandbox) -> None:
    with Peer(response(204)) as receiver:
        sandbox.webhook = {"voteWebhookURL": f"{receiver.url}/votes"}
        assert sandbox.vote(FAN) == 204
    [vote] = receiver.received
    assert (vote.method, vote.path) == ("POST", "/votes")
    assert vote.headers["Authorization"] == sandbox.dbots_token
    assert vote.headers["Content-Type"] == "application/json"
    assert set(vote.json) == {"at", "by"} and vote.json["by"] == str(FAN)
    assert re.fullmatch(r"[0-9-]{10}T[0-9:]{8}\.[0-9]{3}Z", vote.json["at"])


def test_a_vote_needs_a_webhook(sandbox: Sandbox) -> None:
    with pytest.raises(ValueError, match="no vote webhook is set"):
        sandbox.vote(FAN)


@needs_threads
@cases("user, status", {"fan": (FAN, 204), "stranger": (STRANGER, 403)})
def test_a_receiver_of_votes_may_call_the_sandbox(user: int, status: int, sandbox: Sandbox) -> None:
    with Receiver(GOOD) as receiver, urllib3.PoolManager(retries=False, timeout=10) as pool:
        receiver.lbots_url = sandbox.lbots_url
        sandbox.webhook = {"voteWebhookURL": receiver.url}
        page = pool.request("GET", sandbox.url_for(f"/dbots/vote/{user}")).data
    assert page.decode() == f"The webhook responded with {status}.\n"


def test_the_page_that_sends_a_vote_says_what_is_missing(sandbox: Sandbox) -> None:
    with urllib3.PoolManager(retries=False, timeout=10) as pool:
        answer = pool.request("GET", sandbox.url_for("/dbots/vote/1"))
    assert (answer.status, answer.data) == (502, b"no vote webhook is set\n")


@cases(
    "token, after",
    {
        "the sandbox's": ("dbots-token-1", "dbots-token-2"),
        "rotated before": ("dbots-token-9", "dbots-token-10"),
        "one's own": ("mine", "mine-2"),
    },
)
def test_any_token_can_be_rotated(token: str, after: str, sandbox: Sandbox) -> None:
    sandbox.dbots_token = sandbox.lbots_token = token
    dbots, lbots = clients_of(sandbox).values()
    assert dbots.regenerate_key() == sandbox.dbots_token == after
    lbots.invalidate_token()
    assert sandbox.lbots_token == after


def broken(request: Received, response: Response) -> None:
    raise ZeroDivisionError("in the test's own code")


def test_what_on_response_raises_is_raised_at_the_end_of_the_with_block() -> None:
    with pytest.raises(ZeroDivisionError, match="own code"), Sandbox() as box:
        box.on_response = broken
        dbots = DBotsClient(BOT, box.dbots_token, base_url=box.dbots_url)
        assert raised(dbots.post_stats, 1).status == 500


def test_what_a_handler_raises_is_raised_by_check(sandbox: Sandbox) -> None:
    sandbox.favourites = None  # type: ignore[assignment]
    with pytest.raises(botlists.ServerError):
        clients_of(sandbox)["lbots"].get_favourites()
    with pytest.raises(TypeError, match="NoneType"):
        sandbox.check()
    sandbox.check()  # once


def statuses(sandbox: Sandbox, endpoint: Endpoint, times: int) -> list[int]:
    """The statuses of as many requests as a client without a rate limit would send."""
    request = sent_by(endpoint)
    with urllib3.PoolManager(retries=False, timeout=10) as pool:
        url = sandbox.url_for(request.path)
        sent: Any = {"body": request.body, "headers": request.headers}
        return [pool.request(request.method, url, **sent).status for _ in range(times)]


@each_limited_endpoint
def test_the_sandbox_has_the_documented_limits(endpoint: Endpoint, sandbox: Sandbox) -> None:
    requests, seconds = endpoint.limit or (0, 0)
    assert (requests, seconds) in sandbox.rate_limits.values()
    assert statuses(sandbox, endpoint, requests + 1) == [200] * requests + [429]


@each_limited_endpoint
def test_the_limits_of_the_sandbox_can_be_switched_off(
    endpoint: Endpoint, sandbox: Sandbox
) -> None:
    sandbox.rate_limits.clear()
    assert statuses(sandbox, endpoint, 25) == [200] * 25


@each_limited_endpoint
def test_the_limits_of_the_sandbox_can_be_changed(endpoint: Endpoint, sandbox: Sandbox) -> None:
    sandbox.rate_limits.update(stats=(1, 60.0), favourites=(1, 60.0))
    assert statuses(sandbox, endpoint, 2) == [200, 429]


def test_the_next_responses_are_sent_in_place_of_the_services_own(sandbox: Sandbox) -> None:
    sandbox.next_responses.append(Response("Busy", 503))
    dbots = DBotsClient(BOT, sandbox.dbots_token, base_url=sandbox.dbots_url, retries=0)
    with pytest.raises(botlists.ServerError, match="503: Busy"):
        dbots.post_stats(7)
    assert dbots.post_stats(8) == sandbox.guild_count == 8
    assert [request.json for request in sandbox.received] == [{"guildCount": 7}, {"guildCount": 8}]


# The demonstration


def test_the_demonstration_shows_every_call_and_no_secret(outputs: Any) -> None:
    status, text, err = outputs[1]
    assert (status, err) == (0, "")
    for endpoint in ENDPOINTS:
        assert f"{endpoint.id}(" in text
    assert "token-1" not in text and "user-key" not in text
    assert max(map(len, text.splitlines())) <= 80
    for part in ("Unauthorized", "NotFound", "TooManyRequests", "retrying in", "rate limit"):
        assert part in text


@needs_sigint
def test_serve_tells_how_to_reach_the_sandbox_and_each_request_until_ctrl_c() -> None:
    port = unused_port()
    with started(RUN_FILE, "test_botlists.py", "--serve", str(port)) as process:
        assert process.stdout is not None
        told = "".join(iter(process.stdout.readline, "Press Ctrl-C to stop.\n"))
        [python] = re.findall(r"^  lbots = (LBotsClient\([^)]+\))", told, re.MULTILINE)
        commands = re.findall(r"^  (\w+=\S+) python botlists.py (.+)$", told, re.MULTILINE)
        assert [words.split()[2] for _, words in commands] == ["dbots", "dbots", "lbots"]
        for secret, words in commands:
            name, _, value = secret.partition("=")
            assert run("-m", "botlists", *words.split(), **{name: value})[0] == 0
        with eval(python) as client:
            assert client.base_url == f"http://127.0.0.1:{port}/lbots/api/v1"
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


if __name__ == "__main__":
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    parser = argparse.ArgumentParser(description=demonstrate.__doc__)
    parser.add_argument("--serve", nargs="?", type=int, const=0, metavar="PORT", help=serve.__doc__)
    arguments = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        demonstrate() if arguments.serve is None else serve(arguments.serve)
