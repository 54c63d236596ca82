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

__version__ = "1.1.0"

__all__ = [
    "DBotsClient", "LBotsClient",
    "ApiDocument", "AuditChange", "AuditLog", "Favourite",
    "BotListError", "TransportError", "TransportTimeout", "InvalidResponse", "APIError",
    "BadRequest", "Unauthorized", "Forbidden", "NotFound", "TooManyRequests", "ServerError",
    "DeprecatedEndpoint",
]

import base64
import contextlib
import email.utils
import http.client
import json
import logging
import operator
import os
import queue
import random
import re
import socket
import ssl
import sys
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Callable, ClassVar, NamedTuple, TypeVar
from urllib.parse import unquote_to_bytes

from urllib3 import PoolManager, ProxyManager, Retry, Timeout, exceptions
from urllib3.connection import port_by_scheme
from urllib3.util import parse_url
from urllib3.util.proxy import connection_requires_http_tunnel
from urllib3.util.ssl_ import create_urllib3_context

if TYPE_CHECKING:
    import argparse

    from urllib3.response import BaseHTTPResponse
    from urllib3.util import Url

C = TypeVar("C", bound="_Client")
T = TypeVar("T")

_USER_AGENT = f"botlists/{__version__}"

_log = logging.getLogger("botlists")


def __dir__() -> list[str]:
    """The public names only, for completion."""
    return [*__all__, *(name for name in globals() if name.startswith("__"))]


# Errors


class BotListError(Exception):
    """The base of all failures of a call to `service`, "DBots" or "LBots".

    Its text is one line of at most 300 characters, without secrets.
    """

    def __init__(self, service: str, text: str) -> None:
        printable = "".join(char if char.isprintable() else " " for char in f"{service}: {text}")
        super().__init__(printable if len(printable) <= 300 else printable[:297] + "...")
        self.service = service

    def __reduce__(self) -> tuple[Any, ...]:
        # By default a pickle calls the class with the text alone: too little for those below.
        return Exception.__new__, (type(self), *self.args), self.__dict__


class TransportError(BotListError):
    """No complete answer came. `sent` is False only if the service surely never saw the request."""

    def __init__(self, service: str, text: str, sent: bool) -> None:
        super().__init__(service, text)
        self.sent = sent


class TransportTimeout(TransportError):
    """Connecting, or a wait for bytes, outlasted `timeout`."""


class InvalidResponse(BotListError):
    """An answer that the service's document does not promise, with its `status` and `body`."""

    def __init__(self, service: str, status: int, text: str, body: bytes) -> None:
        super().__init__(service, f"{status}: {text}")
        self.status = status
        self.body = body


class APIError(BotListError):
    """The service refused, with `status`, a `message` of its own, `body`, and `retry_after` (s)."""

    def __init__(
        self,
        service: str,
        status: int,
        message: str,
        body: bytes = b"",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(service, f"{status}: {message}")
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
    """429: over a limit. Or not sent: the wait for a limit would have outlasted `max_wait`."""


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
    """Whether a user has favourited the bot in this quarter, true if so, and when: UTC or None."""

    user_id: int
    favourited: bool
    time: datetime | None

    def __bool__(self) -> bool:
        return self.favourited


class ApiDocument(NamedTuple):
    """A bot's API token and vote webhook, as DBots keeps them. The repr hides the token."""

    bot_id: str
    token: str
    vote_webhook_url: str | None

    def __repr__(self) -> str:
        url = self.vote_webhook_url
        return f"ApiDocument(bot_id={self.bot_id!r}, token='***', vote_webhook_url={url!r})"


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


def _integer(name: str, value: Any, least: int, most: int) -> int:
    try:
        number = operator.index(value)  # numpy's integers too
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, not {type(value).__name__}")
    if not least <= number <= most:
        raise ValueError(f"{name} must be from {least} to {most}")
    return int(number)  # an enum's member, say, prints as something else


def _count(name: str, value: Any) -> int:
    return _integer(name, value, 0, 2**53 - 1)  # all that JavaScript, and so DBots, holds exactly


def _snowflake(name: str, value: Any) -> str:
    """A Discord ID, given as an int or as a str of digits, as the str that a path needs."""
    if isinstance(value, str):
        # int() alone would accept other scripts' digits, signs, underscores and spaces.
        if not re.fullmatch("[0-9]{1,20}", value):
            raise ValueError(f"{name} must be a Discord ID: digits only")
        value = int(value)
    return str(_integer(name, value, 1, 2**64 - 1))


def _secret(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    if not re.fullmatch("[!-~]([ -~]*[!-~])?", value):
        raise ValueError(f"{name} must be printable ASCII, not empty, without surrounding space")
    return value


def _seconds(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number of seconds, not {type(value).__name__}")
    if not value >= 0:  # NaN too
        raise ValueError(f"{name} must be 0 or more")
    return min(value, 1e6)  # 11 days: some systems hold a wait's milliseconds in 31 bits


def _http_url(name: str, value: Any) -> Url:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    if re.fullmatch("https?://[!-~]+", value, re.IGNORECASE):
        with contextlib.suppress(ValueError):
            url = parse_url(value)
            if url.host:
                return url
    raise ValueError(f"{name} must be an ASCII URL, http:// or https://, with a host")


def _shards(guild_counts: Any, shard_count: Any) -> tuple[list[tuple[int, int]], int]:
    """(shard_id, guild_count) of each shard to post, and the number of shards of the whole bot."""
    if isinstance(guild_counts, Mapping):
        items = list(guild_counts.items())
        if shard_count is None:
            raise ValueError("shard_count is required with a mapping")
    elif hasattr(guild_counts, "__getitem__") and not isinstance(guild_counts, (str, bytes)):
        items = list(enumerate(guild_counts))
        shard_count = len(items) if shard_count is None else shard_count
    else:
        raise TypeError("guild_counts must be a sequence or a mapping of integers")
    shards = [(_count("shard_id", k), _count("each of guild_counts", v)) for k, v in items]
    if not shards:
        raise ValueError("guild_counts must name at least one shard")
    total = _count("shard_count", shard_count)
    if max(shard_id for shard_id, _ in shards) >= total:
        raise ValueError("shard_count must be greater than every shard_id in guild_counts")
    return shards, total


# Requests: what both clients share, and all that is known of JSON, limits and repeats.


_BODY_LIMIT = 16 * 2**20  # bytes of an answer: none needs as many, and every host has more

_NO_RETRIES = Retry(False)  # no redirects either; for False urllib3 would make one each time

# Why a request was not sent; ValueError is a refused certificate's, from ssl and urllib3 alike.
_UNSENT = (exceptions.NewConnectionError, exceptions.ConnectTimeoutError, ValueError)


def _utc(text: str) -> datetime:
    """Parse a date as DBots writes it, in JavaScript's JSON, or LBots, as in HTTP's headers."""
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?(Z|[+-]\d\d:\d\d)", text):
            date = datetime.fromisoformat(text.replace("Z", "+00:00"))
        elif re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", text):
            date = email.utils.parsedate_to_datetime(text)
        else:
            raise ValueError
        return date.astimezone(timezone.utc)
    except (ValueError, TypeError, OverflowError):  # TypeError: no such month, in older Pythons
        raise ValueError("not a date in a known form") from None


class _Answer(NamedTuple):
    """An answer, or with another `json` a part of one, whose fields must be as documented."""

    service: str
    status: int
    body: bytes
    json: Any

    def invalid(self, text: str) -> InvalidResponse:
        return InvalidResponse(self.service, self.status, text, self.body)

    @property
    def fields(self) -> dict[str, Any]:
        """Those of a JSON object; of anything else none."""
        return self.json if isinstance(self.json, dict) else {}

    def field(self, kind: type[T], *names: str, default: T | None = None) -> T:
        """The first of `names` that is there, which must be of just this `kind`: True is no int."""
        fields = self.fields
        value = next((fields[name] for name in names if name in fields), default)
        if type(value) is not kind:
            raise self.invalid(f"{names[0]} is missing, or not of type {kind.__name__}")
        return value

    def date(self, name: str) -> datetime:
        try:
            return _utc(self.field(str, name))
        except ValueError as error:
            raise self.invalid(f"{name} is {error}") from None


class _Limit:
    """At most `calls` requests in any `window` of seconds as the service sees it, in all threads.

    The service may count a request at any moment between sending and answer. So a request holds
    one of `calls` slots, which is free again one window after the answer.
    """

    def __init__(self, service: str, calls: int, window: float) -> None:
        self.service = service
        self.calls = calls
        self.window = window
        self._free_at: queue.PriorityQueue[float] = queue.PriorityQueue()  # for slots not held
        for _ in range(calls):
            self._free_at.put(0.0)

    def next_turn(self) -> float:
        """Seconds until a slot is free, if the caller holds one; a guess, made without the lock."""
        now = time.monotonic()
        return max(min(self._free_at.queue, default=now + self.window) - now, 0.0)

    @contextlib.contextmanager
    def slot(self, request: str, patience: float) -> Iterator[float]:
        """Hold a slot for a request, once one is free; yields the seconds that this took.

        Raises TooManyRequests as soon as it is clear that this takes more than `patience`.
        """
        started = time.monotonic()
        try:
            free_at = self._free_at.get(timeout=patience)
        except queue.Empty:  # all are held, and one given back now rests for a window
            raise self._too_late(self.window) from None
        used = False
        try:
            wait = max(free_at - started, 0.0)  # what it takes of `patience`
            if wait > patience:
                raise self._too_late(free_at - time.monotonic())
            if wait >= 1:
                _log.info("%s waits %.1f s for its limit", request, wait)
            time.sleep(max(free_at - time.monotonic(), 0.0))
            used = True
            yield wait
        finally:
            self._free_at.put(time.monotonic() + self.window if used else free_at)

    def _too_late(self, wait: float) -> TooManyRequests:
        text = f"not sent: at most {self.calls} in {self.window:g} s, its turn is in {wait:.1f} s"
        return TooManyRequests(self.service, 429, text, retry_after=wait)


def _environment_proxy(url: Url) -> Url | None:
    """The proxy for `url` that the environment names, read as curl and requests do."""
    # First this, since the import costs half of urllib3's, and system settings are not to count.
    if not {f"{url.scheme}_proxy", "all_proxy"}.intersection(map(str.lower, os.environ)):
        return None
    from urllib.request import getproxies, proxy_bypass

    proxies = getproxies()
    proxy = proxies.get(str(url.scheme)) or proxies.get("all")
    if not proxy or proxy_bypass(f"{url.host}:{url.port or port_by_scheme[str(url.scheme)]}"):
        return None
    name = f"{url.scheme}_proxy or all_proxy in the environment"
    return _http_url(name, proxy if "://" in proxy else f"http://{proxy}")


def _new_manager(url: Url) -> PoolManager:
    """For connections of our own to `url`, through the proxy that the environment names."""
    options: dict[str, Any] = {"maxsize": 32}  # idle connections to keep: one for each busy thread
    if url.scheme == "https":
        # Verifies, as urllib3's own would, but is made once: version 2 reads all certificates for
        # each connection. With ssl.create_default_context() 1.26 refuses addresses as hosts.
        options["ssl_context"] = create_urllib3_context()
        options["ssl_context"].load_default_certs()
    proxy = _environment_proxy(url)
    if proxy is None:
        return PoolManager(**options)
    if proxy.auth:
        auth = unquote_to_bytes(proxy.auth if ":" in proxy.auth else f"{proxy.auth}:")
        basic = base64.b64encode(auth).decode()
        options["proxy_headers"] = {"Proxy-Authorization": f"Basic {basic}"}
    if proxy.scheme == "https":
        # urllib3 1.26 by itself does not compare the proxy's name with its certificate.
        options["proxy_ssl_context"] = ssl.create_default_context()
    return ProxyManager(proxy._replace(auth=None).url, **options)


def _reason(error: BaseException) -> BaseException:
    """The innermost exception: urllib3 wraps others, differently in each version."""
    while error.args and isinstance(error.args[-1], BaseException):
        error = error.args[-1]
    return error


def _unquoting(error: exceptions.HTTPError) -> exceptions.HTTPError:
    """`error`; or for http.client's, which quote what came, one that only names its class."""
    reason = _reason(error)
    if isinstance(reason, http.client.HTTPException) and not isinstance(reason, OSError):
        return exceptions.ProtocolError(type(reason).__name__)
    return error


def _read(response: BaseHTTPResponse) -> bytes:
    """The body; if too long, just over _BODY_LIMIT bytes of it, and the connection is closed."""
    body = bytearray()
    if response.status < 200:
        response.close()  # what it announces must not be the answer to the next request
    for piece in response.stream(65536):
        body += piece
        if len(body) > _BODY_LIMIT:
            response.close()
            break
    response.release_conn()  # if closed: else a `pool` that blocks would wait for it for ever
    return bytes(body)


def _plain_words(body: bytes) -> str:
    """A short body in words, not a page or JSON; a lone word of letters only, not a key."""
    text = " ".join(body.decode(errors="replace").split()) if len(body) <= 200 else ""
    words = re.fullmatch('(?!true|false|null)[A-Za-z]+[.!]?|[^<>{}["][^<>{}]* [^<>{}]*', text)
    return text if words and text.isprintable() else ""


def _retry_after(value: str) -> float | None:
    """The seconds that a Retry-After header asks for, as a number or a date; None for nonsense."""
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]+)?", value):
        return float(value)
    try:
        seconds = _utc(value).timestamp() - time.time()
    except ValueError:
        return None
    return seconds if seconds >= 0 else None  # for a date that has passed


def _may_repeat(error: BotListError, once: bool) -> bool:
    """Whether it makes sense and does no harm to send a request again after `error`."""
    if isinstance(error, TransportError):
        refused = isinstance(_reason(error.__cause__ or error), ValueError)  # a certificate
        return not refused and not (once and error.sent)
    if isinstance(error, ServerError):
        return error.status in (502, 503, 504) and not once
    return isinstance(error, TooManyRequests)


def _pause(error: BotListError, attempt: int, limit: _Limit | None) -> float:
    """Seconds until the next attempt: what the service says, or a doubling backoff with jitter."""
    pause = 2.0 ** min(attempt - 1, 5) * random.uniform(0.5, 1.0)
    if isinstance(error, APIError) and error.retry_after is not None:
        pause = error.retry_after
    elif isinstance(error, TooManyRequests) and limit is not None:
        pause = limit.window
    return pause if limit is None else max(pause, limit.next_turn())


_clients: weakref.WeakSet[_Client] = weakref.WeakSet()  # all that a forked child must renew


class _Client:
    """What both clients share: checked arguments, connections, and `_request`."""

    _SERVICE: ClassVar[str]
    _MESSAGE: ClassVar[str]  # the field of a refusal in which the service says why
    _PROMISED: ClassVar[Mapping[str, type]] = {}  # the fields of every result, and their types
    _LIMITS: ClassVar[Mapping[str, tuple[int, float]]] = {}  # name: (requests, seconds)

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
        url = _http_url("base_url", base_url)
        if (url.auth, url.query, url.fragment) != (None, None, None):
            raise ValueError("base_url must have no credentials, query or fragment")
        self.base_url = base_url.rstrip("/")
        seconds = _seconds("timeout", timeout)
        self._timeout = Timeout(connect=seconds, read=seconds)  # urllib3 refuses 0
        self._retries = _count("retries", retries)
        self._max_wait = _seconds("max_wait", max_wait)
        if not (pool is None or isinstance(pool, PoolManager)):
            raise TypeError("pool must be a PoolManager or ProxyManager of urllib3")
        self._owns_manager = pool is None
        self._manager = _new_manager(url) if pool is None else pool
        # Kept, since to ask the manager for it each time costs as much as a request.
        self._pool = self._manager.connection_from_url(self.base_url)
        # A proxy that forwards needs the whole URL in the request; otherwise the path is enough.
        self._forwarded = self._pool.proxy is not None and not connection_requires_http_tunnel(
            self._pool.proxy, self._pool.proxy_config, url.scheme
        )
        self._prefix = self.base_url if self._forwarded else (url.path or "").rstrip("/")
        self._limits = self._new_limits()
        _clients.add(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(bot_id={self.bot_id!r}, base_url={self.base_url!r})"

    def __enter__(self: C) -> C:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the idle connections; a later call opens new ones. A `pool` given stays open."""
        if self._owns_manager:
            self._pool.close()
            self._manager.clear()  # or it would hand out the closed pool again

    def _new_limits(self) -> dict[str, _Limit]:
        return {name: _Limit(self._SERVICE, *limit) for name, limit in self._LIMITS.items()}

    def _request(
        self,
        method: str,
        path: str,
        credential: str,
        payload: dict[str, Any] | None = None,
        *,
        limit_name: str = "",
        once: bool = False,
    ) -> _Answer:
        """Send a request, repeat it where that helps, and return the answer or raise its error.

        `once`: each sending changes something, so it is not repeated if it may have arrived.
        """
        if credential not in self._credentials:
            raise ValueError(f"{credential} was not given to {self!r}, and this method needs it")
        headers = {"Authorization": self._credentials[credential], "User-Agent": _USER_AGENT}
        body = None
        if payload is not None:
            headers["Content-Type"] = "application/json"
            body = json.dumps(payload).encode()
        request = f"{self._SERVICE} {method} {path}"
        limit = self._limits[limit_name] if limit_name else None
        patience = self._max_wait  # seconds that may still be slept
        attempt = 0
        while True:
            attempt += 1
            turn = limit.slot(request, patience) if limit else contextlib.nullcontext(0.0)
            with turn as waited:
                patience -= waited
                try:
                    return self._attempt(method, path, headers, body)
                except BotListError as error:
                    pause = _pause(error, attempt, limit)
                    if attempt > self._retries or pause > patience or not _may_repeat(error, once):
                        raise
                    # What an APIError says is the service's, and not for a log.
                    text = str(error).partition(": ")[2]
                    why = error.status if isinstance(error, APIError) else text
                    _log.warning("%s: %s; trying again in %.1f s", request, why, pause)
            time.sleep(pause)
            patience -= pause

    def _attempt(
        self, method: str, path: str, headers: dict[str, str], body: bytes | None
    ) -> _Answer:
        if self._pool.pool is None:  # by close(), or by urllib3 1.26 to make room for other hosts
            self._pool = self._manager.connection_from_url(self.base_url)
        status: int | str = "no answer"
        started = time.monotonic()
        try:
            response = self._pool.urlopen(
                method,
                self._prefix + path,
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
            cause = _unquoting(error)
            raise self._transport_error(cause) from cause
        finally:
            took = 1000 * (time.monotonic() - started)
            _log.debug("%s %s %s: %s in %.0f ms", self._SERVICE, method, path, status, took)
        if response.status == 407 and self._forwarded:
            raise TransportError(self._SERVICE, "not sent: the proxy refused: 407", sent=False)
        try:
            document = json.loads(content)
        except (ValueError, RecursionError):
            document = None  # like JSON's null, which no document promises
        answer = _Answer(self._SERVICE, response.status, content, document)
        self._raise_for_status(answer, response)
        return answer

    def _transport_error(self, error: exceptions.HTTPError) -> TransportError:
        """What urllib3's exception means to a caller: was it sent, and was it a timeout?"""
        said = reason = _reason(error)
        if isinstance(reason, (exceptions.NewConnectionError, exceptions.TimeoutError)):
            # Their text names an object of urllib3; the system's error, in whose handling they
            # arose, says why. The context of other exceptions may be one that the caller handles.
            said = reason.__context__ or reason
        text = str(said.args[-1] if said.args else said)
        refused = text.startswith("Tunnel connection failed")  # by a proxy; no class tells
        sent = not (refused or isinstance(reason, _UNSENT))
        kind = TransportTimeout if isinstance(said, socket.timeout) else TransportError
        return kind(self._SERVICE, f"{'no complete answer' if sent else 'not sent'}: {text}", sent)

    def _raise_for_status(self, answer: _Answer, response: BaseHTTPResponse) -> None:
        """Raise the error that the answer is, if it is one."""
        if len(answer.body) > _BODY_LIMIT:
            raise answer.invalid("a body of more than 16 MiB")
        status = answer.status
        deprecated = answer.fields.get("error") == "DEPRECATED"
        failed = answer.fields.get("success") is False  # of LBots alone, whatever the HTTP status
        if failed:
            code = answer.fields.get("status_code")
            status = code if type(code) is int and code >= 400 else status
        if status >= 400 or failed or deprecated:
            said = answer.fields.get(self._MESSAGE)
            said = said.strip() if isinstance(said, str) else ""
            message = said or _plain_words(answer.body) or response.reason or "no reason given"
            for secret in self._credentials.values():
                message = message.replace(secret, "***")
            kind = DeprecatedEndpoint if deprecated else _ERRORS.get(status, APIError)
            retry_after = _retry_after(response.headers.get("Retry-After", "").strip())
            raise kind(self._SERVICE, status, message, answer.body, retry_after)
        if not 200 <= status < 300:
            raise answer.invalid("neither a result nor a refusal")
        if answer.json is None:
            raise answer.invalid("the answer is not JSON")
        for name, type_ in self._PROMISED.items():
            answer.field(type_, name)  # raises if it is missing or of another type


def _after_fork() -> None:
    """In the child: drop the parent's connections, and locks that it may have held."""
    for client in _clients:
        idle = client._pool.pool
        if idle is not None:
            for connection in filter(None, idle.queue):
                connection.close()  # this copy of its socket, without a word to the service
            queue.Queue.__init__(idle, idle.maxsize)  # in place, with new locks
            for _ in range(idle.maxsize):
                idle.put(None)  # urllib3's sign for a connection yet to be made
        client._limits = client._new_limits()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_after_fork)


# The clients


class DBotsClient(_Client):
    """A bot's entry at DBots, through the API that is documented for https://dbots.co/api/v1.

    bot_id: the bot's ID, an int or a str of digits.
    token: the bot's API token, needed by `post_stats`.
    user_key: the key of a logged in user who manages the bot, needed by all other methods.
    base_url: where the API is, if elsewhere; http or https.
    timeout: seconds, more than 0, for connecting, and for each wait for bytes.
    retries: attempts after the first, 0 or more, for what may safely be tried again.
    max_wait: seconds that a request and its repeats may sleep in all; 0 never sleeps.
    pool: a urllib3 PoolManager or ProxyManager to use instead of connections of the client's own,
        which trust the system's certificates and go through the proxy that the environment names.

    A client may be shared by threads and carried into forked children. Its calls raise TypeError
    or ValueError for wrong arguments, before anything is sent; all other failures are
    BotListErrors: TransportError, InvalidResponse or APIError.
    """

    _SERVICE = "DBots"
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
        if not credentials:
            raise ValueError("a token or a user_key is needed")
        super().__init__(bot_id, credentials, base_url, timeout, retries, max_wait, pool)

    def post_stats(self, guild_count: int) -> int:
        """Post the number of guilds that the bot is in.

        guild_count: their number, 0 or more.
        Returns the number that the service now holds.
        Raises Unauthorized if the token is wrong, NotFound if the list does not know the bot.
        Source: DBots, "Post Bot Stats".
        """
        payload = {"guildCount": _count("guild_count", guild_count)}
        answer = self._request("POST", f"/bots/{self.bot_id}/stats", "token", payload)
        return answer.field(int, "guildCount")

    def get_log(self) -> AuditLog:
        """Get the changes of the bot's page.

        Returns them in the order of the service.
        Raises Unauthorized if the key is wrong or has expired; BadRequest or Forbidden if its
        user does not manage the bot.
        Source: DBots, "Get Log".
        """
        answer = self._request("GET", f"/bots/{self.bot_id}/log", "user_key")
        items = answer.fields.get("changes")
        if not isinstance(items, list):  # as the service has it; the document shows one object
            items = [answer.field(dict, "changes")]
        changes = []
        for entry in (answer._replace(json=item) for item in items):
            # The service leaves out what is empty.
            states = entry._replace(json=entry.field(dict, "changes", default={}))
            old = states.field(dict, "old", default={})
            new = states.field(dict, "new", default={})
            changes.append(AuditChange(entry.date("at"), entry.field(str, "by"), old, new))
        return AuditLog(answer.field(str, "_id"), tuple(changes))

    def regenerate_key(self) -> str:
        """Replace the bot's API token by a new one. This drops the vote webhook: set it again.

        Returns the new token, with which this client posts from now on.
        Raises what `get_log` does. The request is sent once: after a TransportError with `sent`
        true the token may have been replaced, and `get_api` tells which one holds. After an
        InvalidResponse the new token may be in its `body`.
        Source: DBots, "Regenerate Key".
        """
        # GETs, and yet never repeated: each makes the token that the last one gave useless.
        try:
            answer = self._request("GET", f"/bots/{self.bot_id}/keys/regen", "user_key", once=True)
        except NotFound:  # that path is in the document, and in no published source of the service
            answer = self._request("GET", f"/bots/{self.bot_id}/key/regen", "user_key", once=True)
        # The document leaves open whether it is a string or in an object.
        token = answer.json if isinstance(answer.json, str) else answer.field(str, "token")
        try:
            self._credentials = {**self._credentials, "token": _secret("token", token)}
        except ValueError as error:
            raise answer.invalid(str(error)) from None
        return token

    def get_api(self) -> ApiDocument:
        """Get what the service keeps for the bot's use of the API.

        Returns the bot's token, and the URL that votes are sent to, if there is one.
        Raises what `get_log` does; also ServerError if the key is wrong or has expired.
        Source: DBots, "Get API Document".
        """
        return self._api("GET")

    def edit_api(self, *, vote_webhook_url: str | None) -> ApiDocument:
        """Set the URL that votes are sent to.

        vote_webhook_url: the URL, or None to clear it. The service calls it with the bot's token
            in the header Authorization: use https.
        Returns the API document as it now is.
        Raises what `get_log` does.
        Source: DBots, "Edit API Document".
        """
        if not (vote_webhook_url is None or isinstance(vote_webhook_url, str)):
            raise TypeError("vote_webhook_url must be a str or None")
        return self._api("PATCH", {"voteWebhookURL": vote_webhook_url})

    def _api(self, method: str, payload: dict[str, Any] | None = None) -> ApiDocument:
        answer = self._request(method, f"/bots/{self.bot_id}/api", "user_key", payload)
        unset = answer.fields.get("voteWebhookURL") is None  # null, or left out while none is set
        return ApiDocument(
            answer.field(str, "_id"),
            answer.field(str, "token"),
            None if unset else answer.field(str, "voteWebhookURL"),
        )


class LBotsClient(_Client):
    """A bot's entry at LBots, through the API that is documented for https://lbots.org/api/v1.

    bot_id: the bot's ID, an int or a str of digits.
    token: the bot's API token, needed by all methods.
    base_url, timeout, retries, max_wait, pool: as in DBotsClient.

    The documented limits are kept by waiting: 20 posts in 5 s and 3 counts of favourites in 4 s,
    in all threads together. A call whose turn comes later than `max_wait` allows raises
    TooManyRequests at once and sends nothing. All else is as in DBotsClient.
    """

    _SERVICE = "LBots"
    _MESSAGE = "error"
    _PROMISED = {"status_code": int, "success": bool}
    _LIMITS = {"stats": (20, 5.0), "favourites": (3, 4.0)}

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

    def post_stats(
        self, guild_count: int, *, shard_id: int | None = None, shard_count: int | None = None
    ) -> None:
        """Post the number of guilds that the bot, or one of its shards, is in.

        guild_count: their number, 0 or more.
        shard_id: the shard, from 0; the list shows the sum of the shards that were posted.
        shard_count: how many shards the bot runs, 1 or more; more than `shard_id`.
        Raises Unauthorized if the token is wrong, BadRequest if the service does not accept the
        data, TooManyRequests if the turn is later than `max_wait` allows.
        Source: LBots, "Bot Statistics".
        """
        payload = {"guild_count": _count("guild_count", guild_count)}
        if shard_id is not None:
            payload["shard_id"] = _count("shard_id", shard_id)
        if shard_count is not None:
            payload["shard_count"] = _count("shard_count", shard_count)
            if payload.get("shard_id", 0) >= payload["shard_count"]:
                raise ValueError("shard_count must be at least 1, and more than shard_id")
        self._request("POST", f"/bots/{self.bot_id}/stats", "token", payload, limit_name="stats")

    def post_shard_stats(
        self,
        guild_counts: Sequence[int] | Mapping[int, int],
        *,
        shard_count: int | None = None,
        progress: Callable[[int, int], object] | None = None,
    ) -> None:
        """Post the numbers of guilds of several shards, one request for each, 20 in 5 s.

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
        for done, (shard_id, guild_count) in enumerate(shards, 1):
            self.post_stats(guild_count, shard_id=shard_id, shard_count=total)
            if progress is not None:
                progress(done, len(shards))

    def get_favourites(self) -> int:
        """Get how many users have favourited the bot in this quarter.

        Returns their number.
        Raises Unauthorized if the token is wrong, NotFound if the list does not know the bot,
        TooManyRequests if the turn is later than `max_wait` allows.
        Source: LBots, "Bot Favourites".
        """
        path = f"/bots/{self.bot_id}/favourites"
        answer = self._request("GET", path, "token", limit_name="favourites")
        return answer.field(int, "favourites", "favorites")

    get_favorites = get_favourites

    def has_favourited(self, user_id: int | str) -> Favourite:
        """Get whether, and when, a user has favourited the bot in this quarter.

        user_id: the user's ID, an int or a str of digits.
        Returns a Favourite, which is true if so.
        Raises Unauthorized if the token is wrong.
        Source: LBots, "Bot Has User Favourited".
        """
        user = _snowflake("user_id", user_id)
        answer = self._request("GET", f"/bots/{self.bot_id}/favourites/user/{user}", "token")
        favourited = answer.field(bool, "favourited", "favorited")
        unknown = answer.fields.get("time", "") is None  # null is documented, a missing key is not
        return Favourite(int(user), favourited, None if unknown else answer.date("time"))

    has_favorited = has_favourited

    def invalidate_token(self) -> None:
        """Make this client's token useless, as after a leak; the bot's page shows the new one.

        Raises Unauthorized if the token is wrong. The request is sent once: after a
        TransportError with `sent` true it may have worked.
        Source: LBots, "Invalidate Token".
        """
        # A GET, and yet not to be repeated: once it has worked, the token is no longer known.
        self._request("GET", f"/bots/{self.bot_id}/invalidate", "token", once=True)


# The command line: a command calls the method of its name.


_EPILOG = """
A command's secret comes from the environment: DBOTS_TOKEN, DBOTS_USER_KEY or
LBOTS_TOKEN. Its result is one JSON object on standard output, an error one line
on standard error. Exit status: 0; 1 if the service or the way to it failed; 2
for wrong usage or a missing variable; 130 on Ctrl-C.

example:
  LBOTS_TOKEN=... botlists lbots post-stats 264811613708746752 893
"""


def _add_commands(add_dbots: Callable[..., Any], add_lbots: Callable[..., Any]) -> None:
    """Add each command: its name, credential, what it does, and the key of a bare result."""
    command = add_dbots("post-stats", "token", "post the number of guilds", "guild_count")
    command.add_argument("guild_count", metavar="N", type=int, help="the number of guilds")
    add_dbots("get-log", "user_key", "show the changes of the bot's page")
    add_dbots("regenerate-key", "user_key", "replace the token; drops the vote webhook", "token")
    add_dbots("get-api", "user_key", "show the token and the vote webhook")
    command = add_dbots("edit-api", "user_key", "set or clear the vote webhook")
    url = command.add_mutually_exclusive_group(required=True)
    url.add_argument("--vote-webhook-url", metavar="URL", help="where votes are sent to")
    url.add_argument(
        "--clear", dest="vote_webhook_url", action="store_const", const=None, help="send none"
    )
    command = add_lbots("post-stats", "token", "post the number of guilds, of all or of a shard")
    command.add_argument("guild_count", metavar="N", type=int, help="the number of guilds")
    command.add_argument("--shard-id", metavar="I", type=int, help="the shard, from 0")
    command.add_argument("--shard-count", metavar="C", type=int, help="how many shards there are")
    command = add_lbots("post-shard-stats", "token", "post the numbers of guilds of all shards")
    command.add_argument("guild_counts", metavar="N", type=int, nargs="+", help="of shard 0, 1...")
    add_lbots("get-favourites", "token", "show how many users favourited the bot", "favourites")
    command = add_lbots("has-favourited", "token", "show whether a user favourited the bot")
    command.add_argument("user_id", metavar="USER", help="the user's ID")
    add_lbots("invalidate-token", "token", "make the token useless", "invalidated")


def _parser() -> argparse.ArgumentParser:
    import argparse  # here, since who imports the clients has no use for it

    options = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    options.add_argument("--base-url", metavar="URL", help="where the API is, if elsewhere")
    options.add_argument("--timeout", metavar="S", type=float, help="seconds for each wait (10)")
    options.add_argument("--retries", metavar="N", type=int, help="further attempts (2)")
    options.add_argument("--max-wait", metavar="S", type=float, help="seconds to sleep in all (30)")
    parser = argparse.ArgumentParser(
        prog="botlists",
        description="Talk to DBots (dbots.co) and LBots (lbots.org) for a Discord bot.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[options],
    )
    parser.add_argument("--version", action="version", version=f"botlists {__version__}")
    services = parser.add_subparsers(metavar="SERVICE", required=True)

    def service(prefix: str, client: type[_Client]) -> Callable[..., Any]:
        text = f"the commands of {client._SERVICE}, each with the variable that has its secret"
        group = services.add_parser(prefix, help=text, description=text)
        commands = group.add_subparsers(metavar="COMMAND", required=True)

        def add(name: str, credential: str, summary: str, result: str = "") -> Any:
            variable = f"{prefix}_{credential}".upper()
            american = name.replace("favour", "favor")
            command = commands.add_parser(
                name,
                aliases=[] if american == name else [american],
                help=f"{summary} ({variable})",
                description=f"{summary} ({variable})",
                parents=[options],
                argument_default=argparse.SUPPRESS,  # keeps what stood before the service
            )
            command.add_argument("bot_id", metavar="BOT", help="the bot's ID")
            method = getattr(client, name.replace("-", "_"))
            command.set_defaults(call=(client, method, credential, variable, result))
            return command

        return add

    _add_commands(service("dbots", DBotsClient), service("lbots", LBotsClient))
    return parser


def _show_progress(done: int, total: int) -> None:
    end = "\n" if done == total else "\r"  # so that the next count, or an error, overwrites it
    print(f"{done} of {total} shards", end=end, file=sys.stderr, flush=True)


def _jsonable(result: Any) -> Any:
    """Named tuples as objects, dates in ISO 8601, and IDs as strings: jq rounds such numbers."""
    if hasattr(result, "_asdict"):
        return {
            name: str(value) if name.endswith("_id") else _jsonable(value)
            for name, value in result._asdict().items()
        }
    if isinstance(result, tuple):
        return [_jsonable(value) for value in result]
    return result.isoformat() if isinstance(result, datetime) else result


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line with `argv`, or the process's own; return its exit status."""
    parser = _parser()
    given = vars(parser.parse_args(argv))
    client_class, method, credential, variable, result_name = given.pop("call")
    settings = ("bot_id", "base_url", "timeout", "retries", "max_wait")
    of_client = {name: given.pop(name) for name in settings if name in given}
    extra = {"progress": _show_progress} if "guild_counts" in given and sys.stderr.isatty() else {}
    _log.addHandler(logging.NullHandler())  # else logging shows our warnings before the one line
    try:
        if variable not in os.environ:
            raise ValueError(f"the environment variable {variable} is not set")
        of_client[credential] = _secret(variable, os.environ[variable])
        with client_class(**of_client) as client:
            result = method(client, **given, **extra)
    except BotListError as error:
        print(f"botlists: {error}", file=sys.stderr)
        return 1
    except ValueError as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        return 130  # as a shell says it
    if result is None:  # show what was posted; nothing is with a token's end
        result = given or True
    print(json.dumps({result_name: result} if result_name else _jsonable(result)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
