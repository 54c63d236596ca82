"""Clients for two Discord bot lists: DBots (dbots.co) and LBots (lbots.org).

    from botlists import LBotsClient

    with LBotsClient(bot_id, token) as lbots:
        lbots.post_stats(893)
        if lbots.has_favourited(user_id):
            print("Thank you!")

A single file that needs only urllib3 (1.26 or 2) and Python 3.7 or later: copy it or install it.
For more, see the botlists README or run `python -m botlists --help`.

The file starts with the public API: errors, results and the two clients. The implementation
follows: argument checks, the session that sends requests, and the command line.

Copyright the botlists contributors. SPDX-License-Identifier: MIT
"""

from __future__ import annotations

__version__ = "1.2.0"

import contextlib
import email.utils
import io
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
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, NoReturn, TypeVar
from urllib.parse import unquote

from urllib3 import HTTPConnectionPool, PoolManager, ProxyManager, Retry, exceptions
from urllib3.connection import port_by_scheme
from urllib3.exceptions import ConnectTimeoutError, EmptyPoolError, NewConnectionError
from urllib3.util import Url, make_headers, parse_url
from urllib3.util.proxy import connection_requires_http_tunnel
from urllib3.util.ssl_ import create_urllib3_context

if TYPE_CHECKING:
    import argparse

    from urllib3.response import BaseHTTPResponse

__all__ = ["DBotsClient", "LBotsClient", "ApiDocument", "AuditChange", "AuditLog", "Favourite"]
__all__ += ["BotListError", "TransportError", "TransportTimeout", "InvalidResponse", "APIError"]
__all__ += ["BadRequest", "Unauthorized", "Forbidden", "NotFound", "TooManyRequests"]
__all__ += ["ServerError", "DeprecatedEndpoint"]

C = TypeVar("C", bound="_Client")
T = TypeVar("T")

_log = logging.getLogger("botlists")


def __dir__() -> list[str]:
    """Show only the public names in completion."""
    return [*__all__, *(name for name in globals() if name.startswith("__"))]


# Errors


class BotListError(Exception):
    """Base class of all errors that calls raise. `service` is "DBots" or "LBots".

    `str(error)` is one line of at most 300 characters and never shows the client's token or key.
    """

    _sent = True  # False if the request cannot have reached the service

    def __init__(self, service: str, text: str) -> None:
        line = "".join(char if char.isprintable() else " " for char in f"{service}: {text}")
        super().__init__(line if len(line) <= 300 else line[:297] + "...")
        self.service = service

    def __reduce__(self) -> tuple[Any, ...]:
        # By default, unpickling would call __init__ with the text alone, a TypeError.
        return Exception.__new__, (type(self), *self.args), self.__dict__


class TransportError(BotListError):
    """No complete response. `sent` is False only if the request cannot have reached the service."""

    def __init__(self, service: str, text: str, sent: bool) -> None:
        super().__init__(service, text)
        self.sent = self._sent = sent


class TransportTimeout(TransportError):
    """Connecting, or a single read, took longer than `timeout`."""


class InvalidResponse(BotListError):
    """A response that does not match the service's documentation. Has `status` and `body`."""

    def __init__(self, service: str, status: int, text: str, body: bytes) -> None:
        super().__init__(service, f"{status}: {text}")
        self.status = status
        self.body = body


class APIError(BotListError):
    """The service refused the request.

    Attributes: `status`, the service's `message`, the response `body`, and `retry_after` (the
    seconds to wait, or None if unknown).
    """

    def __init__(
        self, service: str, status: int, message: str, body: bytes, retry_after: float | None
    ) -> None:
        super().__init__(service, f"{status}: {message}")
        self.status = status
        self.message = message
        self.body = body
        self.retry_after = retry_after


class BadRequest(APIError):
    """400: the service rejected the data or, on DBots, the user does not manage the bot."""


class Unauthorized(APIError):
    """401: the token or key is wrong or no longer valid."""


class Forbidden(APIError):
    """403: the token or key does not allow this, or a firewall blocks this host."""


class NotFound(APIError):
    """404: the bot is not on the list, or `base_url` is wrong."""


class TooManyRequests(APIError):
    """429, or the client's own rate limit needs a longer wait than `max_wait`: nothing was sent."""


class ServerError(APIError):
    """5xx: the service, or a gateway in front of it, failed."""


class DeprecatedEndpoint(APIError):
    """The service has withdrawn the endpoint. Look for a newer version of botlists."""


_ERROR_CLASSES: dict[int, type[APIError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    429: TooManyRequests,
    **dict.fromkeys(range(500, 600), ServerError),
}


# Results


class Favourite(NamedTuple):
    """Whether a user has favourited the bot this quarter, and when (UTC, or None).

    It is true if `favourited` is.
    """

    user_id: int
    favourited: bool
    time: datetime | None

    def __bool__(self) -> bool:
        return self.favourited


class ApiDocument(NamedTuple):
    """A bot's API token and vote webhook on DBots. The repr hides the token.

    `vote_webhook_url` is None if no webhook is set.
    """

    bot_id: str
    token: str
    vote_webhook_url: str | None

    def __repr__(self) -> str:
        url = self.vote_webhook_url
        return f"ApiDocument(bot_id={self.bot_id!r}, token='***', vote_webhook_url={url!r})"


class AuditChange(NamedTuple):
    """One change to a bot's page: when (UTC), by which user, and the old and new values.

    `old` and `new` are empty if there is no such value.
    """

    at: datetime
    by: str
    old: dict[str, Any]
    new: dict[str, Any]


class AuditLog(NamedTuple):
    """The changes to a bot's page, in the order in which the service sends them."""

    bot_id: str
    changes: tuple[AuditChange, ...]


# Clients


class _Client:
    """The base class of both clients. The session does the work."""

    def __init__(self, bot_id: int | str, session: _Session) -> None:
        self.bot_id = _snowflake("bot_id", bot_id)
        self.base_url = session.base_url
        self._session = session

    def __repr__(self) -> str:
        return f"{type(self).__name__}(bot_id={self.bot_id!r}, base_url={self.base_url!r})"

    def __enter__(self: C) -> C:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. A later call opens new ones. Your own `pool` stays open."""
        self._session.close()


class DBotsClient(_Client):
    """A client for one bot on DBots (API: https://dbots.co/api/v1).

    bot_id: the bot's ID, an int or a str of digits.
    token: the bot's API token. `post_stats` needs it.
    user_key: the key of a logged-in user who manages the bot. All other methods need it.
    base_url: the http or https URL of the API.
    timeout: seconds (more than 0) to wait for a connection, and for each read.
    retries: how many times to retry, 0 or more, where a retry is safe.
    max_wait: total seconds to wait for rate limits and between retries, for each request; 0 means
        never to wait.
    pool: your own urllib3 PoolManager or ProxyManager. By default, the client verifies TLS with the
        system's certificates and uses the proxy set in the environment.

    A client may be shared by threads, and used before and after a fork. Its methods raise TypeError
    or ValueError for invalid arguments before anything is sent. All other errors are BotListErrors:
    TransportError, InvalidResponse or APIError. If TLS cannot be set up, the constructor raises
    OSError.
    """

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
        secrets = {name: value for name, value in given.items() if value is not None}
        if not secrets:
            raise ValueError("DBotsClient needs a token or a user_key")
        options = (base_url, timeout, retries, max_wait, pool)
        super().__init__(bot_id, _Session("DBots", secrets, *options, message_key="message"))

    def post_stats(self, guild_count: int) -> int:
        """Post the number of guilds that the bot is in.

        guild_count: the total across all shards and processes, 0 or more.
        Returns the count that the service has stored.
        Raises Unauthorized if the token is wrong, NotFound if the bot is not on the list.
        API docs: DBots, "Post Bot Stats".
        """
        payload = {"guildCount": _count("guild_count", guild_count)}
        response = self._session.request("POST", f"/bots/{self.bot_id}/stats", "token", payload)
        return response.field(int, "guildCount")

    def get_log(self) -> AuditLog:
        """Get the audit log of the bot's page.

        Returns the changes, in the order in which the service sends them.
        Raises Unauthorized if the user key is wrong or has expired, BadRequest or Forbidden if
        the user does not manage the bot.
        API docs: DBots, "Get Log".
        """
        response = self._session.request("GET", f"/bots/{self.bot_id}/log", "user_key")
        entries = response.fields.get("changes")
        if not isinstance(entries, list):  # the docs show an object, but the service sends a list
            entries = [response.field(dict, "changes")]
        changes = []
        for entry in [response._replace(json=item) for item in entries]:
            # The service omits empty values.
            change = entry._replace(json=entry.field(dict, "changes", default={}))
            old = change.field(dict, "old", default={})
            new = change.field(dict, "new", default={})
            changes.append(AuditChange(entry.date("at"), entry.field(str, "by"), old, new))
        return AuditLog(response.field(str, "_id"), tuple(changes))

    def regenerate_key(self) -> str:
        """Replace the bot's API token. This also removes the vote webhook: set it again.

        Returns the new token, which this client uses from now on.
        Raises the same errors as `get_log`. Retried only after 429 or if nothing was sent. After a
        TransportError with `sent` True, a ServerError or an InvalidResponse, the token may have
        changed: `get_api` returns the valid one.
        API docs: DBots, "Regenerate Key".
        """
        # A GET, but not idempotent: each call invalidates the previous token.
        path = f"/bots/{self.bot_id}/keys/regen"
        try:
            response = self._session.request("GET", path, "user_key", idempotent=False)
        except NotFound:  # the service's published source code lacks the documented path
            path = f"/bots/{self.bot_id}/key/regen"
            response = self._session.request("GET", path, "user_key", idempotent=False)
        # The docs do not say whether the response is a JSON string or an object.
        token = response.json if isinstance(response.json, str) else response.field(str, "token")
        return self._use_token(token, response)

    def get_api(self) -> ApiDocument:
        """Get the bot's API token and vote webhook.

        Returns an ApiDocument. This client uses its token from now on.
        Raises the same errors as `get_log`, or ServerError if the user key is wrong or expired.
        API docs: DBots, "Get API Document".
        """
        return self._api_document("GET")

    def edit_api(self, *, vote_webhook_url: str | None) -> ApiDocument:
        """Set the URL that receives votes.

        vote_webhook_url: the URL, or None to remove it. The service sends the bot's token in each
            vote's Authorization header, so use https.
        Returns the bot's API token and vote webhook. This client uses that token from now on.
        Raises the same errors as `get_log`.
        API docs: DBots, "Edit API Document".
        """
        if not (vote_webhook_url is None or isinstance(vote_webhook_url, str)):
            raise TypeError("vote_webhook_url must be a str or None")
        return self._api_document("PATCH", {"voteWebhookURL": vote_webhook_url})

    def _api_document(self, method: str, payload: dict[str, Any] | None = None) -> ApiDocument:
        path = f"/bots/{self.bot_id}/api"
        response = self._session.request(method, path, "user_key", payload)
        bot_id = response.field(str, "_id")
        unset = response.fields.get("voteWebhookURL") is None  # null or missing
        url = None if unset else response.field(str, "voteWebhookURL")
        token = self._use_token(response.field(str, "token"), response)
        return ApiDocument(bot_id, token, url)

    def _use_token(self, token: str, response: _Response) -> str:
        """Switch this client to a token from a response, and return it."""
        try:
            secret = _secret("token", token)
        except ValueError as error:
            raise response.invalid(str(error)) from None
        # A new dict, since other threads may be reading the old one.
        self._session.secrets = {**self._session.secrets, "token": secret}
        return token


class LBotsClient(_Client):
    """A client for one bot on LBots (API: https://lbots.org/api/v1).

    bot_id: the bot's ID, an int or a str of digits.
    token: the bot's API token. All methods need it.
    base_url, timeout, retries, max_wait, pool: as in DBotsClient.

    Calls wait so that all threads together stay within the documented rate limits: 20 posts per 5 s
    and 3 `get_favourites` calls per 4 s. A call that would wait longer than `max_wait` raises
    TooManyRequests immediately and sends nothing. Everything else is as in DBotsClient.
    """

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
        options = (base_url, timeout, retries, max_wait, pool)
        session = _Session(
            "LBots",
            {"token": token},
            *options,
            message_key="error",
            success_key="success",
            rate_limits={"stats": (20, 5.0), "favourites": (3, 4.0)},
        )
        super().__init__(bot_id, session)

    def post_stats(
        self, guild_count: int, *, shard_id: int | None = None, shard_count: int | None = None
    ) -> None:
        """Post the number of guilds that the bot, or one of its shards, is in.

        guild_count: the number of guilds, 0 or more.
        shard_id: the shard, from 0. The list shows the sum of all posted shards.
        shard_count: the bot's total number of shards, more than `shard_id`.
        Raises Unauthorized if the token is wrong, BadRequest if the service rejects the data,
        TooManyRequests if the rate limit needs a longer wait than `max_wait`.
        API docs: LBots, "Bot Statistics".
        """
        payload = {"guild_count": _count("guild_count", guild_count)}
        if shard_id is not None:
            payload["shard_id"] = _count("shard_id", shard_id)
        if shard_count is not None:
            payload["shard_count"] = _count("shard_count", shard_count)
            if payload["shard_count"] <= payload.get("shard_id", 0):
                raise ValueError("shard_count must be at least 1, and more than shard_id")
        path = f"/bots/{self.bot_id}/stats"
        self._session.request("POST", path, "token", payload, rate_limit="stats")

    def post_shard_stats(
        self,
        guild_counts: Sequence[int] | Mapping[int, int],
        *,
        shard_count: int | None = None,
        progress: Callable[[int, int], object] | None = None,
    ) -> None:
        """Post the guild counts of several shards, with one request per shard.

        guild_counts: one count per shard, starting at shard 0, or {shard_id: guild_count}.
        shard_count: the bot's total number of shards. Required with a mapping; with a sequence, it
            defaults to the length, and may be larger.
        progress: called as progress(done, total) after each shard.
        Raises the same errors as `post_stats`. The shards before the failed one have been posted.
        API docs: LBots, "Bot Statistics".
        """
        shards, shard_count = _shards(guild_counts, shard_count)
        if not (progress is None or callable(progress)):
            raise TypeError("progress must be callable")
        for done, (shard_id, guild_count) in enumerate(shards, 1):
            self.post_stats(guild_count, shard_id=shard_id, shard_count=shard_count)
            if progress is not None:
                progress(done, len(shards))

    def get_favourites(self) -> int:
        """Get the number of users who have favourited the bot this quarter.

        Returns the number.
        Raises Unauthorized if the token is wrong, NotFound if the bot is not on the list,
        TooManyRequests if the rate limit needs a longer wait than `max_wait`.
        API docs: LBots, "Bot Favourites".
        """
        path = f"/bots/{self.bot_id}/favourites"
        response = self._session.request("GET", path, "token", rate_limit="favourites")
        return response.field(int, "favourites", "favorites")

    get_favorites = get_favourites

    def has_favourited(self, user_id: int | str) -> Favourite:
        """Check whether and when a user has favourited the bot this quarter.

        user_id: the user's ID, an int or a str of digits.
        Returns a Favourite, which is true if the user has.
        Raises Unauthorized if the token is wrong.
        API docs: LBots, "Bot Has User Favourited".
        """
        user = _snowflake("user_id", user_id)
        path = f"/bots/{self.bot_id}/favourites/user/{user}"
        response = self._session.request("GET", path, "token")
        favourited = response.field(bool, "favourited", "favorited")
        # null is documented; a missing key is not.
        never = "time" in response.fields and response.fields["time"] is None
        return Favourite(int(user), favourited, None if never else response.date("time"))

    has_favorited = has_favourited

    def invalidate_token(self) -> None:
        """Invalidate the bot's token, for example after a leak.

        The bot's edit page shows the new token. Make a new client with it: this one stops working.
        Raises Unauthorized if the token is wrong. Retried only after 429 or if nothing was sent.
        After a TransportError with `sent` True, a ServerError or an InvalidResponse, the token may
        be invalid already.
        API docs: LBots, "Invalidate Token".
        """
        # A GET, but not idempotent: once it has worked, the token is no longer valid.
        path = f"/bots/{self.bot_id}/invalidate"
        self._session.request("GET", path, "token", idempotent=False)


# Argument checks. Each raises a TypeError or ValueError that names the argument but never shows the
# value, which may be a misplaced secret.


def _integer(name: str, value: Any, lowest: int, highest: int) -> int:
    try:
        number = operator.index(value)  # accepts numpy's integers too
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, not {type(value).__name__}")
    if not lowest <= number <= highest:
        raise ValueError(f"{name} must be from {lowest} to {highest}")
    return int(number)  # a plain int: an IntEnum, for example, may be formatted differently


def _count(name: str, value: Any) -> int:
    return _integer(name, value, 0, 2**53 - 1)  # JavaScript's MAX_SAFE_INTEGER


def _snowflake(name: str, value: Any) -> str:
    """Check a Discord ID, an int or a str of digits, and return it as a str for a path."""
    if isinstance(value, str):
        # int() would also accept spaces, signs, underscores and non-ASCII digits.
        if not re.fullmatch("[0-9]{1,20}", value):
            raise ValueError(f"{name} must be a Discord ID: up to 20 digits")
        value = int(value)
    return str(_integer(name, value, 1, 2**64 - 1))


class _Secret(str):
    """A str whose value is hidden from tools that print variables in tracebacks."""

    def __repr__(self) -> str:
        return "'***'"


def _secret(name: str, value: Any) -> _Secret:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    if not re.fullmatch("[!-~]([ -~]*[!-~])?", value):
        raise ValueError(f"{name} must be non-empty printable ASCII without surrounding spaces")
    return _Secret(value)


def _seconds(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number of seconds, not {type(value).__name__}")
    if not value >= 0:  # not `value < 0`, which is false for NaN
        raise ValueError(f"{name} must be 0 or more")
    return min(value, 1e6)  # at most 11 days: the system rejects longer waits


def _http_url(text: str) -> Url | None:
    """Parse an ASCII http or https URL that has a host; return None for anything else."""
    with contextlib.suppress(ValueError):
        url = parse_url(text)
        if url.host and re.fullmatch("https?://[!-~]+", text, re.IGNORECASE | re.ASCII):
            return url
    return None


def _base_url(value: Any) -> Url:
    if not isinstance(value, str):
        raise TypeError(f"base_url must be a str, not {type(value).__name__}")
    url = _http_url(value)
    if url is None or (url.auth, url.query, url.fragment) != (None, None, None):
        raise ValueError("base_url must be http://HOST/PATH or https://HOST/PATH, in ASCII")
    return url


def _shards(guild_counts: Any, shard_count: Any) -> tuple[list[tuple[int, int]], int]:
    """Return (shard_id, guild_count) for each shard to post, and the checked shard count."""
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
        raise ValueError("guild_counts must contain at least one shard")
    shard_count = _count("shard_count", shard_count)
    if max(shard_id for shard_id, _ in shards) >= shard_count:
        raise ValueError("shard_count must be more than every shard_id in guild_counts")
    return shards, shard_count


# The session sends the requests of both clients. Only this part deals with urllib3, JSON, rate
# limits and retries. It knows nothing about bots or endpoints.

_BODY_LIMIT = 4 * 2**20  # bytes; a hundred times the largest known response
_MAX_IDLE = 60.0  # seconds without a request of the client; then a NAT may drop its connections
_NO_RETRIES = Retry(False)  # shared, because urllib3 would otherwise create one for each request
_TEMPORARY = {408, 502, 503, 504, *range(520, 525), 530}  # 520 and above: a CDN

# What urllib3 raises if a request cannot have reached the service. Rejected certificates and
# invalid hostnames are ValueErrors, whether Python or urllib3 rejects them.
_NOT_SENT = (NewConnectionError, ConnectTimeoutError, EmptyPoolError, ValueError)


class _Session:
    """Sends the requests of one client. Holds its connections, secrets and rate limits.

    service: the service's name in errors and log lines.
    secrets: {name: value} of possible Authorization headers.
    base_url, timeout, retries, max_wait, pool: as in DBotsClient.
    message_key: the field of an error response that contains the service's message.
    success_key: the boolean field that is true in every successful response, or None.
    rate_limits: {name: (requests, seconds)}.
    """

    def __init__(
        self,
        service: str,
        secrets: Mapping[str, str],
        base_url: str,
        timeout: float,
        retries: int,
        max_wait: float,
        pool: PoolManager | None,
        *,
        message_key: str,
        success_key: str | None = None,
        rate_limits: Mapping[str, tuple[int, float]] | None = None,
    ) -> None:
        self.service = service
        self.secrets = {name: _secret(name, value) for name, value in secrets.items()}
        url = _base_url(base_url)
        self.base_url = base_url.rstrip("/")
        self._timeout: Any = _seconds("timeout", timeout)  # Any: urllib3 types pool_timeout as int
        if self._timeout == 0:
            raise ValueError("timeout must be more than 0")
        self._retries = _count("retries", retries)
        self._max_wait = _seconds("max_wait", max_wait)
        if not (pool is None or isinstance(pool, PoolManager)):
            raise TypeError("pool must be a urllib3 PoolManager or ProxyManager")
        self._owns_connections = pool is None
        self._manager = _new_manager(url) if pool is None else pool
        self.pool = self._manager.connection_from_url(self.base_url)
        self._last_used = time.monotonic()
        # A proxy that forwards http needs the full URL. Direct or in a tunnel, the path is enough.
        proxy = self.pool.proxy
        tunnel = connection_requires_http_tunnel(proxy, self.pool.proxy_config, url.scheme)
        self._prefix = self.base_url if proxy and not tunnel else (url.path or "").rstrip("/")
        self._message_key, self._success_key = message_key, success_key
        self.rate_limits = {k: _RateLimit(service, *v) for k, v in (rate_limits or {}).items()}
        _sessions.add(self)

    def close(self) -> None:
        if self._owns_connections:
            _close_idle_connections(self.pool)

    def request(
        self,
        method: str,
        path: str,
        credential: str,
        payload: dict[str, Any] | None = None,
        *,
        rate_limit: str | None = None,
        idempotent: bool = True,
    ) -> _Response:
        """Send a request, retry it where the policy allows, and return the successful response.

        `idempotent`: sending it twice has the same effect as once. That is true of the POST and
        PATCH requests here, since they set a value.
        Raises the error of the last attempt that may have reached the service or, if none did, of
        the last attempt.
        """
        if credential not in self.secrets:
            raise ValueError(f"this method needs a {credential}, but the client has none")
        body = None if payload is None else json.dumps(payload).encode()
        label = f"{self.service} {method} {path}"
        limit = self.rate_limits[rate_limit] if rate_limit else None
        budget = self._max_wait  # seconds that this call may still sleep
        failure: BotListError | None = None
        attempt = 0
        while True:
            attempt += 1
            slot = limit.slot(label, budget) if limit else contextlib.nullcontext(0.0)
            try:
                with slot as waited:
                    budget -= waited
                    return self._send(label, method, path, credential, body)
            except BotListError as error:
                latest = error
            # An attempt that cannot have reached the service must not hide one that may have.
            if failure is None or latest._sent or not failure._sent:
                failure = latest
            delay = _retry_wait(latest, attempt, idempotent, limit.window if limit else 0.0)
            if attempt > self._retries or delay is None or delay > budget:
                raise failure
            # The status, or the text without the service's name. What a service says is not logged.
            why = latest.status if isinstance(latest, APIError) else str(latest).partition(": ")[2]
            _log.warning("%s: %s; retrying in %.1f s", label, why, delay)
            time.sleep(delay)
            budget -= delay

    def _send(
        self, label: str, method: str, path: str, credential: str, body: bytes | None
    ) -> _Response:
        """Make one attempt: return a successful response, or raise the error."""
        if self._owns_connections and time.monotonic() - self._last_used > _MAX_IDLE:
            _close_idle_connections(self.pool)
        if self.pool.pool is None:  # urllib3 1.26 closed it to make room for other hosts
            self.pool = self._manager.connection_from_url(self.base_url)
        headers = {"User-Agent": f"botlists/{__version__}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        status: int | str = "no response"
        started = time.monotonic()
        try:
            raw = self.pool.urlopen(
                method,
                self._prefix + path,
                body=body,
                # Not in a local variable: rich shortens a long string itself, without its repr.
                headers={**headers, "Authorization": self.secrets[credential]},
                retries=_NO_RETRIES,
                redirect=False,
                assert_same_host=False,  # a full URL, for a proxy, names another host
                timeout=self._timeout,
                pool_timeout=self._timeout,
                preload_content=False,
                decode_content=False,
                enforce_content_length=True,
            )
            content = _read(raw)
            status = raw.status
        except exceptions.HTTPError as error:
            _raise_transport_error(self.service, error, self.pool.proxy)
        finally:
            self._last_used = time.monotonic()
            milliseconds = 1000 * (self._last_used - started)
            _log.debug("%s: %s in %.0f ms", label, status, milliseconds)
        try:
            document = json.loads(content)
        except (ValueError, RecursionError):
            document = None  # like a JSON null, which is not a valid response either
        response = _Response(self.service, raw.status, raw.reason, raw.headers, content, document)
        self._raise_for_failure(response)
        return response

    def _raise_for_failure(self, response: _Response) -> None:
        """Raise the error for a response that is not a success."""
        if len(response.body) > _BODY_LIMIT:
            raise response.invalid(f"the body is larger than {_BODY_LIMIT // 2**20} MiB")
        fields, status = response.fields, response.status
        refused = self._success_key is not None and fields.get(self._success_key) is False
        if refused:  # regardless of the HTTP status
            code = fields.get("status_code")
            status = code if type(code) is int and code >= 400 else status
        deprecated = fields.get("error") == "DEPRECATED"
        if refused or deprecated or status >= 400:
            kind = DeprecatedEndpoint if deprecated else _ERROR_CLASSES.get(status, APIError)
            message = self._mask(_refusal_message(response, self._message_key))
            retry_after = _retry_after(response.headers.get("Retry-After", ""))
            raise kind(self.service, status, message, response.body, retry_after)
        if status >= 300:
            location = self._mask(response.headers.get("Location", "an unknown location"))
            raise response.invalid(f"a redirect to {location}, which is not followed")
        if response.json is None:
            what = "an HTML page" if response.is_html else "not JSON"
            raise response.invalid(f"the response is {what}")
        if self._success_key is not None:
            response.field(bool, self._success_key)

    def _mask(self, text: str) -> str:
        for secret in sorted(self.secrets.values(), key=len, reverse=True):
            text = text.replace(secret, "***")
        return text


def _retry_wait(error: BotListError, attempt: int, idempotent: bool, window: float) -> float | None:
    """The retry policy: return the seconds until the next attempt, or None for no retry.

    Any request is retried after the service's 429, or if it was certainly not sent, except for a
    rejected certificate or an invalid hostname. An idempotent request is also retried after a lost
    response or a temporary status. `window` is the rate limit's, or 0.
    """
    retry = False
    if isinstance(error, TransportError):
        permanent = isinstance(error.__cause__, ValueError)  # see _NOT_SENT
        retry = not permanent and (idempotent or not error.sent)
    elif isinstance(error, TooManyRequests):
        retry = error._sent
    elif isinstance(error, APIError) and not isinstance(error, DeprecatedEndpoint):
        retry = idempotent and error.status in _TEMPORARY
    if not retry:
        return None
    if isinstance(error, APIError) and error.retry_after:
        return error.retry_after
    if isinstance(error, TooManyRequests) and window:
        return window
    return 2.0 ** min(attempt - 1, 5) * random.uniform(0.5, 1.0)


def _raise_transport_error(service: str, error: BaseException, proxy: Url | None) -> NoReturn:
    """Translate an exception of urllib3 into a TransportError and raise it."""
    while error.args and isinstance(error.args[-1], BaseException):
        error = error.args[-1]  # each version of urllib3 wraps the original error differently
    # urllib3's class tells whether it was sent. The system's error, its context, tells why.
    sent = not isinstance(error, _NOT_SENT)
    reason = error
    if isinstance(error, (NewConnectionError, exceptions.TimeoutError)):
        reason = error.__context__ or error
    timed_out = isinstance(reason, (socket.timeout, TimeoutError))
    kind = TransportTimeout if timed_out else TransportError
    what = "no complete response" if sent else "not sent"
    where = f" (proxy {proxy.scheme}://{proxy.netloc})" if proxy else ""
    why = str(reason) if isinstance(reason, OSError) else repr(reason)
    raise kind(service, f"{what}{where}: {why}", sent) from error


def _read(response: BaseHTTPResponse) -> bytes:
    """Read the body, but stop soon after _BODY_LIMIT bytes."""
    body = bytearray()
    try:
        # Not stream(): before urllib3 2.8, it buffers chunk sizes and trailers without limit.
        for part in iter(lambda: response.read(65536), b""):
            body += part
            if len(body) > _BODY_LIMIT or response.length_remaining == 0:
                break  # at the end of a known length, this saves an empty read()
    except (ValueError, OverflowError) as error:  # from http.client, for a negative chunk size
        raise exceptions.ProtocolError(str(error)) from error
    if len(body) > _BODY_LIMIT:
        response.close()
    response.release_conn()
    return bytes(body)


class _Response(NamedTuple):
    """A response, or part of one (with another `json`), that checks the fields it returns."""

    service: str
    status: int
    reason: str | None
    headers: Mapping[str, str]
    body: bytes
    json: Any

    def invalid(self, text: str) -> InvalidResponse:
        return InvalidResponse(self.service, self.status, text, self.body)

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of a JSON object; {} for any other JSON."""
        return self.json if isinstance(self.json, dict) else {}

    @property
    def is_html(self) -> bool:
        declared = "html" in self.headers.get("Content-Type", "").lower()
        pattern = b"<" if declared else b"<(!doctype )?html"
        return re.search(pattern, self.body[:1000], re.IGNORECASE) is not None

    def field(self, kind: type[T], *names: str, default: T | None = None) -> T:
        """Return the first field of `names` that is present. Its type must be exactly `kind`."""
        fields = self.fields
        value = next((fields[name] for name in names if name in fields), default)
        if type(value) is not kind:
            raise self.invalid(f"{names[0]} is missing or not of type {kind.__name__}")
        return value

    def date(self, name: str) -> datetime:
        try:
            return _parse_date(self.field(str, name))
        except ValueError:
            raise self.invalid(f"{name} is not a date in a known format") from None


def _refusal_message(response: _Response, key: str) -> str:
    """Return why the service refused: its message, a short text body, or the reason phrase."""
    message = response.fields.get(key)
    if isinstance(message, str) and message.strip():
        return message.strip()
    reason = response.reason or "no reason given"
    if response.is_html:
        return f"{reason} (the response is an HTML page)"
    text = " ".join(response.body[:1000].decode(errors="replace").split())
    words = " " in text or text.rstrip(".!").isalpha()  # a word that is not letters may be a token
    markup = response.json is not None or "<" in text or text.startswith(("{", "[", '"', "null"))
    plain = words and not markup and len(text) <= 200 and text.isprintable()
    return text if plain else reason


def _parse_date(text: str) -> datetime:
    """Parse a date in the format of DBots (JavaScript's JSON) or LBots (an HTTP header)."""
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?(Z|[+-]\d\d:\d\d)", text):
            date = datetime.fromisoformat(text.replace("Z", "+00:00"))
        elif re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", text):
            date = email.utils.parsedate_to_datetime(text)
        else:
            raise ValueError("unknown format")
        return date.astimezone(timezone.utc)
    except (TypeError, OverflowError) as error:  # TypeError: no such month, before Python 3.10
        raise ValueError(str(error)) from error


def _retry_after(value: str) -> float | None:
    """Return the seconds that a Retry-After header (a number or a date) asks for, or None."""
    with contextlib.suppress(ValueError):
        number = re.fullmatch(r"\s*[0-9]{1,9}(\.[0-9]+)?\s*", value)
        seconds = float(value) if number else _parse_date(value.strip()).timestamp() - time.time()
        return seconds if number or seconds > 0 else None  # a past date says nothing
    return None


class _RateLimit:
    """Allow at most `requests` in any `window` seconds, as the service counts them.

    The service may count a request at any time between its sending and its response. So each
    request holds one of `requests` slots, which all threads share, and the slot is free again
    `window` seconds after the response.
    """

    def __init__(self, service: str, requests: int, window: float) -> None:
        self.service = service
        self.requests = requests
        self.window = window
        self.reset()

    def reset(self) -> None:
        # For each unused slot, the time from which it is free.
        self._free_at: queue.PriorityQueue[float] = queue.PriorityQueue()
        for _ in range(self.requests):
            self._free_at.put(0.0)

    @contextlib.contextmanager
    def slot(self, label: str, patience: float) -> Iterator[float]:
        """Wait for a slot and hold it. Yields the seconds waited.

        Raises TooManyRequests as soon as it is certain that no slot will be free within `patience`
        seconds.
        """
        started = time.monotonic()
        free_at = None
        with contextlib.suppress(queue.Empty):
            # If all slots are in use, the first to come back is free only one window later. So do
            # not wait for it longer than `patience - window`.
            free_at = self._free_at.get(timeout=max(patience - self.window, 0.0))
        wait = self.window if free_at is None else max(free_at - started, 0.0)
        if free_at is None or wait > patience:
            if free_at is not None:
                self._free_at.put(free_at)
            text = f"not sent: max {self.requests} requests in {self.window:g} s; wait {wait:.1f} s"
            error = TooManyRequests(self.service, 429, text, b"", wait)
            error._sent = False
            raise error
        try:
            if wait >= 1:
                _log.info("%s: waiting %.1f s for the rate limit", label, wait)
            if wait > 0:
                time.sleep(max(free_at - time.monotonic(), 0.0))
            yield wait
        finally:
            self._free_at.put(time.monotonic() + self.window)


class _BadVariable(ValueError):
    """An environment variable is unusable. The text names it but never shows its value."""


def _new_manager(url: Url) -> PoolManager:
    """Make a manager that verifies TLS and uses the environment's proxy for `url`."""
    options: dict[str, Any] = {"maxsize": 32}  # idle connections to keep, one per thread
    if url.scheme == "https":
        # Built as in urllib3, but only once: urllib3 would load the system's certificates for each
        # connection. (With ssl.create_default_context(), urllib3 1.26 rejects IP addresses.)
        options["ssl_context"] = create_urllib3_context()
        options["ssl_context"].load_default_certs()
    proxy = _environment_proxy(url)
    if proxy is None:
        return PoolManager(**options)
    if proxy.auth:
        auth = proxy.auth if ":" in proxy.auth else f"{proxy.auth}:"
        # urllib3 encodes this as Latin-1 again, which restores the percent-encoded bytes.
        options["proxy_headers"] = make_headers(proxy_basic_auth=unquote(auth, "latin-1"))
    if proxy.scheme == "https":
        # Without this, urllib3 1.26 does not check the hostname in the proxy's certificate.
        options["proxy_ssl_context"] = ssl.create_default_context()
    return ProxyManager(proxy._replace(auth=None).url, **options)


def _environment_proxy(url: Url) -> Url | None:
    """Return the environment's proxy for `url`, as curl and requests do, if it is not SOCKS."""
    scheme = str(url.scheme)
    names = [name for name in os.environ if name.lower() in (f"{scheme}_proxy", "all_proxy")]
    if not names:  # proxy settings of Windows and macOS are ignored
        return None
    from urllib.request import getproxies, proxy_bypass

    proxies = getproxies()
    value = proxies.get(scheme) or proxies.get("all")
    if not value or proxy_bypass(f"{url.host}:{url.port or port_by_scheme[scheme]}"):
        return None
    value = value if "://" in value else f"http://{value}"
    # One of these characters in the user name or password would change the host.
    proxy = _http_url(value) if re.fullmatch(r"[^:]+://[^\\/?#]+/?", value) else None
    if proxy is None:
        raise _BadVariable(f"{' or '.join(names)} must be an http or https URL, percent-encoded")
    return proxy


def _close_idle_connections(pool: HTTPConnectionPool) -> None:
    """Close the idle connections. urllib3 reopens them when needed."""
    if pool.pool is not None:
        with pool.pool.mutex:
            for connection in filter(None, pool.pool.queue):
                connection.close()


_sessions: weakref.WeakSet[_Session] = weakref.WeakSet()


def _after_fork() -> None:
    """In the child, replace the parent's connections, and locks that may never be released."""
    for session in _sessions:
        idle = session.pool.pool
        if idle is not None:
            for connection in filter(None, idle.queue):
                connection.close()  # only the child's copy of the socket
            queue.Queue.__init__(idle, idle.maxsize)  # in place, with new locks
            for _ in range(idle.maxsize):
                idle.put(None)  # urllib3's placeholder for a connection not made yet
        for limit in session.rate_limits.values():
            limit.reset()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_after_fork)


# The command line. Each command calls the method of the same name.

_CLIENTS = {"dbots": DBotsClient, "lbots": LBotsClient}

_COMMANDS = [
    # service, command, arguments, environment variable, JSON key ("": the result's own keys or,
    # if there is no result, the arguments)
    ("dbots", "post-stats", ["BOT", "N"], "DBOTS_TOKEN", "guild_count"),
    ("dbots", "get-log", ["BOT"], "DBOTS_USER_KEY", ""),
    ("dbots", "regenerate-key", ["BOT"], "DBOTS_USER_KEY", "token"),
    ("dbots", "get-api", ["BOT"], "DBOTS_USER_KEY", ""),
    ("dbots", "edit-api", ["BOT", "(--vote-webhook-url URL | --clear)"], "DBOTS_USER_KEY", ""),
    ("lbots", "post-stats", ["BOT", "N", "[--shard-id I]", "[--shard-count C]"], "LBOTS_TOKEN", ""),
    ("lbots", "post-shard-stats", ["BOT", "N [N ...]"], "LBOTS_TOKEN", ""),
    ("lbots", "get-favourites", ["BOT"], "LBOTS_TOKEN", "favourites"),
    ("lbots", "has-favourited", ["BOT", "USER"], "LBOTS_TOKEN", ""),
    ("lbots", "invalidate-token", ["BOT"], "LBOTS_TOKEN", "invalidated"),
]


_ARGUMENTS: dict[str, tuple[str, dict[str, Any]]] = {
    # argument as in _COMMANDS: what add_argument() takes
    "BOT": ("bot_id", {"metavar": "BOT", "help": "the bot's ID"}),
    "N": ("guild_count", {"metavar": "N", "type": int, "help": "the number of guilds"}),
    "N [N ...]": ("guild_counts", {"metavar": "N", "type": int, "nargs": "+", "help": "per shard"}),
    "USER": ("user_id", {"metavar": "USER", "help": "the user's ID"}),
    "[--shard-id I]": ("--shard-id", {"metavar": "I", "type": int, "help": "the shard, from 0"}),
    "[--shard-count C]": ("--shard-count", {"metavar": "C", "type": int, "help": "total shards"}),
    "--vote-webhook-url URL": ("--vote-webhook-url", {"metavar": "URL", "help": "receives votes"}),
    "--clear": ("--clear", {"dest": "vote_webhook_url", "action": "store_const", "const": None}),
}

_EPILOG = """
Each command reads its token or key from the environment variable shown beside
it, and prints one JSON object to stdout, or one line to stderr. Exit status: 0
on success, 1 on failure, 2 for wrong usage or a bad variable, 130 on Ctrl-C.

example:
  LBOTS_TOKEN=... botlists lbots post-stats 264811613708746752 893
"""


def _parser() -> argparse.ArgumentParser:
    import argparse  # only the command line needs it

    options = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    options.add_argument("--base-url", metavar="URL", help="address of the API")
    options.add_argument("--timeout", metavar="S", type=float, help="timeout in seconds (10)")
    options.add_argument("--retries", metavar="N", type=int, help="number of retries (2)")
    options.add_argument("--max-wait", metavar="S", type=float, help="total seconds to wait (30)")
    commands = "".join(
        f"  {' '.join([service, command, *arguments]):56}{variable}\n"
        for service, command, arguments, variable, _ in _COMMANDS
    )
    parser = argparse.ArgumentParser(
        prog="botlists",
        description="Call the APIs of two Discord bot lists: DBots (dbots.co), LBots (lbots.org).",
        epilog=f"commands:\n{commands}{_EPILOG}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[options],
    )
    parser.add_argument("--version", action="version", version=f"botlists {__version__}")
    services = parser.add_subparsers(metavar="SERVICE", required=True)
    groups = {}
    for service in _CLIENTS:
        about = f"commands for {service}"
        group = services.add_parser(service, help=about, description=about)
        groups[service] = group.add_subparsers(metavar="COMMAND", required=True)
    for service, name, arguments, variable, key in _COMMANDS:
        american = name.replace("favour", "favor")
        method = getattr(_CLIENTS[service], name.replace("-", "_"))
        summary = (method.__doc__ or "").partition("\n")[0]  # python -OO removes docstrings
        about = f"{summary} ({variable})"
        command = groups[service].add_parser(
            name,
            aliases=[] if american == name else [american],
            help=about,
            description=about,
            parents=[options],
            argument_default=argparse.SUPPRESS,  # preserves options given before the service
        )
        for argument in arguments:
            choice = argument.startswith("(")
            target = command.add_mutually_exclusive_group(required=True) if choice else command
            for part in argument.strip("()").split(" | "):
                flag, settings = _ARGUMENTS[part]
                target.add_argument(flag, **settings)
        command.set_defaults(call=(service, method, variable, key))
    return parser


def _show_progress(done: int, total: int) -> None:
    end = "\n" if done == total else "\r"  # the next line, or an error, overwrites this one
    print(f"{done} of {total} shards", end=end, file=sys.stderr, flush=True)


def _jsonable(value: Any) -> Any:
    """Turn named tuples into dicts, with IDs as strings: jq would round such large numbers."""
    if hasattr(value, "_asdict"):
        fields = value._asdict().items()
        return {name: str(v) if name.endswith("_id") else _jsonable(v) for name, v in fields}
    return [_jsonable(item) for item in value] if isinstance(value, tuple) else value


def _run(given: dict[str, Any]) -> None:
    """Run the parsed command with its arguments and options."""
    service, method, variable, key = given.pop("call")
    try:
        secret = _secret(variable, os.environ[variable])
    except (KeyError, ValueError):
        raise _BadVariable(f"environment variable {variable} is not set or is malformed") from None
    credential = variable.partition("_")[2].lower()
    names = ("bot_id", "base_url", "timeout", "retries", "max_wait")
    options = {name: given.pop(name) for name in names if name in given}
    extra = {}
    if "guild_counts" in given and hasattr(sys.stderr, "isatty") and sys.stderr.isatty():
        extra["progress"] = _show_progress
    with _CLIENTS[service](**options, **{credential: secret}) as client:
        result = method(client, **given, **extra)
    if result is None:  # show what was posted, or that the token was invalidated
        result = given or True
    try:
        result = {key: result} if key else _jsonable(result)
        text = json.dumps(result, default=datetime.isoformat)
        print(text, file=sys.stdout or sys.stderr, flush=True)  # a new token must not be lost
    except (OSError, ValueError) as error:  # ValueError: stdout is closed
        with contextlib.suppress(OSError):
            sys.stdout.close()  # otherwise, Python tries again at exit
        raise OSError(f"the call was done, but its result was not written: {error}") from error


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line with `argv`, by default sys.argv[1:]. Returns the exit status.

    Raises SystemExit for wrong usage, --help and --version, as argparse does.
    """
    _log.addHandler(logging.NullHandler())  # otherwise, Python prints warnings to stderr
    usable = sys.stderr is not None and not getattr(sys.stderr, "closed", False)
    # Without a usable stderr, as under pythonw or 2>&-, print() would write to stdout.
    with contextlib.redirect_stderr(sys.stderr if usable else io.StringIO()):
        parser = _parser()
        try:
            _run(vars(parser.parse_args(argv)))
        except KeyboardInterrupt:
            return 130  # as shells do
        except (BotListError, OSError, _BadVariable) as error:
            print(f"botlists: {error}", file=sys.stderr)
            return 2 if isinstance(error, _BadVariable) else 1
        except ValueError as error:
            parser.error(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
