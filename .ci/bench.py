"""What botlists costs, as ratios measured in one run against a loopback server.

    python .ci/bench.py        on Unix; compares with requests too, if it is installed

First what users pay: a post on a new TLS connection, and a whole script. Then the hot loop, and
what a client costs at rest. Exit status 1 if a target is missed. It takes a minute.
"""

from __future__ import annotations

import gc
import importlib
import json
import multiprocessing
import os
import platform
import py_compile
import random
import re
import resource
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import inf
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any, Callable, Dict, List

import urllib3

try:
    requests: Any = importlib.import_module("requests")
except ImportError:
    requests = None

Posts = Dict[str, Callable[[], object]]
Spent = Dict[str, List[float]]

ROOT = Path(__file__).resolve().parent.parent
URLLIB3 = str(vars(urllib3)["__version__"])
# Some targets are for urllib3 2: version 1.26 imports less, and connects again without reading
# the certificates again.
PROMISED = not URLLIB3.startswith("1.")
STATS = {"guildCount": 893}

missed: list[str] = []

# Scripts: three that post once and print the response's count, then two that measure themselves.

POST_BOTLISTS = """
import botlists, sys
print(botlists.DBotsClient(1, "token", base_url=sys.argv[1]).post_stats(893))
"""
POST_URLLIB3 = """
import json, sys, urllib3
url = sys.argv[1] + "/bots/1/stats"
headers = {"Authorization": "token", "Content-Type": "application/json"}
body = json.dumps({"guildCount": 893})
response = urllib3.PoolManager().request("POST", url, body=body, headers=headers)
print(json.loads(response.data)["guildCount"])
"""
POST_REQUESTS = """
import requests, sys
url = sys.argv[1] + "/bots/1/stats"
response = requests.post(url, json={"guildCount": 893}, headers={"Authorization": "token"})
print(response.json()["guildCount"])
"""
IMPORT = """
import time
start = time.process_time()
import urllib3
middle = time.process_time()
import botlists
print((time.process_time() - middle) / (middle - start))
"""
MEMORY = """
import resource, sys, urllib3
def pages():  # not getrusage: there a child starts with its parent's
    return int(open("/proc/self/statm").read().split()[1])
before = pages()
import botlists
botlists.DBotsClient(1, "token", base_url=sys.argv[1]).post_stats(893)
print((pages() - before) * resource.getpagesize() / 2**20)
"""


class Service(BaseHTTPRequestHandler):
    """Echoes what is posted, as DBots does."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # a response is one packet: no client has to wait for the rest of it

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        if isinstance(self.connection, ssl.SSLSocket):
            # So the next post needs a new one, as does one that comes half an hour later.
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def serve(certificate: str, urls: Connection) -> None:
    http, https = (ThreadingHTTPServer(("127.0.0.1", 0), Service) for _ in range(2))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    https.socket = context.wrap_socket(https.socket, server_side=True)
    threading.Thread(target=https.serve_forever, daemon=True).start()
    urls.send([f"http://127.0.0.1:{http.server_port}", f"https://127.0.0.1:{https.server_port}"])
    http.serve_forever()


def kept_clients(url: str) -> Posts:
    """The same post by clients that are made once."""
    from botlists import DBotsClient, __version__

    path = "/bots/1/stats"
    headers = {"Authorization": "token", "Content-Type": "application/json"}
    headers["User-Agent"] = f"botlists/{__version__}"
    request = partial(urllib3.PoolManager().request, "POST", url + path, headers=headers)
    urlopen = partial(urllib3.connection_from_url(url).urlopen, "POST", path, headers=headers)
    posts: Posts = {
        "botlists": partial(DBotsClient(1, "token", base_url=url).post_stats, 893),
        "PoolManager": lambda: json.loads(request(body=json.dumps(STATS)).data),
        "urlopen": lambda: json.loads(urlopen(body=json.dumps(STATS)).data),
    }
    if requests:
        post = partial(requests.Session().post, url + path, headers=headers)
        posts["requests"] = lambda: post(data=json.dumps(STATS)).json()
    return posts


def output(*arguments: str) -> str:
    """What a Python process of its own prints."""
    return subprocess.check_output([sys.executable, *arguments], universal_newlines=True)


def alternate(posts: Posts, clock: Callable[[], float], rounds: int) -> Spent:
    """CPU seconds of each post; they take turns, so that noise meets all of them."""
    assert all("893" in str(post()) for post in posts.values())
    spent: Spent = {name: [] for name in posts}
    for _ in range(rounds):
        # In any order, since a post pays for what the one before has left in the caches.
        for name in random.sample(list(posts), len(posts)):
            start = clock()
            posts[name]()
            spent[name].append(clock() - start)
    return spent


def report(what: str, measured: float, most: float) -> None:
    target = "not promised" if most == inf else f"at most {most:.2f}"
    if measured > most:
        target = f"MISSED: {most:.2f}"
        missed.append(what)
    print(f"{what:53}{measured:6.2f}  ({target})", flush=True)


def relate(what: str, spent: Spent, own: str = "botlists", **most: float) -> None:
    for other in [name for name in most if name in spent]:
        ratio = median(map(float.__truediv__, spent[own], spent[other]))
        report(f"{what}, {other} = 1", ratio, most[other])


def over_tls(what: str, url: str, store: bytes, most: float) -> None:
    Path("store.pem").write_bytes(store)
    # requests reads the second, everything else the first.
    os.environ["SSL_CERT_FILE"] = os.environ["REQUESTS_CA_BUNDLE"] = "store.pem"
    posts = kept_clients(url)
    del posts["urlopen"]  # it saves nothing compared with a handshake
    spent = alternate(posts, time.process_time, 60)
    relate(what, spent, PoolManager=most if PROMISED else inf, requests=most)


def once(url: str) -> None:
    command = ["-m", "botlists", "--base-url", url, "dbots", "post-stats", "1", "893"]
    scripts: Posts = {
        "botlists": partial(output, "-c", POST_BOTLISTS, url),
        "command": partial(output, *command),
        "urllib3": partial(output, "-c", POST_URLLIB3, url),
    }
    if requests:
        scripts["requests"] = partial(output, "-c", POST_REQUESTS, url)
    # Of all children so far: the user's and the system's time.
    spent = alternate(scripts, lambda: sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2]), 40)
    relate("script that posts once", spent, urllib3=1.15, requests=0.90)
    relate("command that posts once", spent, "command", urllib3=1.30, requests=1.0)


def objects() -> int:
    gc.collect()
    gc.collect()  # some Pythons stop tracking more objects in the second run
    return len(gc.get_objects())


def hot_loop(url: str) -> None:
    spent = alternate(kept_clients(url), time.process_time, 1500)
    relate("post on a kept connection", spent, PoolManager=0.95, requests=0.42, urlopen=inf)


def at_rest(url: str) -> None:
    ratio = median(float(output("-c", IMPORT)) for _ in range(21))
    report("import botlists after urllib3, import urllib3 = 1", ratio, 0.05 if PROMISED else inf)
    if sys.platform == "linux":
        mib = median(float(output("-c", MEMORY, url)) for _ in range(11))
        report("MiB of a ready http client, over import urllib3", mib, 1.0 if PROMISED else inf)
    post = kept_clients(url)["botlists"]
    post()
    before = objects()
    for _ in range(10_000):
        post()
    report("objects left behind by 10,000 calls", objects() - before, 0)


def main() -> None:
    import botlists

    paths = ssl.get_default_verify_paths()
    bundle = Path(paths.cafile or f"{paths.capath}/ca-certificates.crt")  # the latter as in Debian
    store = bundle.read_bytes() if bundle.is_file() else b""
    authorities = store.count(b"BEGIN CERTIFICATE")
    beside = f"requests {requests.__version__}" if requests else "requests (not installed)"
    print(f"botlists {botlists.__version__}, Python {platform.python_version()}, urllib3 {URLLIB3}")
    print(f"{beside}, {ssl.OPENSSL_VERSION}, {authorities} authorities in the store")

    for variable in list(os.environ):
        if variable.lower().endswith("_proxy"):
            del os.environ[variable]
    os.environ["DBOTS_TOKEN"] = "token"
    if sys.platform == "linux":
        # One core for clients and server: waking another costs a post CPU that depends on the
        # machine, and on what else it does.
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    tests = (ROOT / "test_botlists.py").read_text(encoding="utf-8")
    pem = dict(re.findall(r'^([A-Z]+) = """\n(-----BEGIN.+?)"""', tests, re.M | re.S))
    Path("server.pem").write_text(pem["CERTIFICATE"] + pem["KEY"])
    receiver, sender = multiprocessing.Pipe(duplex=False)
    multiprocessing.Process(target=serve, args=("server.pem", sender), daemon=True).start()
    sender.close()  # so that a server that ends too early is an EOFError here
    http, https = receiver.recv()

    authority = pem["CERTIFICATE"].encode()  # its own
    if authorities >= 100:
        over_tls("post over TLS, all authorities", https, store + b"\n" + authority, 0.15)
    else:
        print("post over TLS, all authorities: skipped, the store has too few")
    over_tls("post over TLS, one authority", https, authority, 0.80)
    once(http)
    hot_loop(http)
    at_rest(http)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # where this process and the scripts import botlists, as if installed
        sys.path.insert(0, folder)
        py_compile.compile(shutil.copy(str(ROOT / "botlists.py"), folder), doraise=True)
        main()
    sys.exit(1 if missed else 0)
