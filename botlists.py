"""Clients for two lists of Discord bots: DBots (dbots.co) and LBots (lbots.org).

    from botlists import LBotsClient

    with LBotsClient(bot_id, token) as lbots:
        lbots.post_stats(893)
        if lbots.has_favourited(user_id):
            print("thank you!")

One file on urllib3 alone (1.26 or 2), for Python 3.7 and later; copy it or install it. For more
see README.rst of the botlists distribution, `help(botlists)` or `python -m botlists --help`.

SPDX-License-Identifier: MIT. Copyright the botlists contributors.
"""

from __future__ import annotations

__version__ = "1.0.0"

__all__ = [
    "DBotsClient", "LBotsClient",
    "ApiDocument", "AuditChange", "AuditLog", "Favourite",
    "BotListError", "TransportError", "TransportTimeout", "InvalidResponse", "APIError",
    "BadRequest", "Unauthorized", "Forbidden", "NotFound", "TooManyRequests", "ServerError",
    "DeprecatedEndpoint",
]

import base64
import collections
import contextlib
import email.utils
import http.client
import json
import logging
import math
import operator
import os
import queue
import random
import re
import socket
import ssl
import sys
import threading
import time
import weakref
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Callable, ClassVar, NamedTuple, TypeVar, cast
from urllib.parse import unquote_to_bytes

from urllib3 import (
    HTTPConnectionPool,
    HTTPSConnectionPool,
    PoolManager,
    ProxyManager,
    Retry,
    Timeout,
    exceptions,
)
from urllib3.connection import HTTPConnection, HTTPSConnection, port_by_scheme
from urllib3.util import parse_url

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from urllib3.response import BaseHTTPResponse
    from urllib3.util import Url

C = TypeVar("C", bound="_Client")
T = TypeVar("T")

_USER_AGENT = f"botlists/{__version__}"

_log = logging.getLogger("botlists")


# Errors


class BotListError(Exception):
    """The base of all errors that a call can raise. Its text is one line, without secrets."""

    def __init__(self, text: str) -> None:
        super().__init__(text if len(text) <= 300 else text[:297] + "...")

    def __reduce__(self) -> tuple[Any, ...]:
        # Pickles by default call the class with the text alone: too little for the ones below.
        return Exception.__new__, (type(self), *self.args), self.__dict__


class TransportError(BotListError):
    """No complete answer came. `sent` is False only if the service surely never saw the request."""

    def __init__(self, text: str, sent: bool) -> None:
        super().__init__(text)
        self.sent = sent


class TransportTimeout(TransportError):
    """Connecting, or a wait for bytes, outlasted `timeout`."""


class InvalidResponse(BotListError):
    """An answer that the service's document does not promise: its `status`, and `body`, whole."""

    def __init__(self, status: int, text: str, body: bytes) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status
        self.body = body


class APIError(BotListError):
    """The service refused, with `status`, a `message` of its own, `body`, and `retry_after` (s)."""

    def __init__(
        self, status: int, message: str, body: bytes = b"", retry_after: float | None = None
    ) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message
        self.body = body
        self.retry_after = retry_after


class BadRequest(APIError):
    """400: the service does not accept the data; at DBots: the user does not manage the bot."""


class Unauthorized(APIError):
    """401: the token or key is wrong, or no longer valid."""


class Forbidden(APIError):
    """403: the credential is right, but not for this."""


class NotFound(APIError):
    """404: the list does not know the bot, or `base_url` is wrong."""


class TooManyRequests(APIError):
    """429: over a limit. Also raised, with nothing sent, if the turn within one is too far off."""


class ServerError(APIError):
    """5xx: the service, or a gateway before it, failed."""


class DeprecatedEndpoint(APIError):
    """The service has withdrawn the endpoint: look for a newer botlists."""


_ERRORS: dict[int, type[APIError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    429: TooManyRequests,
    **dict.fromkeys(range(500, 600), ServerError),
}


# Results


class Favourite(NamedTuple):
    """Whether a user has favourited the bot in this quarter; true if so."""

    user_id: int
    favourited: bool
    time: datetime | None
    """When, in UTC; None if not, or not known."""

    def __bool__(self) -> bool:
        return self.favourited


class ApiDocument(NamedTuple):
    """What DBots keeps for a bot's use of its API. The repr hides the token."""

    bot_id: str
    token: str
    vote_webhook_url: str | None

    def __repr__(self) -> str:
        return (
            f"ApiDocument(bot_id={self.bot_id!r}, token='***', "
            f"vote_webhook_url={self.vote_webhook_url!r})"
        )


class AuditChange(NamedTuple):
    """One change of a bot's page: when (UTC), by whom, what was there before and what is now."""

    at: datetime
    by: str
    old: dict[str, Any]
    new: dict[str, Any]


class AuditLog(NamedTuple):
    """The changes of a bot's page, in the order of the service."""

    bot_id: str
    changes: tuple[AuditChange, ...]


# Checks of arguments: TypeError or ValueError that names the argument and shows no value, since
# the value may be a secret in the wrong place.


def _count(name: str, value: Any) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, not {type(value).__name__}")
    if number < 0 or number.bit_length() > 10000:  # json would refuse it, only later
        raise ValueError(f"{name} must be from 0 to 2**10000")
    return int(number)  # an enum's member, say, prints as something else


def _snowflake(name: str, value: Any) -> str:
    """An ID as Discord gives them: 64 bits, more than JavaScript's numbers hold, so often a str."""
    if isinstance(value, str):
        # int() alone would accept other scripts' digits, signs, underscores and spaces.
        digits = re.fullmatch("0*([0-9]{1,20})", value)
        number = int(digits.group(1)) if digits else 0
    else:
        number = _count(name, value)
    if not 1 <= number < 2**64:
        raise ValueError(f"{name} must be a Discord ID: digits, from 1 to 2**64 - 1")
    return str(number)


def _secret(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    if not re.fullmatch("[!-~]([ -~]*[!-~])?", value):
        raise ValueError(f"{name} must be printable ASCII, not empty, without surrounding space")
    return value


def _seconds(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number of seconds, not {type(value).__name__}")
    if not value >= 0:
        raise ValueError(f"{name} must be 0 or more")
    return min(value, 2e6)  # 23 days: systems count the milliseconds of a wait in 31 bits


def _http_url(name: str, value: Any) -> Url:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    try:
        if not value.isprintable() or " " in value:
            raise ValueError
        url = parse_url(value)
        (url.host or "").encode("idna")  # connecting does, and would only fail later
    except ValueError:
        raise ValueError(f"{name} is not a URL") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError(f"{name} must start with http:// or https:// and name a host")
    return url


def _shards(guild_counts: Any, shard_count: Any) -> tuple[list[tuple[int, int]], int]:
    """(shard_id, guild_count) of each shard to post, and the number of shards of the whole bot."""
    if isinstance(guild_counts, Mapping):
        items = list(guild_counts.items())
        if shard_count is None:
            raise ValueError("shard_count is required with a mapping")
    else:
        text = isinstance(guild_counts, (str, bytes, bytearray))
        try:
            if text or not hasattr(type(guild_counts), "__getitem__"):
                raise TypeError
            items = list(enumerate(guild_counts))  # a single number of numpy's cannot be iterated
        except TypeError:
            raise TypeError("guild_counts must be a sequence or a mapping of integers") from None
        shard_count = len(items) if shard_count is None else shard_count
    total = _count("shard_count", shard_count)
    shards = [(_count("shard_id", key), _count("guild_counts", value)) for key, value in items]
    if not shards:
        raise ValueError("guild_counts must name at least one shard")
    if max(shards)[0] >= total:
        raise ValueError("shard_count must be greater than every shard_id in guild_counts")
    return shards, total


# Checks of answers: a ValueError that shows no value becomes an InvalidResponse in _Client.


def _field(fields: Any, kind: type[T], *names: str) -> T:
    """The first of `names` that is there, which must be of just this `kind`: True is no integer."""
    if not isinstance(fields, dict):
        raise ValueError("the answer is not a JSON object")
    for name in names:
        if name in fields:
            value = fields[name]
            if type(value) is not kind:
                raise ValueError(f"{name} is not of type {kind.__name__}")
            return value
    raise ValueError(f"{names[0]} is missing")


def _nullable(fields: dict[str, Any], kind: type[T], name: str) -> T | None:
    return None if fields.get(name, "") is None else _field(fields, kind, name)


def _utc(parse: Callable[[str], datetime], text: str) -> datetime:
    """What `parse` makes of `text`, aware and in UTC."""
    try:
        time_ = parse(text)
        if time_.tzinfo is None:
            return time_.replace(tzinfo=timezone.utc)
        return time_.astimezone(timezone.utc)
    except (ValueError, TypeError, IndexError, OverflowError):  # each from some version or text
        raise ValueError("a date is not in a known form") from None


def _http_date(text: str) -> datetime:
    """From the form of HTTP's headers, which LBots uses in answers too."""
    return _utc(email.utils.parsedate_to_datetime, text)


def _datetime(text: str) -> datetime:
    """From the form of JavaScript's JSON, or else of HTTP's headers."""
    date = "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}"
    parts = re.fullmatch(rf"({date})(?:(\.[0-9]{{1,6}})[0-9]*)?(Z|[+-][0-9:]{{5}})?", text)
    if parts is None:
        return _http_date(text)
    seconds, fraction, zone = parts.groups("")
    fraction = (fraction or ".").ljust(7, "0")
    zone = "+00:00" if zone in ("", "Z") else zone
    # In the one form, with microseconds and an offset, that all Pythons read alike.
    return _utc(datetime.fromisoformat, seconds + fraction + zone)


# Requests: all that is known of urllib3, JSON, limits and repeats.


_BODY_LIMIT = 16 * 2**20  # bytes of an answer: far more than any document, and no harm to a host
_NO_RETRIES = Retry(False)  # nor redirects; made once: from False urllib3 makes one per call


class _WaitBudget:
    """The seconds that one call may still sleep, for limits and repeats together."""

    def __init__(self, seconds: float) -> None:
        self.left = seconds

    def sleep(self, seconds: float) -> None:
        self.left -= seconds
        if seconds > 0:
            time.sleep(seconds)


class _Limit:
    """At most `calls` requests in any `window` of seconds as the service sees it, in all threads.

    The service may count a request at any moment between its sending and its answer. So there
    are `calls` slots: a request holds one, which is free again one window after its answer.
    """

    def __init__(self, calls: int, window: float) -> None:
        self.calls = calls
        self.window = window
        self._free = collections.deque([0.0] * calls)  # when each idle slot is free, soonest first
        self._queue: list[object] = []  # the requests that wait, in their order
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def slot(self, budget: _WaitBudget, request: str) -> Iterator[None]:
        """Hold a slot for a request, or raise TooManyRequests as soon as that surely takes more
        than the budget.
        """
        ticket = object()
        try:
            wait = self._take(ticket)
            while wait > 0:
                if wait > budget.left:
                    raise TooManyRequests(
                        429,
                        f"not sent: {request} is limited to {self.calls} in {self.window:g} s; "
                        f"its turn is in {wait:.1f} s at the earliest",
                        retry_after=wait,
                    )
                if wait >= 1:
                    _log.info("%s waits %.1f s for its limit", request, wait)
                budget.sleep(wait)
                wait = self._take(ticket)
            yield
        finally:
            with self._lock:
                if ticket in self._queue:
                    self._queue.remove(ticket)
                elif len(self._free) < self.calls:  # as is not, where a request itself forked
                    self._free.append(time.monotonic() + self.window)

    def _take(self, ticket: object) -> float:
        """Take a slot, and return 0, if it's the ticket's turn; else the least time until then."""
        with self._lock:
            if ticket not in self._queue:
                self._queue.append(ticket)
            wait = self._wait(self._queue.index(ticket))
            if wait == 0:
                self._free.popleft()
                self._queue.remove(ticket)
            return wait

    def wait(self) -> float:
        """Seconds until a request that comes now may go, at the least."""
        with self._lock:
            return self._wait(len(self._queue))

    def _wait(self, ahead: int) -> float:
        now = time.monotonic()
        rounds, place = divmod(ahead, self.calls)
        # A slot that is held can be free one window from now, if its answer arrives at once.
        free = self._free[place] if place < len(self._free) else now + self.window
        return max(free - now, 0.0) + rounds * self.window

    def after_fork(self) -> None:
        """In a child: the parent's requests still count, but its threads and locks are gone."""
        held = self.calls - len(self._free)
        self._free.extend([time.monotonic() + self.window] * held)
        self._queue.clear()
        self._lock = threading.Lock()


class _IdleConnections:
    """A pool's idle connections: a LifoQueue without its locks, which a fork could copy held."""

    def __init__(self, maxsize: int) -> None:
        self._connections: list[Any] = []

    def get(self, block: bool, timeout: float | None = None) -> Any:
        try:
            return self._connections.pop()
        except IndexError:
            raise queue.Empty from None

    def put(self, connection: Any, block: bool = True) -> None:
        sock = getattr(connection, "sock", None)
        # What TLS has decrypted beyond an answer would be taken for the next one: urllib3 looks for
        # such bytes on the network alone. Its own TLS within TLS, which is no socket, can't tell.
        surplus = isinstance(sock, ssl.SSLSocket) and sock.pending()
        if isinstance(sock, socket.socket) and not surplus and len(self._connections) < 10:
            self._connections.append(connection)
        elif connection is not None:
            connection.close()

    def __del__(self) -> None:
        for connection in self._connections:  # as urllib3 2 does, and 1.26 does not
            connection.close()


class _HTTPResponse(http.client.HTTPResponse):
    """Closes the gaps that http.client leaves to a hostile service."""

    _heads = 0

    def begin(self) -> None:
        super().begin()
        # Header lines that cannot be read: urllib3 logs them, and a token may be in them.
        self.msg.set_payload("")
        self.msg.defects.clear()

    def _read_status(self) -> Any:
        self._heads += 1
        if self._heads > 10:  # 100 Continue, without end
            raise http.client.HTTPException
        return cast(Any, super())._read_status()

    def _safe_read(self, amount: int) -> Any:
        if amount < 0:  # a chunk's size; to read -1 bytes is to read without end
            raise http.client.HTTPException
        return cast(Any, super())._safe_read(amount)

    def _read_and_discard_trailer(self) -> None:
        for _ in range(100):  # as many lines as Python takes of headers
            if cast(Any, self.fp).readline(65536) in (b"\r\n", b"\n", b""):
                return
        raise http.client.HTTPException


class _HTTPConnection(HTTPConnection):
    """Sends a request's head and body at once; urllib3 takes two system calls and packets."""

    response_class = _HTTPResponse
    _held: list[bytes] | None = None

    def request(self, *args: Any, **kwargs: Any) -> None:
        held: list[bytes] = []
        self._held = held
        try:
            super().request(*args, **kwargs)
        finally:
            self._held = None
        self.send(b"".join(held))

    def send(self, data: Any) -> None:
        if self._held is None:
            super().send(data)
        else:
            self._held.append(data)


class _HTTPSConnection(_HTTPConnection, HTTPSConnection):
    pass


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls: Any = _HTTPConnection
    QueueCls: Any = _IdleConnections


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls: Any = _HTTPSConnection
    QueueCls: Any = _IdleConnections


class _Route(NamedTuple):
    """How requests go out: `opener.urlopen(method, prefix + path, ...)`."""

    opener: HTTPConnectionPool | PoolManager
    prefix: str
    forwarded: bool
    """Whether a proxy reads the requests, as it does with http, and may answer them itself."""


def _environment_proxy(url: Url) -> Url | None:
    """The proxy for `url` that the environment names, read as curl and requests do."""
    if not {f"{url.scheme}_proxy", "all_proxy"}.intersection(map(str.lower, os.environ)):
        return None
    # Imported here since it costs half as much as urllib3, and few hosts need it.
    from urllib.request import getproxies, proxy_bypass

    proxies = getproxies()
    proxy = proxies.get(str(url.scheme)) or proxies.get("all")
    host = str(url.host).rstrip(".")
    port = url.port or port_by_scheme[str(url.scheme)]
    if not proxy or proxy_bypass(f"{host}:{port}") or _in_networks(host, proxies.get("no", "")):
        return None
    name = f"{url.scheme}_proxy or all_proxy in the environment"
    found = _http_url(name, proxy if "://" in proxy else f"http://{proxy}")
    if found.scheme == "https" and _is_address(found):
        # For this urllib3 checks the certificate's host in some versions, and fails in others.
        raise ValueError(f"{name} must give the name of an https proxy, not its address")
    return found


def _in_networks(host: str, networks: str) -> bool:
    """Whether `host` is an address in one of `networks`: 10.0.0.0/8,::1"""
    import ipaddress

    for network in networks.split(","):
        with contextlib.suppress(ValueError):  # a name
            address = ipaddress.ip_address(host.strip("[]"))
            if address in ipaddress.ip_network(network.strip(), strict=False):
                return True
    return False


def _is_address(url: Url) -> bool:
    return re.fullmatch(r"([0-9]+\.){3}[0-9]+|\[.+\]", str(url.host)) is not None


def _tls_context(url: Url) -> ssl.SSLContext | None:
    """Certificates are checked with the system's store, or that of SSL_CERT_FILE."""
    if url.scheme == "http":
        return None
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # Python's own default from 3.10 on
    if _is_address(url):
        # urllib3 compares addresses itself then; in 1.26 there would be no other way.
        context.check_hostname = False
    return context


def _new_manager(url: Url, proxy: Url | None) -> PoolManager:
    """Connections of our own, through the proxy if there is one."""
    manager: PoolManager
    if proxy is None:
        manager = PoolManager(ssl_context=_tls_context(url))
    else:
        headers = {}
        if proxy.auth:
            auth = unquote_to_bytes(proxy.auth if ":" in proxy.auth else proxy.auth + ":")
            headers["Proxy-Authorization"] = "Basic " + base64.b64encode(auth).decode()
        manager = ProxyManager(
            proxy._replace(auth=None).url,
            proxy_headers=headers,
            proxy_ssl_context=_tls_context(proxy),
            ssl_context=_tls_context(url),
        )
    manager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}
    return manager


_UNSENT = (  # no connection was made, or none was to be had
    exceptions.NewConnectionError,
    exceptions.ConnectTimeoutError,
    exceptions.ClosedPoolError,
)


def _root_cause(error: BaseException) -> BaseException:
    """urllib3 wraps exceptions in one another, differently in each version: the innermost one."""
    for arg in error.args:
        if isinstance(arg, BaseException):
            return _root_cause(arg)
    return error


def _certificate_refused(reason: BaseException) -> bool:
    # The certificate errors of ssl and of urllib3 1.26 are ValueErrors, as no other one is; a bare
    # SSLError of urllib3 is a fingerprint's. All come before anything is sent.
    return isinstance(reason, (ValueError, exceptions.SSLError))


def _transport_error(error: exceptions.HTTPError, redact: Callable[[str], str]) -> TransportError:
    """urllib3's exception as ours: the one place that knows what its exceptions mean."""
    reason = _root_cause(error)
    said = str(reason.args[0] if len(reason.args) == 1 else reason)
    text = redact(re.sub(r"^(<[^>]*>|\w+\(.*?\)): ", "", said)) or type(reason).__name__
    broken = isinstance(reason, (http.client.HTTPException, exceptions.InvalidHeader))
    broken = broken and not isinstance(reason, OSError)  # as a connection closed early is both
    if broken:
        text = f"the answer is broken: {type(reason).__name__}"
    refused = text.startswith("Tunnel connection failed")  # by a proxy; it has no type of its own
    if broken or refused:
        # It quotes what was said in place of an answer; a token may be in that, and tracebacks
        # show it.
        error.args = (text,)
        error.__cause__ = error.__context__ = None
    unsent = refused or isinstance(reason, _UNSENT) or _certificate_refused(reason)
    # In urllib3 1.26 a NewConnectionError is a kind of timeout; a proxy's is a bare socket.timeout.
    timed_out = isinstance(reason, (exceptions.TimeoutError, socket.timeout)) and not isinstance(
        reason, exceptions.NewConnectionError
    )
    return (TransportTimeout if timed_out else TransportError)(
        f"{text} ({'not sent' if unsent else 'the service may have acted'})", sent=not unsent
    )


def _read(response: BaseHTTPResponse) -> bytes:
    """The body as it came. Unless all of it is read the connection is dropped, not kept."""
    pieces: list[bytes] = []
    size = 0
    if response.length_remaining == 0:
        # An interim answer or an empty one: what may follow it is no answer to the next request.
        response.close()
    try:
        while size <= _BODY_LIMIT:
            piece = response.read(65536)
            pieces.append(piece)
            size += len(piece)
            if not piece or response.length_remaining == 0:
                return b"".join(pieces)
        raise InvalidResponse(response.status, "a body of more than 16 MiB", b"".join(pieces))
    except BaseException as error:
        response.close()
        if isinstance(error, ValueError):  # a chunk of a negative size, with a pool of the user's
            raise exceptions.ProtocolError("the answer is broken") from None
        raise
    finally:
        response.release_conn()


def _integer(text: str) -> int:
    if len(text) > 4300:  # as newer Pythons do; in older ones the time grows with the square
        raise ValueError("too many digits")
    return int(text)


# NaN and Infinity are not JSON, though Python reads them: int() refuses them.
_json = json.JSONDecoder(parse_int=_integer, parse_constant=_integer)


def _is_compressed(response: BaseHTTPResponse) -> bool:
    """Whether a body is, though nobody asked for it; unpacked it could take any memory."""
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    return encoding not in ("", "identity")


def _document(response: BaseHTTPResponse, body: bytes) -> Any:
    """The JSON of an answer; None where there is none, which no document promises either."""
    if _is_compressed(response):
        return None
    try:
        return _json.decode(body.decode())
    except (ValueError, RecursionError):
        return None


def _retry_after(value: str | None) -> float | None:
    """The seconds that a Retry-After header asks for, as a number or a date; None for nonsense."""
    if value is None:
        return None
    if re.fullmatch(r"\s*[0-9]{1,9}(\.[0-9]+)?\s*", value):
        return float(value)
    try:
        seconds = _http_date(value).timestamp() - time.time()
    except ValueError:
        return None
    return seconds if 0 <= seconds < 1e9 else None


def _may_repeat(error: BotListError, once: bool) -> bool:
    """Whether it makes sense and does no harm to send a request again after `error`."""
    if isinstance(error, TransportError):
        refused = error.__cause__ is not None and _certificate_refused(_root_cause(error.__cause__))
        return not refused and not (once and error.sent)
    if isinstance(error, ServerError):
        return error.status in (502, 503, 504) and not once
    return isinstance(error, TooManyRequests)


def _pause(error: BotListError, attempt: int, limit: _Limit | None) -> float:
    """Seconds until the next attempt: what the service says, or a doubling backoff with jitter."""
    if isinstance(error, APIError) and error.retry_after is not None:
        return error.retry_after
    if isinstance(error, TooManyRequests) and limit is not None:
        return limit.window
    return 2.0 ** min(attempt - 1, 5) * random.uniform(0.5, 1.0)


class _Client:
    """What both clients share: checked arguments, connections, and `_request`."""

    _LIMITS: ClassVar[Mapping[str, tuple[int, float]]] = {}  # name: (requests, seconds)
    _MESSAGE: ClassVar[str]  # the field of a refusal in which the service says why

    def __init__(
        self,
        bot_id: int | str,
        credentials: dict[str, str],
        base_url: str,
        timeout: float,
        retries: int,
        max_wait: float,
        pool: PoolManager | None,
    ) -> None:
        self.bot_id = _snowflake("bot_id", bot_id)
        self._credentials = {name: _secret(name, value) for name, value in credentials.items()}
        self._secrets = tuple(self._credentials.values())  # all that no text may show
        self._url = _http_url("base_url", base_url)
        if (self._url.auth, self._url.query, self._url.fragment) != (None, None, None):
            raise ValueError("base_url must have no credentials, query or fragment")
        self.base_url = base_url.rstrip("/")
        seconds = _seconds("timeout", timeout)
        if seconds == 0:
            raise ValueError("timeout must be greater than 0")
        self._timeout = Timeout(connect=seconds, read=seconds)
        self._retries = _count("retries", retries)
        self._max_wait = _seconds("max_wait", max_wait)
        if not (pool is None or isinstance(pool, PoolManager)):
            raise TypeError("pool must be a PoolManager or ProxyManager of urllib3")
        self._pool = pool
        self._proxy = _environment_proxy(self._url) if pool is None else None
        self._route: _Route | None = None
        self._opening = threading.Lock()
        self._limits = {name: _Limit(*limit) for name, limit in self._LIMITS.items()}
        _clients.add(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(bot_id={self.bot_id!r}, base_url={self.base_url!r})"

    def __enter__(self: C) -> C:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the idle connections; a later call opens new ones. A `pool` given stays open."""
        route, self._route = self._route, None
        if route is not None and isinstance(route.opener, HTTPConnectionPool):
            route.opener.close()

    def _open(self) -> _Route:
        with self._opening:
            if self._route is None:
                try:
                    self._route = self._new_route()
                except OSError as error:  # such as a file that SSLKEYLOGFILE names in vain
                    raise TransportError(f"TLS cannot be set up: {error}", False) from error
            return self._route

    def _new_route(self) -> _Route:
        plain = self._url.scheme == "http"
        if self._pool is not None:
            forwarded = plain and isinstance(self._pool, ProxyManager)
            return _Route(self._pool, self.base_url, forwarded)
        # The one pool that all requests need, without what a manager adds to each.
        pool = _new_manager(self._url, self._proxy).connection_from_url(self.base_url)
        forwarded = plain and self._proxy is not None
        return _Route(
            pool, self.base_url if forwarded else (self._url.path or "").rstrip("/"), forwarded
        )

    def _after_fork(self) -> None:
        """In a child: start without connections and locks, which are the parent's."""
        self.close()  # these copies of sockets, without a word to the service
        self._opening = threading.Lock()
        for limit in self._limits.values():
            limit.after_fork()
        if self._pool is not None:
            mine = PoolManager.__new__(type(self._pool))
            vars(mine).update(vars(self._pool), pools=type(self._pool.pools)())
            self._pool = mine

    def _redact(self, text: str) -> str:
        """`text` on one line, printable, without this client's secrets, and not without end."""
        text = "".join(c if c.isprintable() else " " for c in text[:65536])
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, "***")
        return text.strip()

    def _request(
        self,
        method: str,
        path: str,
        credential: str,
        decode: Callable[[Any], T],
        *,
        payload: dict[str, Any] | None = None,
        limit: _Limit | None = None,
        once: bool = False,
        budget: _WaitBudget | None = None,
    ) -> T:
        """Send a request, again where that helps, and `decode` the JSON of the answer.

        `once`: each sending changes something, so it is not repeated if it may have arrived.
        `budget`: what is left of `max_wait`, where one call makes several requests.
        """
        if credential not in self._credentials:
            raise ValueError(f"{credential} was not given to {self!r}, and this method needs it")
        headers = {"Authorization": self._credentials[credential], "User-Agent": _USER_AGENT}
        body = None
        if payload is not None:
            headers["Content-Type"] = "application/json"
            body = json.dumps(payload).encode()
        if budget is None:
            budget = _WaitBudget(self._max_wait)
        request = f"{method} {path}"
        attempt = 0
        while True:
            attempt += 1
            try:
                with limit.slot(budget, request) if limit else contextlib.nullcontext():
                    return self._attempt(method, path, headers, body, decode, once)
            except BotListError as error:
                pause = max(_pause(error, attempt, limit), limit.wait() if limit else 0.0)
                if attempt > self._retries or pause > budget.left or not _may_repeat(error, once):
                    raise
                why = error.status if isinstance(error, APIError) else str(error)
                _log.warning("%s: %s; trying again in %.1f s", request, why, pause)
            budget.sleep(pause)

    def _attempt(
        self,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes | None,
        decode: Callable[[Any], T],
        once: bool,
    ) -> T:
        route = self._route or self._open()
        status: int | str = "no answer"
        started = time.monotonic()
        try:
            response = route.opener.urlopen(
                method,
                route.prefix + path,
                body=body,
                headers=headers,
                retries=_NO_RETRIES,
                redirect=False,
                assert_same_host=False,  # a forwarded request is for another host than the proxy
                timeout=self._timeout,
                preload_content=False,
                decode_content=False,
                enforce_content_length=True,
            )
            status = response.status
            content = _read(response)
        except exceptions.HTTPError as error:
            raise _transport_error(error, self._redact) from error
        finally:
            _log.debug(
                "%s %s: %s in %.0f ms", method, path, status, 1000 * (time.monotonic() - started)
            )
        if response.status == 407 and route.forwarded:
            raise TransportError("the proxy refused: 407 (not sent)", sent=False)
        document = _document(response, content)
        self._check_refusal(response, content, document, once)
        if not 200 <= response.status < 300:
            raise InvalidResponse(response.status, "neither a result nor a refusal", content)
        if document is None:
            raise InvalidResponse(response.status, "the answer is not JSON", content)
        try:
            return decode(document)
        except ValueError as error:
            raise InvalidResponse(response.status, str(error), content) from None

    def _check_refusal(
        self, response: BaseHTTPResponse, body: bytes, document: Any, once: bool
    ) -> None:
        """Raise the APIError that the answer is, if it is one."""
        fields = document if isinstance(document, dict) else {}
        deprecated = fields.get("error") == "DEPRECATED"
        refused, status = self._verdict(response.status, fields)
        if not (refused or deprecated):
            return
        said = [fields.get(name) for name in (self._MESSAGE, "error", "message")]
        if document is None and not _is_compressed(response):
            text = body.decode(errors="replace").strip()
            # A new token may be in JSON without a message, in cut JSON, or be a rotation's answer.
            if not text.startswith(("{", "[", '"')) and not (once and len(text.split()) == 1):
                said.append(text)
        said += [response.reason, http.client.responses.get(status), "no reason given"]
        message = next(filter(None, (self._redact(text) for text in said if isinstance(text, str))))
        kind = DeprecatedEndpoint if deprecated else _ERRORS.get(status, APIError)
        raise kind(status, message, body, _retry_after(response.headers.get("Retry-After")))

    def _verdict(self, status: int, fields: dict[str, Any]) -> tuple[bool, int]:
        """Whether an answer is a refusal, and the status that tells which."""
        return status >= 400, status


_clients: weakref.WeakSet[_Client] = weakref.WeakSet()


def _after_fork() -> None:
    for client in _clients:
        client._after_fork()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_after_fork)


# The clients


def _guild_count(document: Any) -> int:
    return _field(document, int, "guildCount")


def _audit_log(document: Any) -> AuditLog:
    bot_id = _field(document, str, "_id")
    changes = document.get("changes")
    if not isinstance(changes, list):  # one object in the document, a list in the service's source
        changes = [_field(document, dict, "changes")]
    return AuditLog(bot_id, tuple(map(_audit_change, changes)))


def _audit_change(change: Any) -> AuditChange:
    at = _datetime(_field(change, str, "at"))
    by = _field(change, str, "by")
    states = _field(change, dict, "changes")
    return AuditChange(at, by, _field(states, dict, "old"), _field(states, dict, "new"))


def _new_token(document: Any) -> str:
    # The document says only `token: string`; the service's source sends a bare string.
    token = document if isinstance(document, str) else _field(document, str, "token")
    return _secret("token", token)


def _api_document(document: Any) -> ApiDocument:
    return ApiDocument(
        _field(document, str, "_id"),
        _field(document, str, "token"),
        _nullable(document, str, "voteWebhookURL"),
    )


class DBotsClient(_Client):
    """A bot's entry at DBots, through the API that is documented for https://dbots.co/api/v1.

    bot_id: the bot's ID, an int or a str of digits.
    token: the bot's API token, needed by `post_stats`.
    user_key: the key of a logged in user who manages the bot, needed by all other methods.
    base_url: where the API is, if elsewhere; http or https.
    timeout: seconds, more than 0, for connecting, and for each wait for bytes.
    retries: attempts after the first, 0 or more, for what may safely be tried again.
    max_wait: seconds that one call may sleep in all between attempts; 0 never sleeps.
    pool: a urllib3 PoolManager or ProxyManager to use instead of connections of the client's own,
        which trust the system's certificates and go through the proxy that the environment names.

    A client may be shared by threads and carried into forked children. Its calls raise TypeError
    or ValueError for wrong arguments, before anything is sent; all other failures are
    BotListErrors: TransportError, InvalidResponse or APIError.
    """

    _MESSAGE = "message"

    def __init__(
        self,
        bot_id: int | str,
        token: str | None = None,
        *,
        user_key: str | None = None,
        base_url: str = "https://dbots.co/api/v1",
        timeout: float = 10.0,
        retries: int = 2,
        max_wait: float = 30.0,
        pool: PoolManager | None = None,
    ) -> None:
        given = {"token": token, "user_key": user_key}
        credentials = {name: value for name, value in given.items() if value is not None}
        super().__init__(bot_id, credentials, base_url, timeout, retries, max_wait, pool)

    def post_stats(self, guild_count: int) -> int:
        """Post the number of guilds that the bot is in, 0 or more.

        Returns the number that the service now holds.
        Raises Unauthorized if the token is wrong, NotFound if the list does not know the bot.
        Source: DBots, "Post Bot Stats".
        """
        payload = {"guildCount": _count("guild_count", guild_count)}
        path = f"/bots/{self.bot_id}/stats"
        return self._request("POST", path, "token", _guild_count, payload=payload)

    def get_log(self) -> AuditLog:
        """Get the changes of the bot's page.

        Returns them in the order of the service.
        Raises Unauthorized if the key is wrong, BadRequest if its user does not manage the bot.
        Source: DBots, "Get Log".
        """
        return self._request("GET", f"/bots/{self.bot_id}/log", "user_key", _audit_log)

    def regenerate_key(self) -> str:
        """Replace the bot's API token by a new one.

        Returns the new token, with which this client posts from now on.
        Raises what `get_log` does. It is sent once: after a TransportError with `sent` true the
        token may have been replaced, and `get_api` tells which one holds. After an
        InvalidResponse the new token may be in its `body`.
        Source: DBots, "Regenerate Key".
        """
        path = f"/bots/{self.bot_id}/keys/regen"
        # A GET, and yet not to be repeated: each one makes the token of the one before useless.
        token = self._request("GET", path, "user_key", _new_token, once=True)
        self._credentials = {**self._credentials, "token": token}
        self._secrets += (token,)
        return token

    def get_api(self) -> ApiDocument:
        """Get what the service keeps for the bot's use of the API.

        Returns the bot's token, and the URL that votes are sent to, if there is one.
        Raises what `get_log` does.
        Source: DBots, "Get API Document".
        """
        return self._request("GET", f"/bots/{self.bot_id}/api", "user_key", _api_document)

    def edit_api(self, *, vote_webhook_url: str | None) -> ApiDocument:
        """Set the URL that votes are sent to; None clears it.

        Returns the API document as it now is.
        Raises what `get_log` does.
        Source: DBots, "Edit API Document".
        """
        if not (vote_webhook_url is None or isinstance(vote_webhook_url, str)):
            raise TypeError("vote_webhook_url must be a str or None")
        payload = {"voteWebhookURL": vote_webhook_url}
        path = f"/bots/{self.bot_id}/api"
        return self._request("PATCH", path, "user_key", _api_document, payload=payload)


def _succeeded(document: Any) -> Any:
    """Checks what every LBots answer has; one that did not succeed is an APIError before this."""
    _field(document, int, "status_code")
    _field(document, bool, "success")
    return document


def _favourites(document: Any) -> int:
    return _field(_succeeded(document), int, "favourites", "favorites")


def _favourited(document: Any) -> tuple[bool, datetime | None]:
    favourited = _field(_succeeded(document), bool, "favourited", "favorited")
    text = _nullable(document, str, "time")
    return favourited, None if text is None else _datetime(text)


class LBotsClient(_Client):
    """A bot's entry at LBots, through the API that is documented for https://lbots.org/api/v1.

    bot_id: the bot's ID, an int or a str of digits.
    token: the bot's API token, needed by all methods.
    base_url, timeout, retries, max_wait, pool: as in DBotsClient.

    The documented limits are kept by waiting: 20 posts in 5 s and 3 counts of favourites in 4 s,
    in all threads together. A call whose turn comes later than `max_wait` allows raises
    TooManyRequests at once and sends nothing. All else is as in DBotsClient.
    """

    _LIMITS = {"stats": (20, 5.0), "favourites": (3, 4.0)}
    _MESSAGE = "error"

    def __init__(
        self,
        bot_id: int | str,
        token: str,
        *,
        base_url: str = "https://lbots.org/api/v1",
        timeout: float = 10.0,
        retries: int = 2,
        max_wait: float = 30.0,
        pool: PoolManager | None = None,
    ) -> None:
        super().__init__(bot_id, {"token": token}, base_url, timeout, retries, max_wait, pool)

    def _verdict(self, status: int, fields: dict[str, Any]) -> tuple[bool, int]:
        # LBots says it in the body too, which counts for more than the HTTP status.
        if fields.get("success") is not False:
            return super()._verdict(status, fields)
        code = fields.get("status_code")
        return True, code if type(code) is int and 400 <= code <= 999 else status

    def post_stats(
        self, guild_count: int, *, shard_id: int | None = None, shard_count: int | None = None
    ) -> None:
        """Post the number of guilds, 0 or more, that the bot or one of its shards is in.

        shard_id: the shard, from 0; the list shows the sum of the shards that were posted.
        shard_count: how many shards the bot runs; more than `shard_id`.
        Raises Unauthorized if the token is wrong, BadRequest if the service does not accept the
        data, TooManyRequests if the turn is later than `max_wait` allows.
        Source: LBots, "Bot Statistics".
        """
        payload = {"guild_count": _count("guild_count", guild_count)}
        if shard_id is not None:
            payload["shard_id"] = _count("shard_id", shard_id)
        if shard_count is not None:
            payload["shard_count"] = _count("shard_count", shard_count)
        if payload.get("shard_id", -1) >= payload.get("shard_count", math.inf):
            raise ValueError("shard_id must be less than shard_count")
        self._post(payload, _WaitBudget(self._max_wait))

    def post_shard_stats(
        self,
        guild_counts: Sequence[int] | Mapping[int, int],
        *,
        shard_count: int | None = None,
        progress: Callable[[int, int], object] | None = None,
    ) -> None:
        """Post the numbers of guilds of several shards, one request for each.

        At 20 posts in 5 s, more than 140 shards need a `max_wait` of more than 30.

        guild_counts: the number of each shard, from shard 0; or {shard_id: number} of some.
        shard_count: how many shards the bot runs. A mapping needs it; for a sequence it may be
            more than the length, which it is unless given.
        progress: called as progress(done, total) after each shard.
        Raises what `post_stats` does. The shards before the one that failed are posted.
        Source: LBots, "Bot Statistics".
        """
        shards, total = _shards(guild_counts, shard_count)
        if not (progress is None or callable(progress)):
            raise TypeError("progress must be callable")
        budget = _WaitBudget(self._max_wait)
        for done, (shard_id, guild_count) in enumerate(shards, 1):
            payload = {"guild_count": guild_count, "shard_id": shard_id, "shard_count": total}
            self._post(payload, budget)
            if progress is not None:
                progress(done, len(shards))

    def _post(self, payload: dict[str, int], budget: _WaitBudget) -> None:
        path = f"/bots/{self.bot_id}/stats"
        limit = self._limits["stats"]
        self._request(
            "POST", path, "token", _succeeded, payload=payload, limit=limit, budget=budget
        )

    def get_favourites(self) -> int:
        """Get how many users have favourited the bot in this quarter.

        Returns their number.
        Raises Unauthorized if the token is wrong, NotFound if the list does not know the bot,
        TooManyRequests if the turn is later than `max_wait` allows.
        Source: LBots, "Bot Favourites".
        """
        path = f"/bots/{self.bot_id}/favourites"
        return self._request("GET", path, "token", _favourites, limit=self._limits["favourites"])

    get_favorites = get_favourites

    def has_favourited(self, user_id: int | str) -> Favourite:
        """Get whether, and when, a user has favourited the bot in this quarter.

        user_id: the user's ID, an int or a str of digits.
        Returns a Favourite, which is true if so.
        Raises Unauthorized if the token is wrong.
        Source: LBots, "Bot Has User Favourited".
        """
        user = _snowflake("user_id", user_id)
        path = f"/bots/{self.bot_id}/favourites/user/{user}"
        favourited, time_ = self._request("GET", path, "token", _favourited)
        return Favourite(int(user), favourited, time_)

    has_favorited = has_favourited

    def invalidate_token(self) -> None:
        """Make this client's token useless, as after a leak; the bot's page shows the new one.

        Raises Unauthorized if the token is wrong. It is sent once: after a TransportError with
        `sent` true it may have worked.
        Source: LBots, "Invalidate Token".
        """
        path = f"/bots/{self.bot_id}/invalidate"
        # A GET, and yet not to be repeated: once it has worked, the token is no longer known.
        self._request("GET", path, "token", _succeeded, once=True)


# The command line: a command calls the method of the same name.


def _number(text: str) -> int:
    if not re.fullmatch("-?[0-9]{1,20}", text):  # int() takes other scripts' digits, and 1_000
        import argparse

        raise argparse.ArgumentTypeError("must be an integer")
    return int(text)


def _show_progress(done: int, total: int) -> None:
    end = "\n" if done == total else "\r"  # what comes next, an error too, starts over it
    print(f"{done} of {total} shards", end=end, file=sys.stderr, flush=True)


def _jsonable(result: Any) -> Any:
    """Named tuples as objects and dates in ISO 8601, for json.dumps, which knows neither."""
    if hasattr(result, "_asdict"):
        return {name: _jsonable(value) for name, value in result._asdict().items()}
    if isinstance(result, tuple):
        return [_jsonable(value) for value in result]
    return result.isoformat() if isinstance(result, datetime) else result


_VARIABLES: dict[str, tuple[Any, str]] = {  # secrets come from here alone: arguments show in ps
    "DBOTS_TOKEN": (DBotsClient, "token"),
    "DBOTS_USER_KEY": (DBotsClient, "user_key"),
    "LBOTS_TOKEN": (LBotsClient, "token"),
}

_ARGUMENTS: dict[str, dict[str, Any]] = {
    "user_id": {"metavar": "USER", "help": "the user's ID"},
    "guild_count": {"metavar": "N", "type": _number, "help": "the number of guilds"},
    "guild_counts": {"metavar": "N", "type": _number, "nargs": "+", "help": "of shard 0, 1, ..."},
    "--shard-id": {"metavar": "I", "type": _number, "help": "the shard that N is of, from 0"},
    "--shard-count": {"metavar": "C", "type": _number, "help": "how many shards the bot has"},
    "--vote-webhook-url": {"metavar": "URL", "help": "where votes are sent to"},
    "--clear": {
        "dest": "vote_webhook_url", "action": "store_const", "const": None, "help": "clear it"
    },
}

# What it does, the variable of its secret, its arguments (just one of an inner tuple), and the
# name of a result that has no names of its own.
_COMMANDS: dict[str, tuple[str, str, tuple[Any, ...], str]] = {
    "dbots post-stats":
        ("post the number of guilds", "DBOTS_TOKEN", ("guild_count",), "guild_count"),
    "dbots get-log":
        ("show the changes of the bot's page", "DBOTS_USER_KEY", (), ""),
    "dbots regenerate-key":
        ("replace the bot's token and show the new one", "DBOTS_USER_KEY", (), "token"),
    "dbots get-api":
        ("show the bot's token and vote webhook", "DBOTS_USER_KEY", (), ""),
    "dbots edit-api":
        ("set or clear the vote webhook", "DBOTS_USER_KEY", (("--vote-webhook-url", "--clear"),),
         ""),
    "lbots post-stats":
        ("post the number of guilds, of the bot or of a shard", "LBOTS_TOKEN",
         ("guild_count", "--shard-id", "--shard-count"), ""),
    "lbots post-shard-stats":
        ("post the numbers of guilds of all shards", "LBOTS_TOKEN", ("guild_counts",), ""),
    "lbots get-favourites":
        ("show how many users have favourited the bot", "LBOTS_TOKEN", (), "favourites"),
    "lbots has-favourited":
        ("show whether a user has favourited the bot", "LBOTS_TOKEN", ("user_id",), ""),
    "lbots invalidate-token":
        ("make the token useless; the bot's page shows the new one", "LBOTS_TOKEN", (),
         "invalidated"),
}

_EPILOG = """
The secret of a command comes from the environment variable in parentheses after it. The result is
one JSON object on standard output, an error one line on standard error. Exit status: 0; 1 if the
service or the way to it failed; 2 for wrong usage or a missing variable.

example:
  LBOTS_TOKEN=... botlists lbots post-stats 264811613708746752 893
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line with `argv`, or the process's own; return its exit status."""
    import argparse  # here, since who imports the clients has no use for it

    parser = argparse.ArgumentParser(
        prog="botlists",
        description="Talk to DBots (dbots.co) and LBots (lbots.org) for a Discord bot.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument("--base-url", metavar="URL", help="where the API is, if elsewhere")
    parser.add_argument("--timeout", metavar="S", type=float, help="seconds for a wait (10)")
    parser.add_argument("--max-wait", metavar="S", type=float, help="seconds to sleep in all (30)")
    parser.add_argument("--version", action="version", version=f"botlists {__version__}")
    services = parser.add_subparsers(metavar="SERVICE", dest="service", required=True)
    groups: dict[str, Any] = {}
    synopses = ["commands:"]
    for words, (summary, variable, arguments, _) in _COMMANDS.items():
        service, name = words.split()
        if service not in groups:
            group = services.add_parser(service, help=f"see botlists {service} --help")
            groups[service] = group.add_subparsers(metavar="COMMAND", dest="name", required=True)
        command = groups[service].add_parser(
            name,
            help=summary,
            description=f"{summary} ({variable})",
            argument_default=argparse.SUPPRESS,
        )
        command.add_argument("bot_id", metavar="BOT", help="the bot's ID")
        for argument in arguments:
            if isinstance(argument, str):
                command.add_argument(argument, **_ARGUMENTS[argument])
            else:
                either = command.add_mutually_exclusive_group(required=True)
                for choice in argument:
                    either.add_argument(choice, **_ARGUMENTS[choice])
        usage = re.sub(r"\x1b\[[0-9;]*m", "", command.format_usage())  # Python 3.14 colours it
        usage = " ".join(usage.replace("[-h] ", "").split()[2:])
        synopses.append(f"  {usage}\n      {summary} ({variable})")
    parser.epilog = "\n".join([*synopses, _EPILOG])

    parsed, unknown = parser.parse_known_args(argv)
    if unknown:  # named without what follows, which may be a secret
        options = [arg.split("=")[0] for arg in unknown if arg.startswith("-")]
        parser.error(" ".join(["unrecognized arguments", *options]))
    given = vars(parsed)
    service, name, bot_id = (given.pop(key) for key in ("service", "name", "bot_id"))
    names = ("base_url", "timeout", "max_wait")
    settings: dict[str, Any] = {key: given.pop(key) for key in names if key in given}
    _, variable, _, key = _COMMANDS[f"{service} {name}"]
    client_class, parameter = _VARIABLES[variable]
    show: Any = {}
    if name == "post-shard-stats" and sys.stderr.isatty():
        show["progress"] = _show_progress
    _log.addHandler(logging.NullHandler())  # so that an error is one line and no warnings before
    try:
        if not os.environ.get(variable):
            raise ValueError(f"the environment variable {variable} is not set")
        settings[parameter] = _secret(variable, os.environ[variable])
        with client_class(bot_id, **settings) as client:
            result = getattr(client, name.replace("-", "_"))(**given, **show)
    except (BotListError, ValueError) as error:
        print(f"botlists: {error}", file=sys.stderr)
        return 1 if isinstance(error, BotListError) else 2
    except KeyboardInterrupt:
        print("botlists: interrupted", file=sys.stderr)
        return 130  # as a shell says it
    if result is None:
        result = given or True  # what was posted
    try:
        print(json.dumps({key: result} if key else _jsonable(result)), flush=True)
    except OSError as error:
        with contextlib.suppress(OSError):
            sys.stdout.close()  # or Python tries, and complains, once more
        print(f"botlists: standard output: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
