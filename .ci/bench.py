"""What botlists costs, as ratios measured in one run against a loopback server.

    python .ci/bench.py        needs urllib3; and requests for the comparison with it

Exit status 1 if a target is missed.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable

ROOT = str(Path(__file__).resolve().parent.parent)
sys.path.insert(0, ROOT)

SERVER = r"""
import socket, threading

BODY = b'{"guildCount": 893}'
ANSWER = b"\r\n".join([
    b"HTTP/1.1 200 OK", b"Server: nginx", b"Date: Fri, 07 Aug 2020 12:56:27 GMT",
    b"Content-Type: application/json; charset=utf-8", b"Content-Length: %d" % len(BODY),
    b"Connection: keep-alive", b"Vary: Accept-Encoding", b"", BODY,
])

def serve(connection):
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stream = connection.makefile("rb")
    while stream.readline():
        length = 0
        for line in iter(stream.readline, b"\r\n"):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        stream.read(length)
        connection.sendall(ANSWER)

listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen(16)
print(listener.getsockname()[1], flush=True)
while True:
    connection, _ = listener.accept()
    threading.Thread(target=serve, args=(connection,), daemon=True).start()
"""

IMPORT = """
import time
start = time.perf_counter()
import urllib3
middle = time.perf_counter()
import botlists
print((time.perf_counter() - middle) / (middle - start))
"""

MEMORY = """
import sys, urllib3
def resident():  # not getrusage: there a child starts with its parent's
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) / 256  # pages of 4 KiB
before = resident()
import botlists
botlists.DBotsClient(1, "token", base_url=sys.argv[1]).post_stats(893)
print(resident() - before)
"""


def cpu(calls: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """CPU seconds of each, the median of rounds in which each has its turn."""
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(101):
        for name, call in calls.items():
            start = time.process_time()
            for _ in range(30):
                call()
            spent[name].append(time.process_time() - start)
    return {name: statistics.median(times) for name, times in spent.items()}


def child(script: str, *args: str) -> float:
    """The number that a script prints: the median of runs in processes of their own."""
    env = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(os.path.join(ROOT, "botlists.py"), folder)  # to be compiled, as if installed
        command = [sys.executable, "-c", script, *args]
        numbers = [float(subprocess.check_output(command, env=env, cwd=folder)) for _ in range(22)]
    return statistics.median(numbers[1:])  # the first run compiles


def report(what: str, measured: float, most: float, unit: str = "") -> bool:
    print(f"{what:56} {measured:6.2f}{unit:4} (at most {most}{unit})")
    return measured <= most


def main(base_url: str) -> int:
    import urllib3

    import botlists

    url = f"{base_url}/bots/1/stats"
    headers = {
        "Authorization": "token",
        "Content-Type": "application/json",
        "User-Agent": f"botlists/{botlists.__version__}",
    }
    dbots = botlists.DBotsClient(1, "token", base_url=base_url)
    pool = urllib3.PoolManager()

    def with_urllib3() -> Any:
        body = json.dumps({"guildCount": 893})
        answer = pool.request("POST", url, body=body, headers=headers)
        return json.loads(answer.data)["guildCount"]

    calls: dict[str, Callable[[], Any]] = {
        "botlists": lambda: dbots.post_stats(893),
        "urllib3": with_urllib3,
    }
    versions = f"Python {platform.python_version()}, urllib3 {vars(urllib3)['__version__']}"
    try:
        requests = importlib.import_module("requests")
    except ImportError:
        print("requests is not installed: no comparison with it")
    else:
        session = requests.Session()
        versions += f", requests {requests.__version__}"
        calls["requests"] = lambda: session.post(
            url, data=json.dumps({"guildCount": 893}), headers=headers
        ).json()["guildCount"]
    assert {call() for call in calls.values()} == {893}

    print(f"botlists {botlists.__version__}, {versions}")
    spent = cpu(calls)
    ratio = spent["botlists"] / spent["urllib3"]
    good = [report("CPU of a post, urllib3's PoolManager.request = 1", ratio, 0.95)]
    if "requests" in spent:
        ratio = spent["botlists"] / spent["requests"]
        good.append(report("CPU of a post, requests' Session.post = 1", ratio, 0.40))
    good.append(report("import botlists, import urllib3 before it = 1", child(IMPORT), 0.05))
    if sys.platform == "linux":
        memory = child(MEMORY, base_url)
        good.append(report("memory of a ready client, over import urllib3", memory, 1, " MiB"))

    gc.collect()
    before = len(gc.get_objects())
    for _ in range(10_000):
        dbots.post_stats(893)
    gc.collect()
    good.append(report("objects left by 10,000 calls", len(gc.get_objects()) - before, 0))
    return 0 if all(good) else 1


if __name__ == "__main__":
    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            status = main(f"http://127.0.0.1:{int(server.stdout.readline())}/api/v1")
        finally:
            server.kill()
    sys.exit(status)
