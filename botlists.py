"""Clients for two Discord bot lists: DBots (dbots.co) and LBots (lbots.org).

    from botlists import LBotsClient

    with LBotsClient(bot_id, token) as lbots:
        lbots.post_stats(893)
        if lbots.has_favourited(user_id):
            print("Thank you!")

A single file that needs only urllib3 (1.26 or 2) and Python 3.7 or later: copy it or install it.
For more, see the botlists README or run `python -m botlists --help`.

The file starts with the public API: errors, results and the two clients. The implementation
follows: argument checks, the session that sends requests, the parts that it uses (retries, rate
limits, connections, failures and responses), and the command line.

Copyright the botlists contributors. SPDX-License-Identifier: MIT
"""

from __future__ import annotations

__version__ = "1.3.0"

import base64
import contextlib
import email.utils
import functools
import io
import json
import logging
import operator
import os
import random
import re
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Callable, ContextManager, NamedTuple, TypeVar
from urllib.parse import unquote

from urllib3 import HTTPConnectionPool, PoolManager, ProxyManager, Retry, exceptions
from urllib3.util import Url, make_headers, parse_url
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
    """The base class of all errors of this module.

    Attributes: `service` ("DBots" or "LBots"), and `sent`, which is False only if the request
    cannot have reached the service. `str(error)` is one line of at most 300 characters that does
    not show the client's token or key.
    """

    def __init__(self, service: str, text: str, sent: bool = True) -> None:
        line = "".join(char if char.isprintable() else " " for char in f"{service}: {text}")
        super().__init__(line if len(line) <= 300 else line[:297] + "...")
        self.service = service
        self.sent = sent

    def __reduce__(self) -> tuple[Any, ...]:
        # Unpickling would otherwise call __init__ with the text alone, and raise TypeError.
        return Exception.__new__, (type(self), *self.args), self.__dict__


class TransportError(BotListError):
    """There was no complete response, or the request was not sent: see `sent`."""

    def __init__(self, service: str, text: str, sent: bool) -> None:
        outcome = "no complete response" if sent else "not sent"
        super().__init__(service, f"{outcome}: {text}", sent)


class TransportTimeout(TransportError):
    """Connecting, or waiting for data, took longer than `timeout`."""


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
        self,
        service: str,
        status: int,
        message: str,
        body: bytes,
        retry_after: float | None,
        sent: bool = True,
    ) -> None:
        super().__init__(service, f"{status if sent else 'not sent'}: {message}", sent)
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
    """429, or waiting for the client's own rate limit would exceed `max_wait` (`sent` is False)."""


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

    Its truth value is `favourited`.
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

    `old` is empty if there was no old value, and `new` if there is no new one.
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

    bot_id = base_url = ""  # for the repr of a client whose constructor has failed

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
        """Close the idle connections. A later call opens new ones. Your own `pool` stays open."""
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
        never wait.
    pool: your own urllib3 PoolManager or ProxyManager. By default, the client verifies TLS with the
        system's certificates and uses the proxy set in the environment.

    A client may be shared by threads and, without `pool`, used before and after a fork. Invalid
    arguments raise TypeError or ValueError before anything is sent. A call that fails raises a
    BotListError: TransportError, InvalidResponse or APIError. If TLS cannot be set up, the
    constructor raises OSError.
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
        secrets = {}
        if token is not None:
            secrets["token"] = _secret("token", token)
        if user_key is not None:
            secrets["user_key"] = _secret("user_key", user_key)
        if not secrets:
            raise ValueError("DBotsClient needs a token or a user_key")
        options = _Options(base_url, timeout, retries, max_wait, pool)
        super().__init__(bot_id, _Session("DBots", secrets, options, message_key="message"))

    def post_stats(self, guild_count: int) -> int:
        """Post the number of guilds that the bot is in.

        guild_count: the total across all shards and processes, 0 or more.
        Returns the count that the service has stored.
        Raises Unauthorized if the token is wrong, NotFound if the bot is not on the list.
        API docs: DBots, "Post Bot Stats".
        """
        payload = {"guildCount": _count("guild_count", guild_count)}
        stats = self._session.request("POST", f"/bots/{self.bot_id}/stats", "token", payload)
        return stats.field(int, "guildCount")

    def get_log(self) -> AuditLog:
        """Get the audit log of the bot's page.

        Returns the changes, in the order in which the service sends them.
        Raises Unauthorized if the user key is wrong or has expired, BadRequest or Forbidden if
        the user does not manage the bot.
        API docs: DBots, "Get Log".
        """
        log = self._session.request("GET", f"/bots/{self.bot_id}/log", "user_key")
        entries = log.fields.get("changes")
        if not isinstance(entries, list):  # the docs show one entry, but the service sends a list
            entries = [log.field(dict, "changes")]
        changes = [_audit_change(log.part(entry)) for entry in entries]
        return AuditLog(log.field(str, "_id"), tuple(changes))

    def regenerate_key(self) -> str:
        """Replace the bot's API token. This also removes the vote webhook: set it again.

        Returns the new token, which this client uses from now on.
        Raises Unauthorized if the user key is wrong or has expired, BadRequest or Forbidden if
        the user does not manage the bot, NotFound if the bot is not on the list. In these cases,
        the token has not changed. After a TransportError with `sent` True, a ServerError or an
        InvalidResponse, the token may have changed: `get_api` returns the valid one. A request is
        therefore retried only after 429, or if it was not sent. If the documented path returns 404,
        the path in the service's published source code is tried, with the same rules.
        API docs: DBots, "Regenerate Key".
        """
        # A GET, but not idempotent: each call invalidates the previous token.
        path = f"/bots/{self.bot_id}/keys/regen"
        try:
            response = self._session.request("GET", path, "user_key", idempotent=False)
        except NotFound:
            path = f"/bots/{self.bot_id}/key/regen"
            response = self._session.request("GET", path, "user_key", idempotent=False)
        # The docs do not say whether the response is a JSON string or an object.
        token = response.json if isinstance(response.json, str) else response.field(str, "token")
        return self._use_token(token, response)

    def get_api(self) -> ApiDocument:
        """Get the bot's API token and vote webhook.

        Returns an ApiDocument. This client uses its token from now on.
        Raises Unauthorized or ServerError if the user key is wrong or has expired, BadRequest or
        Forbidden if the user does not manage the bot.
        API docs: DBots, "Get API Document".
        """
        return self._api_document("GET")

    def edit_api(self, *, vote_webhook_url: str | None) -> ApiDocument:
        """Set or remove the URL that receives votes.

        vote_webhook_url: the URL, or None to remove it. The service sends the bot's token in each
            vote's Authorization header, so use https.
        Returns the bot's API token and vote webhook. This client uses that token from now on.
        Raises Unauthorized if the user key is wrong or has expired, BadRequest or Forbidden if
        the user does not manage the bot.
        API docs: DBots, "Edit API Document".
        """
        if not (vote_webhook_url is None or isinstance(vote_webhook_url, str)):
            raise TypeError("vote_webhook_url must be a str or None")
        return self._api_document("PATCH", {"voteWebhookURL": vote_webhook_url})

    def _api_document(self, method: str, payload: dict[str, Any] | None = None) -> ApiDocument:
        document = self._session.request(method, f"/bots/{self.bot_id}/api", "user_key", payload)
        bot_id = document.field(str, "_id")
        unset = document.fields.get("voteWebhookURL") is None  # null or missing
        url = None if unset else document.field(str, "voteWebhookURL")
        token = self._use_token(document.field(str, "token"), document)
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
    and 3 `get_favourites` calls per 4 s. A call that would have to wait longer than `max_wait`
    sends nothing and raises TooManyRequests. Everything else is as in DBotsClient.
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
        session = _Session(
            "LBots",
            {"token": _secret("token", token)},
            _Options(base_url, timeout, retries, max_wait, pool),
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
        TooManyRequests if waiting for the rate limit would exceed `max_wait`.
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

        guild_counts: a sequence of one count per shard, starting at shard 0, or a mapping
            {shard_id: guild_count}.
        shard_count: the bot's total number of shards. Required with a mapping; with a sequence, it
            defaults to the length, and may be larger.
        progress: called as progress(done, total) after each shard.
        Raises Unauthorized if the token is wrong, BadRequest if the service rejects the data,
        TooManyRequests if waiting for the rate limit would exceed `max_wait` for one shard. The
        shards before the failed one have been posted.
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

        Returns the number of users.
        Raises Unauthorized if the token is wrong, NotFound if the bot is not on the list,
        TooManyRequests if waiting for the rate limit would exceed `max_wait`.
        API docs: LBots, "Bot Favourites".
        """
        path = f"/bots/{self.bot_id}/favourites"
        favourites = self._session.request("GET", path, "token", rate_limit="favourites")
        return favourites.field(int, "favourites", "favorites")

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
        favourite = self._session.request("GET", path, "token")
        favourited = favourite.field(bool, "favourited", "favorited")
        if favourite.fields.get("time", "missing") is None:  # null is documented
            return Favourite(int(user), favourited, None)
        return Favourite(int(user), favourited, favourite.date("time"))

    has_favorited = has_favourited

    def invalidate_token(self) -> None:
        """Invalidate the bot's token, for example after a leak.

        The bot's edit page shows the new token. Create a new client with it: this one no longer
        works.
        Raises Unauthorized if the token is wrong: it has not changed. After a TransportError with
        `sent` True, a ServerError or an InvalidResponse, the token may be invalid already. The
        request is therefore retried only after 429, or if it was not sent.
        API docs: LBots, "Invalidate Token".
        """
        # A GET, but not idempotent: once it has worked, the token is no longer valid.
        path = f"/bots/{self.bot_id}/invalidate"
        self._session.request("GET", path, "token", idempotent=False)


def _audit_change(entry: _Response) -> AuditChange:
    """Read an entry of DBots' audit log, in which the service omits empty values."""
    values = entry.part(entry.field(dict, "changes", default={}))
    old = values.field(dict, "old", default={})
    new = values.field(dict, "new", default={})
    return AuditChange(entry.date("at"), entry.field(str, "by"), old, new)


# Argument checks. Each raises a TypeError or ValueError that names the argument but does not show
# the value, which may be a misplaced secret.


class _BadEnvironment(ValueError):
    """An environment variable, or a standard stream, is unusable."""


def _integer(name: str, value: Any, lowest: int, bits: int) -> int:
    """Check an integer from `lowest` to 2**bits - 1, and return it as a plain int."""
    try:
        number = operator.index(value)  # accepts numpy's integers too
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, not {type(value).__name__}")
    if number < lowest:
        raise ValueError(f"{name} must be {lowest} or more")
    if number >= 2**bits:
        raise ValueError(f"{name} must be less than 2**{bits}")
    return int(number)  # an IntEnum, for example, may be formatted differently


def _count(name: str, value: Any) -> int:
    return _integer(name, value, 0, 53)  # JavaScript rounds larger integers


def _snowflake(name: str, value: Any) -> str:
    """Check a Discord ID, an int or a str of digits, and return it as a str for a path."""
    if isinstance(value, str):
        # int() would also accept spaces, signs, underscores and non-ASCII digits.
        if not re.fullmatch("[0-9]{1,20}", value):
            raise ValueError(f"{name} must be a Discord ID: up to 20 digits")
        value = int(value)
    return str(_integer(name, value, 1, 64))


class _Secret:
    """A token or key. Tools that print a traceback's variables show only its repr."""

    def __init__(self, value: str) -> None:
        self.value = value

    def __repr__(self) -> str:
        return "'***'"


def _secret(name: str, value: Any) -> _Secret:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    if not re.fullmatch("[ -~]+", value) or value.strip(" '\"") != value:
        rule = "non-empty printable ASCII without surrounding spaces or quotes"
        raise ValueError(f"{name} must be {rule}")
    return _Secret(value)


def _seconds(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number of seconds, not {type(value).__name__}")
    if not value >= 0:  # not `value < 0`, which is false for NaN
        raise ValueError(f"{name} must be 0 or more")
    return min(value, 1e6)  # 11 days: some systems reject much longer waits


def _http_url(text: str) -> Url:
    """Parse an ASCII http or https URL that has a host; raise ValueError for anything else."""
    if not re.fullmatch("https?://[!-~]+", text, re.IGNORECASE | re.ASCII):
        raise ValueError("not an ASCII http or https URL")
    url = parse_url(text)
    if not url.host:
        raise ValueError("no host")
    url.host.encode("idna")  # raises ValueError for an empty or overlong label
    return url


def _base_url(value: Any) -> Url:
    if not isinstance(value, str):
        raise TypeError(f"base_url must be a str, not {type(value).__name__}")
    url = None
    with contextlib.suppress(ValueError):
        url = _http_url(value)
    if url is None or (url.auth, url.query, url.fragment) != (None, None, None):
        raise ValueError("base_url must be http://HOST/PATH or https://HOST/PATH, in ASCII")
    return url


def _shards(guild_counts: Any, shard_count: Any) -> tuple[list[tuple[int, int]], int]:
    """Return (shard_id, guild_count) for each shard to post, and the checked shard count."""
    text = (str, bytes, bytearray, memoryview)
    if isinstance(guild_counts, Mapping):
        items = list(guild_counts.items())
        if shard_count is None:
            raise ValueError("shard_count is required with a mapping")
    elif isinstance(guild_counts, Sequence) and not isinstance(guild_counts, text):
        items = list(enumerate(guild_counts))
        shard_count = len(items) if shard_count is None else shard_count
    else:  # for example a pandas Series, which may have shard IDs as its index
        raise TypeError("guild_counts must be a sequence (such as a list) or a mapping of integers")
    shards = [(_count("shard_id", k), _count("each of guild_counts", v)) for k, v in items]
    if not shards:
        raise ValueError("guild_counts must contain at least one shard")
    shard_count = _count("shard_count", shard_count)
    if max(shard_id for shard_id, _ in shards) >= shard_count:
        raise ValueError("shard_count must be more than every shard_id in guild_counts")
    return shards, shard_count


# The session sends the requests of both clients. It knows nothing about bots or endpoints. The
# parts that it uses follow it.

_BODY_LIMIT = 4 * 2**20  # bytes; a hundred times the largest known response
_NO_RETRIES = Retry(False)  # shared: urllib3 would otherwise make one for each request


class _Options(NamedTuple):
    """The options of both clients; see DBotsClient."""

    base_url: str
    timeout: float
    retries: int
    max_wait: float
    pool: PoolManager | None


class _Request(NamedTuple):
    """What each attempt of a call sends. `label` is its name in log lines."""

    label: str
    method: str
    path: str
    credential: str
    body: bytes | None
    idempotent: bool


class _Session:
    """Sends the requests of one client.

    service: the service's name in errors and log lines.
    secrets: {name: value} of possible Authorization headers.
    message_key: the field of an error response that contains the service's message.
    success_key: the boolean field that is true in every successful response, or None.
    rate_limits: {name: (requests, seconds)}.
    """

    def __init__(
        self,
        service: str,
        secrets: Mapping[str, _Secret],
        options: _Options,
        *,
        message_key: str,
        success_key: str | None = None,
        rate_limits: Mapping[str, tuple[int, float]] | None = None,
    ) -> None:
        self.secrets = secrets
        self._service = service
        self._message_key = message_key
        self._success_key = success_key
        self._rate_limits = rate_limits or {}
        url = _base_url(options.base_url)
        self.base_url = options.base_url.rstrip("/")
        self._timeout: Any = _seconds("timeout", options.timeout)  # Any: urllib3 types it as int
        if self._timeout == 0:
            raise ValueError("timeout must be more than 0")
        self._retries = _count("retries", options.retries)
        self._max_wait = _seconds("max_wait", options.max_wait)
        self._users_pool = options.pool
        if self._users_pool is None:
            self._new_manager = _manager_factory(url)
            manager = self._new_manager()
            # A proxy that forwards http needs the full URL. Otherwise, the path is enough.
            forwards = manager.proxy is not None and url.scheme == "http"
            self._prefix = self.base_url if forwards else (url.path or "").rstrip("/")
        elif isinstance(self._users_pool, PoolManager):
            manager = self._users_pool
            self._prefix = self.base_url
        else:
            raise TypeError("pool must be a urllib3 PoolManager or ProxyManager")
        self._peer = _peer(url, manager.proxy)
        self._proxy_secrets = _proxy_secrets(manager)
        self._processes: dict[int, _Process] = {}

    def close(self) -> None:
        """Close this client's own connections. There are none if the user gave a pool."""
        self._process().close()

    def _process(self) -> _Process:
        """Return the current process's state. A forked child makes its own.

        The parent's stays in the dict: if the child dropped it, finalizers would run in the child,
        and might wait for a lock that was held at the fork.
        """
        pid = os.getpid()
        process = self._processes.get(pid)
        if process is None:
            limits = {name: _RateLimit(self._service, *v) for name, v in self._rate_limits.items()}
            # setdefault, so that threads that start together share one.
            process = self._processes.setdefault(pid, _Process(limits, self._new_pool))
        return process

    def request(
        self,
        method: str,
        path: str,
        credential: str,
        payload: Mapping[str, Any] | None = None,
        *,
        rate_limit: str | None = None,
        idempotent: bool = True,
    ) -> _Response:
        """Send a request, retry it where the policy allows, and return the successful response.

        `idempotent`: sending it twice has the same effect as sending it once. That is true of the
        POST and PATCH requests here, since they set a value.
        Raises the error of the last attempt that may have reached the service or, if none did, of
        the last attempt.
        """
        if credential not in self.secrets:
            raise ValueError(f"this method needs a {credential}, but the client has none")
        label = f"{self._service} {method} {path}"
        body = None if payload is None else json.dumps(payload).encode()
        request = _Request(label, method, path, credential, body, idempotent)
        limit = self._process().rate_limits[rate_limit] if rate_limit else None
        wait_left = self._max_wait
        failure: BotListError | None = None
        attempt = 0
        while True:
            attempt += 1
            slot = limit.slot(label, wait_left) if limit else contextlib.nullcontext(0.0)
            try:
                with slot as waited:  # this waits, or raises TooManyRequests
                    wait_left -= waited
                    return self._attempt(request)
            except BotListError as error:
                latest = error
            # An attempt that cannot have reached the service must not hide one that may have.
            if failure is None or latest.sent or not failure.sent:
                failure = latest
            delay = _retry_delay(latest, attempt, idempotent, limit.window if limit else 0.0)
            if delay is None or delay > wait_left or attempt > self._retries:
                raise failure
            _log.warning("%s: %s; retrying in %.1f s", label, _in_brief(latest), delay)
            time.sleep(delay)
            wait_left -= delay

    def _attempt(self, request: _Request) -> _Response:
        """Send a request once. Return a successful response, or raise a BotListError."""
        outcome: _Response | exceptions.HTTPError
        status: int | str = "no response"
        started = time.monotonic()
        try:
            outcome = self._exchange(request)
            status = outcome.status
        except exceptions.HTTPError as error:
            outcome = error
        finally:
            milliseconds = 1000 * (time.monotonic() - started)
            _log.debug("%s: %s in %.0f ms", request.label, status, milliseconds)
        if isinstance(outcome, exceptions.HTTPError):
            # Not raised in `except`, where PyPy would restore the traceback of the cause.
            raise self._transport_error(outcome)
        self._raise_for_failure(outcome)
        return outcome

    def _transport_error(self, error: exceptions.HTTPError) -> TransportError:
        """Translate an exception of urllib3."""
        kind, sent, cause = _translate(error)
        failure = kind(self._service, f"{self._peer}: {self._mask(_why(cause))}", sent)
        failure.__cause__ = cause
        for exception in (error, cause):
            _detach(exception)
        return failure

    def _exchange(self, request: _Request) -> _Response:
        """Send a request and read the response. Raises the exceptions of urllib3."""
        headers = {"User-Agent": f"botlists/{__version__}"}
        if request.body is not None:
            headers["Content-Type"] = "application/json"
        with self._pool_for(request) as pool:
            raw = pool.urlopen(
                request.method,
                self._prefix + request.path,
                body=request.body,
                # Kept out of local variables, which some tools print with a traceback.
                headers={**headers, "Authorization": self.secrets[request.credential].value},
                retries=_NO_RETRIES,
                redirect=False,
                assert_same_host=False,  # the pool of a proxy that forwards has the proxy's host
                timeout=self._timeout,
                pool_timeout=self._timeout,
                preload_content=False,
                decode_content=False,
                enforce_content_length=True,  # the default only in urllib3 2
            )
            body = _read(raw)
        return _Response(self._service, raw.status, raw.reason, raw.headers, body, _parse(body))

    def _pool_for(self, request: _Request) -> ContextManager[PoolManager | HTTPConnectionPool]:
        """Return a context manager that yields the pool, or pool manager, for a request."""
        if self._users_pool is not None:
            return contextlib.nullcontext(self._users_pool)
        if request.idempotent:
            return self._process().shared_pool()
        # If the service closes an old connection just as a request is sent, it is unclear whether
        # the request arrived.
        return contextlib.closing(self._new_pool())

    def _new_pool(self) -> HTTPConnectionPool:
        return self._new_manager().connection_from_url(self.base_url)

    def _raise_for_failure(self, response: _Response) -> None:
        """Raise the error for a response that is not a success."""
        if response.status < 200:
            raise response.invalid("an unexpected interim response")
        if len(response.body) > _BODY_LIMIT:
            raise response.invalid(f"the body is larger than {_BODY_LIMIT // 2**20} MiB")
        refusal = _refusal(response, self._success_key)
        if refusal is not None:
            kind, status = refusal
            message = self._mask(_refusal_message(response, self._message_key))
            retry_after = _retry_after(response.headers.get("Retry-After", ""))
            raise kind(self._service, status, message, response.body, retry_after)
        if response.status >= 300:
            location = self._mask(response.headers.get("Location", "")) or "an unknown location"
            raise response.invalid(f"a redirect to {location}, which is not followed")
        if response.json is None:
            what = "an HTML page" if response.is_html else "null or not JSON"
            raise response.invalid(f"the response is {what}")
        if self._success_key is not None:
            response.field(bool, self._success_key)

    def _mask(self, text: str) -> str:
        """Hide the secrets in text from outside, before an error or a log line shows it."""
        secrets = [*self._proxy_secrets, *(secret.value for secret in self.secrets.values())]
        for secret in sorted(secrets, key=len, reverse=True):  # one may contain another
            text = text.replace(secret, "***")
        return text


# Retries: after which errors, and after how long

_TEMPORARY = {408, 502, 503, 504, *range(520, 525), 530}  # 520 and above: from a CDN


def _retry_delay(
    error: BotListError, attempt: int, idempotent: bool, window: float
) -> float | None:
    """Return the seconds until the next attempt, or None for no retry.

    window: the seconds of the request's rate limit, or 0.
    """
    if not _may_retry(error, idempotent):
        return None
    if isinstance(error, APIError) and error.retry_after:
        return error.retry_after
    if isinstance(error, TooManyRequests) and window:
        return window
    return 2.0 ** min(attempt - 1, 5) * random.uniform(0.5, 1.0)


def _may_retry(error: BotListError, idempotent: bool) -> bool:
    """Whether a retry is safe and may help.

    Any request may be retried after 429, and if it was not sent, unless the reason is a rejected
    certificate. An idempotent request may also be retried after a lost response or a temporary
    status.
    """
    if isinstance(error, TransportError):
        permanent = _is_rejected_certificate(error.__cause__)
        return not permanent and (idempotent or not error.sent)
    if isinstance(error, TooManyRequests):
        return error.sent  # False for the client's own rate limit
    if isinstance(error, DeprecatedEndpoint):
        return False
    return isinstance(error, APIError) and idempotent and error.status in _TEMPORARY


def _in_brief(error: BotListError) -> str:
    """Return an error's text without the service's name and message, for a log line."""
    return str(error.status) if isinstance(error, APIError) else str(error).partition(": ")[2]


def _retry_after(value: str) -> float | None:
    """Return the seconds that a Retry-After header (a number or a date) asks for, or None."""
    if re.fullmatch(r"\s*[0-9]{1,9}(\.[0-9]+)?\s*", value):
        return float(value)
    with contextlib.suppress(ValueError):
        seconds = _parse_date(value.strip()).timestamp() - time.time()
        return seconds if seconds > 0 else None  # a date in the past says nothing
    return None


# Rate limits


class _RateLimit:
    """Allows at most `requests` in any `window` seconds, as the service counts them.

    The service may count a request at any time between when it is sent and when the response
    arrives. So each request holds one of `requests` slots, and the slot is free again `window`
    seconds after the response.
    """

    def __init__(self, service: str, requests: int, window: float) -> None:
        self.service = service
        self.requests = requests
        self.window = window
        self._free_at = [0.0] * requests  # a time for each slot that no request holds
        self._returned = threading.Condition()

    @contextlib.contextmanager
    def slot(self, label: str, max_wait: float) -> Iterator[float]:
        """Wait for a slot and hold it. Yields the seconds waited.

        Raises TooManyRequests, and takes no slot, as soon as it is certain that none will be free
        within `max_wait` seconds.
        """
        started = time.monotonic()
        free_at = self._take(started, max_wait)
        try:
            wait = max(free_at - started, 0.0)
            if wait >= 1:
                _log.info("%s: waiting %.1f s for the rate limit", label, wait)
            if wait > 0:
                time.sleep(max(free_at - time.monotonic(), 0.0))
            yield wait
        finally:
            with self._returned:
                self._free_at.append(time.monotonic() + self.window)
                self._returned.notify_all()

    def _take(self, started: float, max_wait: float) -> float:
        """Take the slot that becomes free first, and return the time from which it is free."""
        with self._returned:
            # A slot that is held now will be free no earlier than one window from now, so it is
            # pointless to wait longer than this for its return.
            timeout = max(max_wait - self.window, 0.0)
            if not self._returned.wait_for(lambda: self._free_at, timeout):
                raise self._refusal(self.window)
            free_at = min(self._free_at)
            if free_at - started > max_wait:
                raise self._refusal(free_at - time.monotonic())
            self._free_at.remove(free_at)
            return free_at

    def _refusal(self, wait: float) -> TooManyRequests:
        limit = f"{self.requests} requests in {self.window:g} s"
        message = f"the rate limit is {limit}; wait {wait:.1f} s"
        return TooManyRequests(self.service, 429, message, b"", wait, sent=False)


# Connections and proxies

_MAX_IDLE = 60.0  # seconds without a request; after that, a NAT may have dropped the connections
_PORTS = {"http": 80, "https": 443}


class _Process:
    """What all threads of one process share: a client's rate limits and its own connections."""

    def __init__(
        self, rate_limits: Mapping[str, _RateLimit], new_pool: Callable[[], HTTPConnectionPool]
    ) -> None:
        self.rate_limits = rate_limits
        self._new_pool = new_pool
        self._pool: HTTPConnectionPool | None = None
        self._users = 0  # calls that are using the pool now
        self._last_used = (time.monotonic(), time.time())
        self._lock = threading.RLock()  # a signal handler may make a call, too

    @contextlib.contextmanager
    def shared_pool(self) -> Iterator[HTTPConnectionPool]:
        """Yield the shared pool, which is a new one if the old one has been idle for too long."""
        with self._lock:
            if self._is_idle():
                if self._users == 0:  # otherwise, closing it would make other calls fail
                    self.close()
                self._pool = None
            if self._pool is None:
                self._pool = self._new_pool()
            pool = self._pool
            self._users += 1
            self._last_used = (time.monotonic(), time.time())
        try:
            yield pool
        finally:
            with self._lock:
                self._users -= 1
                self._last_used = (time.monotonic(), time.time())

    def _is_idle(self) -> bool:
        # The monotonic clock stands still while the host is suspended; the wall clock can be set.
        monotonic, wall = self._last_used
        elapsed = time.time() - wall
        return time.monotonic() - monotonic > _MAX_IDLE or not 0 <= elapsed <= _MAX_IDLE

    def close(self) -> None:
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()


def _manager_factory(url: Url) -> Callable[[], PoolManager]:
    """Return a function that makes managers, which verify TLS and use the environment's proxy."""
    options: dict[str, Any] = {"maxsize": 32}  # idle connections to keep, one per thread
    if url.scheme == "https":
        # As in urllib3, but only once: urllib3 would load the system's certificates for each
        # connection. (With ssl.create_default_context(), urllib3 1.26 rejects IP addresses.)
        options["ssl_context"] = create_urllib3_context()
        options["ssl_context"].load_default_certs()
    proxy = _environment_proxy(url)
    if proxy is None:
        return lambda: PoolManager(**options)
    if proxy.auth is not None:
        auth = proxy.auth if ":" in proxy.auth else f"{proxy.auth}:"
        # urllib3 encodes this as Latin-1, so unquoting it as Latin-1 keeps each byte.
        options["proxy_headers"] = make_headers(proxy_basic_auth=unquote(auth, "latin-1"))
    if proxy.scheme == "https":
        # Without this, urllib3 1.26 does not check the hostname in the proxy's certificate.
        options["proxy_ssl_context"] = ssl.create_default_context()
    address = proxy._replace(auth=None).url
    return lambda: ProxyManager(address, **options)


def _environment_proxy(url: Url) -> Url | None:
    """Return the proxy for `url` that the environment names, as curl and requests read it."""
    names = [name for name in os.environ if name.lower() in (f"{url.scheme}_proxy", "all_proxy")]
    if not names:  # then do not import urllib.request, which is slow
        return None
    try:
        return _read_proxy(url)
    except ValueError:  # in this frame, which a traceback shows, no variable has a password
        rule = "must be an http or https URL, percent-encoded"
        raise _BadEnvironment(f"{' or '.join(names)} {rule}") from None


def _read_proxy(url: Url) -> Url | None:
    # getproxies() would also read the settings of Windows and macOS.
    from urllib.request import getproxies_environment, proxy_bypass

    scheme = str(url.scheme)
    proxies = getproxies_environment()
    value = proxies.get(scheme) or proxies.get("all")
    if not value or proxy_bypass(f"{url.host}:{url.port or _PORTS[scheme]}"):
        return None
    value = value if "://" in value else f"http://{value}"
    # Unescaped in the credentials, one of these characters would change the host.
    if not re.fullmatch(r"[^:]+://[^\\/?#]+/?", value):
        raise ValueError("a path, or an unescaped character")
    return _http_url(value)


def _proxy_secrets(manager: PoolManager) -> list[str]:
    """Return the Base64 credentials that a manager sends to its proxy, and the password."""
    secrets = []
    for name, value in getattr(manager, "proxy_headers", {}).items():
        if name.lower() == "proxy-authorization":
            encoded = value.partition(" ")[2]
            secrets.append(encoded)
            with contextlib.suppress(ValueError):  # not Basic
                secrets.append(base64.b64decode(encoded).decode().partition(":")[2])
    return [secret for secret in secrets if secret]


def _peer(url: Url, proxy: Url | None) -> str:
    """Name the host, its port if it is not the default one, and the proxy."""
    default = url.port in (None, _PORTS[str(url.scheme)])
    host = str(url.host) if default else f"{url.host}:{url.port}"
    return host if proxy is None else f"{host} via proxy {proxy.scheme}://{proxy.netloc}"


# Failures


def _translate(error: BaseException) -> tuple[type[TransportError], bool, BaseException]:
    """Return what an exception of urllib3 means: the class to raise, `sent`, and the cause."""
    if isinstance(error, exceptions.ProxyError):
        return _translate(error.original_error)
    if isinstance(error, exceptions.NewConnectionError):
        # urllib3 raises it while handling the OSError that explains why.
        return TransportError, False, error.__context__ or error
    if isinstance(error, exceptions.ConnectTimeoutError):
        return TransportTimeout, False, error
    if isinstance(error, (exceptions.TimeoutError, socket.timeout)):
        return TransportTimeout, True, error
    if isinstance(error, (exceptions.EmptyPoolError, exceptions.ClosedPoolError)):
        return TransportError, False, error  # only a user's own pool can block or be closed
    wrapped = error.args[-1] if error.args else None  # as in SSLError and ProtocolError
    cause = wrapped if isinstance(wrapped, BaseException) else error
    return TransportError, not _is_rejected_certificate(cause), cause


def _is_rejected_certificate(cause: BaseException | None) -> bool:
    # Python and urllib3 each have their own class for this. Both are ValueErrors.
    return isinstance(cause, ValueError)


def _why(cause: BaseException) -> str:
    if isinstance(cause, (exceptions.TimeoutError, socket.timeout)):
        return "timed out"
    if isinstance(cause, (OSError, exceptions.HTTPError)):
        return str(cause)
    return f"{type(cause).__name__}: {cause}"  # from http.client; unclear without the name


def _detach(error: BaseException) -> None:
    """Remove the traceback and what stands behind: tools would print the headers in the frames."""
    error.__traceback__ = error.__cause__ = error.__context__ = None
    for arg in error.args:
        if isinstance(arg, BaseException):
            _detach(arg)


# Responses


def _read(response: BaseHTTPResponse) -> bytes:
    """Read the body, but stop soon after _BODY_LIMIT bytes."""
    if response.status < 200:
        # The final response will follow, and must not be taken for the next request's.
        response.close()
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


def _parse(body: bytes) -> Any:
    """Return the JSON of a body. None means null or invalid JSON: neither is a valid response."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


class _Response(NamedTuple):
    """A response, or a part of its JSON. Checks the fields that it returns."""

    service: str
    status: int
    reason: str | None
    headers: Mapping[str, str]
    body: bytes
    json: Any

    def part(self, value: Any) -> _Response:
        """Return this response with a part of its JSON in place of the whole."""
        return self._replace(json=value)

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


def _refusal(response: _Response, success_key: str | None) -> tuple[type[APIError], int] | None:
    """Return the error class and the status of a refusal, or None if it is not a refusal."""
    fields, status = response.fields, response.status
    refused = success_key is not None and fields.get(success_key) is False
    code = fields.get("status_code")
    if refused and type(code) is int and code >= 400:
        status = code
    if fields.get("error") == "DEPRECATED":
        return DeprecatedEndpoint, status
    if refused or status >= 400:
        return _ERROR_CLASSES.get(status, APIError), status
    return None


def _refusal_message(response: _Response, key: str) -> str:
    """Return why the service refused: its message, a short text body, or the reason phrase."""
    message = response.fields.get(key)
    if isinstance(message, str) and message.strip():
        return message.strip()
    reason = response.reason or "no reason given"
    if response.is_html:
        return f"{reason} (the response is an HTML page)"
    text = " ".join(response.body[:1000].decode(errors="replace").split())
    starts_as_json = text.startswith(("{", "[", '"', "null"))  # and may be broken
    is_json = response.json is not None or starts_as_json
    if is_json or "<" in text or not text.isprintable() or not 0 < len(text) <= 200:
        return reason
    return text


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


# The command line. Each command calls the method of the same name.

_COMMANDS = """
commands, and the environment variable that holds the token or key of each:
  dbots post-stats BOT N                                  DBOTS_TOKEN
  dbots get-log BOT                                       DBOTS_USER_KEY
  dbots regenerate-key BOT                                DBOTS_USER_KEY
  dbots get-api BOT                                       DBOTS_USER_KEY
  dbots edit-api BOT (--vote-webhook-url URL | --clear)   DBOTS_USER_KEY
  lbots post-stats BOT N [--shard-id I] [--shard-count C] LBOTS_TOKEN
  lbots post-shard-stats BOT N [N ...]                    LBOTS_TOKEN
  lbots get-favourites BOT                                LBOTS_TOKEN
  lbots has-favourited BOT USER                           LBOTS_TOKEN
  lbots invalidate-token BOT                              LBOTS_TOKEN

Options go before the service or after the command. A command prints one JSON
object to stdout or, if it fails, one line to stderr. The exit status is 0 on
success, 1 on failure, 2 for invalid usage or an unusable variable, and 130 on
Ctrl-C.

example:
  LBOTS_TOKEN=... botlists lbots post-stats 264811613708746752 893
"""


class _Command(NamedTuple):
    """A method to call. `key` is the result's name in the JSON.

    If it is "", the JSON has the fields of the result or, of a post, the arguments.
    """

    client: Any
    method: str
    variable: str
    key: str
    parser: argparse.ArgumentParser


def _parser() -> argparse.ArgumentParser:
    import argparse  # only the command line needs it

    options = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    options.add_argument("--base-url", metavar="URL", help="address of the API")
    options.add_argument(
        "--timeout", metavar="S", type=float, help="timeout in seconds (default: 10)"
    )
    options.add_argument("--retries", metavar="N", type=int, help="number of retries (default: 2)")
    about = "seconds to wait for rate limits and retries (default: 30)"
    options.add_argument("--max-wait", metavar="S", type=float, help=about)
    options.add_argument("--verbose", action="store_true", help="show each attempt on stderr")
    parser = argparse.ArgumentParser(
        prog="botlists",
        description="Call the APIs of two Discord bot lists: DBots (dbots.co), LBots (lbots.org).",
        epilog=_COMMANDS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[options],
    )
    parser.add_argument("--version", action="version", version=f"botlists {__version__}")
    services = parser.add_subparsers(metavar="SERVICE", required=True)

    about = "Post the guild count, read the audit log, manage the API token and vote webhook."
    dbots = services.add_parser("dbots", help=about, description=about)
    commands = dbots.add_subparsers(metavar="COMMAND", required=True)
    add = functools.partial(_add_command, commands, options, DBotsClient)
    command = add("post-stats", "DBOTS_TOKEN", "guild_count")
    command.add_argument("guild_count", metavar="N", type=int, help="the number of guilds")
    add("get-log", "DBOTS_USER_KEY")
    add("regenerate-key", "DBOTS_USER_KEY", "token")
    add("get-api", "DBOTS_USER_KEY")
    url = add("edit-api", "DBOTS_USER_KEY").add_mutually_exclusive_group(required=True)
    url.add_argument("--vote-webhook-url", metavar="URL", help="the URL that receives votes")
    about = "remove the URL, so that votes are no longer sent"
    url.add_argument(
        "--clear", dest="vote_webhook_url", action="store_const", const=None, help=about
    )

    about = "Post guild counts, read favourites, invalidate the token."
    lbots = services.add_parser("lbots", help=about, description=about)
    commands = lbots.add_subparsers(metavar="COMMAND", required=True)
    add = functools.partial(_add_command, commands, options, LBotsClient)
    command = add("post-stats", "LBOTS_TOKEN")
    command.add_argument("guild_count", metavar="N", type=int, help="the number of guilds")
    command.add_argument("--shard-id", metavar="I", type=int, help="the shard, from 0")
    command.add_argument("--shard-count", metavar="C", type=int, help="the total number of shards")
    command = add("post-shard-stats", "LBOTS_TOKEN")
    about = "the guild counts, one for each shard, from shard 0"
    command.add_argument("guild_counts", metavar="N", type=int, nargs="+", help=about)
    add("get-favourites", "LBOTS_TOKEN", "favourites")
    command = add("has-favourited", "LBOTS_TOKEN")
    command.add_argument("user_id", metavar="USER", help="the user's ID")
    add("invalidate-token", "LBOTS_TOKEN", "invalidated")
    return parser


def _add_command(
    commands: Any, options: Any, client: Any, name: str, variable: str, key: str = ""
) -> argparse.ArgumentParser:
    """Add a command with the options and the argument BOT, and return its parser."""
    method, american = name.replace("-", "_"), name.replace("favour", "favor")
    summary = (getattr(client, method).__doc__ or "").partition("\n")[0]  # None with python -OO
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        aliases=[] if american == name else [american],
        help=f"{summary} ({variable})",
        description=f"{summary} The environment variable {variable} is required.",
        parents=[options],
        argument_default=options.argument_default,  # keeps options given before the service
    )
    parser.add_argument("bot_id", metavar="BOT", help="the bot's ID")
    parser.set_defaults(command=_Command(client, method, variable, key, parser))
    return parser


def _run(command: _Command, arguments: dict[str, Any]) -> None:
    """Make the call and print its result."""
    if command.method == "regenerate_key" and sys.stdout is None:
        raise _BadEnvironment("nothing was sent: stdout is closed, so the new token would be lost")
    names = ("bot_id", "base_url", "timeout", "retries", "max_wait")
    options = {name: arguments.pop(name) for name in names if name in arguments}
    options[command.variable.partition("_")[2].lower()] = _secret_variable(command.variable)
    extra = {}
    show_progress = command.method == "post_shard_stats" and hasattr(sys.stderr, "isatty")
    if show_progress and sys.stderr.isatty():
        extra["progress"] = _show_progress
    with command.client(**options) as client:
        result = getattr(client, command.method)(**arguments, **extra)
    if command.key:
        result = {command.key: True if result is None else result}
    elif result is None:
        result = arguments  # a post returns nothing: show what was posted
    try:  # without stdout, print() does nothing
        print(json.dumps(_jsonable(result), default=datetime.isoformat), flush=True)
    except OSError as error:
        with contextlib.suppress(OSError):
            sys.stdout.close()  # otherwise, Python flushes it again at exit
        raise OSError(f"the call was done, but its result was not written: {error}") from error


def _secret_variable(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise _BadEnvironment(f"environment variable {name} is not set")
    try:
        return _secret(name, value).value
    except ValueError as error:
        raise _BadEnvironment(f"environment variable {error}") from None


def _show_progress(done: int, total: int) -> None:
    end = "\n" if done == total else "\r"  # after "\r", the next output overwrites this line
    print(f"{done} of {total} shards", end=end, file=sys.stderr, flush=True)


def _jsonable(value: Any) -> Any:
    """Turn named tuples into dicts, with IDs as strings: jq would round such large numbers."""
    if hasattr(value, "_asdict"):
        fields = value._asdict().items()
        return {name: str(v) if name.endswith("_id") else _jsonable(v) for name, v in fields}
    return [_jsonable(item) for item in value] if isinstance(value, tuple) else value


def _is_open(stream: Any) -> bool:
    """Whether a standard stream can be used. Under pythonw, or after `>&-`, it cannot."""
    return stream is not None and not getattr(stream, "closed", False)


@contextlib.contextmanager
def _log_lines(verbose: bool) -> Iterator[None]:
    # Without any handler, Python would print warnings to stderr.
    handler = logging.StreamHandler() if verbose else logging.NullHandler()
    level = _log.level
    _log.addHandler(handler)
    _log.setLevel(logging.DEBUG if verbose else level)
    try:
        yield
    finally:
        _log.removeHandler(handler)
        _log.setLevel(level)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line with `argv`, by default sys.argv[1:]. Returns the exit status.

    Raises SystemExit for wrong usage, --help and --version, as argparse does.
    """
    # A closed stdout becomes None. A closed stderr must not, or print() would write to stdout.
    stdout = sys.stdout if _is_open(sys.stdout) else None
    stderr = sys.stderr if _is_open(sys.stderr) else io.StringIO()
    with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        arguments = vars(_parser().parse_args(argv))
        command = arguments.pop("command")
        try:
            with _log_lines(arguments.pop("verbose", False)):
                _run(command, arguments)
        except KeyboardInterrupt:
            return 130  # as shells do
        except (BotListError, OSError, _BadEnvironment) as error:
            print(f"botlists: {error}", file=sys.stderr)
            return 2 if isinstance(error, _BadEnvironment) else 1
        except ValueError as error:
            command.parser.error(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
