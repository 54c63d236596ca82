"""What must hold before a change lands: each check is a session.

    bash .ci/run                                    run all but bench, each in a new environment
    nox -f .ci/noxfile.py --list                    name them
    nox -f .ci/noxfile.py -s lint                   run one
    nox -f .ci/noxfile.py -s tests-3.7 -- -k proxy  pass arguments to pytest

Each session works on a copy of the files that git tracks, as they are in the work tree, so it
leaves nothing there and takes nothing else from there.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import nox

ROOT = Path(__file__).resolve().parent.parent
TOP_LEVEL = ["LICENSE", "README.rst", "botlists.py", "setup.py", "test_botlists.py"]
SOURCES = ["botlists.py", "test_botlists.py", "setup.py", ".ci/bench.py", ".ci/noxfile.py"]
RUFF_RULES = "E,F,W,I,UP,B,SIM,RET,C4,PIE,TRY002"

# urllib3 1.26.0 to 1.26.4 cannot be imported by Python 3.12 and later.
OLDEST = ["urllib3==1.26.0; python_version < '3.12'", "urllib3==1.26.5; python_version >= '3.12'"]
NEWEST = ["urllib3<3"]
PYTEST = ["pytest", "pytest-httpserver"]
# Tests that need one of these are skipped where it is not installed.
OPTIONAL = ["tqdm", "PySocks", "rich", "loguru", "eventlet"]
OPTIONAL += ["gevent; implementation_name == 'cpython'"]  # PyPy would have to compile it
BOT_LIBRARIES = ["discord.py", "py-cord", "nextcord", "disnake"]
BOT_TESTS = ["-k", "test_a_bot"]

# A line marked as wrong must be an error to mypy and pyright, with these codes; no other may be.
MISTAKES = """
from {module} import DBotsClient, LBotsClient

dbots = DBotsClient("1", "token", user_key="key")
lbots = LBotsClient(1, "token", timeout=5)
lbots.post_shard_stats({{0: 5, 1: 7}}, shard_count=2, progress=print)
if lbots.has_favourited("1"):
    dbots.edit_api(vote_webhook_url=None).token.upper()
lbots.post_stats("893")  # wrong: arg-type reportArgumentType
lbots.post_stats(893, 0, 4)  # wrong: call-arg reportCallIssue
lbots.post_shard_stats(893)  # wrong: arg-type reportArgumentType
LBotsClient(1)  # wrong: call-arg reportCallIssue
LBotsClient(1, None)  # wrong: arg-type reportArgumentType
DBotsClient(1, "token", "key")  # wrong: call-arg reportCallIssue
dbots.edit_api("https://example.com/vote")  # wrong: call-arg reportCallIssue
dbots.post_stats(893).guild_count  # wrong: attr-defined reportAttributeAccessIssue
print(lbots.get_favourites() + "1")  # wrong: operator reportOperatorIssue
lbots.has_favourited(1).time.year  # wrong: union-attr reportOptionalMemberAccess
dbots.get_log().changes.append(1)  # wrong: attr-defined reportAttributeAccessIssue
with dbots as client:
    client.get_favourites()  # wrong: attr-defined reportAttributeAccessIssue
"""
PYRIGHT_SETTINGS = {
    "enableTypeIgnoreComments": False,  # those are for mypy
    "reportUnnecessaryTypeIgnoreComment": "error",
}


def find_pythons() -> list[str]:
    """The supported Pythons on the PATH, to which those of pyenv are added."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    folders = [str(folder) for folder in sorted(pyenv.glob("versions/*/bin"))]
    os.environ["PATH"] = os.pathsep.join([*folders, os.environ["PATH"]])  # before pyenv's shims
    return [f"3.{minor}" for minor in range(7, 16) if shutil.which(f"python3.{minor}")]


PYTHONS = find_pythons()
PYPY = ["pypy3"] if shutil.which("pypy3") else []

nox.needs_version = ">=2026.8.17"  # for sessions in parallel
nox.options.default_venv_backend = "venv"  # virtualenv has dropped Python 3.7
nox.options.error_on_missing_interpreters = True
nox.options.allow_parallel = True


def tracked() -> list[str]:
    output = subprocess.check_output(["git", "-C", str(ROOT), "ls-files", "-z"])
    return output.decode().split("\0")[:-1]


def checkout(session: nox.Session) -> None:
    """Change to a new copy of what git tracks."""
    folder = Path(session.create_tmp(), "checkout")
    shutil.rmtree(folder, ignore_errors=True)
    for name in tracked():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(str(ROOT / name), str(folder / name))
    session.chdir(folder)


def require_no_skips(session: nox.Session, fewest: int) -> None:
    """Check pytest's report: how many tests ran, and that none was skipped."""
    [suite] = ElementTree.parse("report.xml").getroot()
    number, skipped = int(suite.attrib["tests"]), int(suite.attrib["skipped"])
    if skipped or number < fewest:
        session.error(f"{skipped} of {number} tests were skipped; all of {fewest} or more must run")


@nox.session(python=False)
def layout(session: nox.Session) -> None:
    """Check the files at the top level, what botlists.py imports, and that functions are short."""
    top_level = sorted(name for name in tracked() if not name.startswith("."))
    if top_level != TOP_LEVEL:
        session.error(f"at the top level: {top_level}")
    nodes = list(ast.walk(ast.parse((ROOT / "botlists.py").read_text(encoding="utf-8"))))
    imported = {name.name for node in nodes if isinstance(node, ast.Import) for name in node.names}
    imported |= {node.module or "." for node in nodes if isinstance(node, ast.ImportFrom)}
    foreign = {name.split(".")[0] for name in imported} - {*sys.stdlib_module_names, "urllib3"}
    if foreign:
        session.error(f"botlists.py imports {foreign}")
    for node in nodes:
        if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno >= 60:
            session.error(f"botlists.py:{node.lineno}: {node.name} has more than 60 lines")


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting with ruff."""
    checkout(session)
    session.install("ruff")
    options = ["--isolated", "--line-length=100", "--target-version=py37"]
    session.run("ruff", "format", "--check", "--diff", *options, *SOURCES)
    session.run("ruff", "check", "--ignore-noqa", f"--select={RUFF_RULES}", *options, *SOURCES)


@nox.session
def types(session: nox.Session) -> None:
    """Check the types with mypy --strict and pyright."""
    checkout(session)
    session.install("mypy", "pyright[nodejs]", "types-setuptools", "nox", "aiohttp")
    session.install(*PYTEST, *NEWEST)
    session.run("mypy", "--strict", "--enable-error-code=ignore-without-code", *SOURCES)
    shutil.copytree(".ci", "ci")  # pyright skips hidden folders, even where it is told of a file
    session.run("pyright", *(name.replace(".ci/", "ci/") for name in SOURCES))


@nox.session
def users_types(session: nox.Session) -> None:
    """Check that type checkers find a user's mistakes, and none in README's examples."""
    checkout(session)
    session.install("mypy", "pyright[nodejs]", "discord.py", *NEWEST)
    readme = Path("README.rst").read_text(encoding="utf-8")
    Path("user/bot").mkdir(parents=True)
    Path("user/bot/__init__.py").touch()
    shutil.copy("botlists.py", "user/bot")
    check_mistakes(session, "bot.botlists")

    session.install("--use-pep517", "--config-settings", "editable_mode=strict", "-e", ".")
    check_mistakes(session, "botlists")
    session.install("--force-reinstall", "--no-deps", ".")
    check_mistakes(session, "botlists")

    blocks = re.findall(r"^\.\. code:: python\n\n((?:    .*\n|\n)+)", readme, re.MULTILINE)
    names = [f"example_{number}.py" for number in range(len(blocks))]
    for name, block in zip(names, blocks):
        Path("user", name).write_text(textwrap.dedent(block), encoding="utf-8")
    with session.chdir("user"):
        session.run("mypy", "--ignore-missing-imports", *names)


def check_mistakes(session: nox.Session, module: str) -> None:
    comments = r"# type: ignore[\1]  # pyright: ignore[\2]"
    text = re.sub(r"# wrong: (\S+) (\S+)", comments, MISTAKES.format(module=module))
    with session.chdir("user"):
        Path("mistakes.py").write_text(text, encoding="utf-8")
        Path("pyrightconfig.json").write_text(json.dumps(PYRIGHT_SETTINGS), encoding="utf-8")
        session.run("mypy", "--strict", "mistakes.py")  # reports unused ignores
        session.run("pyright", "mistakes.py")


@nox.session
def packages(session: nox.Session) -> None:
    """Build the sdist and, from it, the wheel; check what it holds; install and uninstall it."""
    checkout(session)
    session.install("build", "twine")
    session.run("python", "-m", "build", silent=True)  # its output is shown where it fails
    [wheel] = map(str, Path("dist").glob("*.whl"))
    session.run("twine", "check", "--strict", *map(str, Path("dist").iterdir()))
    with zipfile.ZipFile(wheel) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    modules = {name: text for name, text in held.items() if ".dist-info/" not in name}
    text = Path("botlists.py").read_bytes()
    if modules != {"botlists.py": text, "botlists-stubs/__init__.pyi": text}:
        session.error(f"the wheel has {[*modules]}, or not the text of botlists.py in both")

    session.install(wheel)
    session.run("botlists", "--version")
    session.run("python", "-m", "pip", "uninstall", "-q", "-y", "botlists")
    environment = Path(session.virtualenv.location)
    left = [*environment.glob("bin/*botlists*"), *environment.glob("lib/**/*botlists*")]
    if left:
        session.error(f"pip uninstall leaves {[*map(str, left)]}")


@nox.session
@nox.parametrize("number", [nox.param(0, id="demonstration"), nox.param(1, id="tests")])
def readme(session: nox.Session, number: int) -> None:
    """Run one of the two commands that README.rst has for a checkout."""
    checkout(session)
    text = Path("README.rst").read_text(encoding="utf-8")
    commands = re.findall(r'^    (python -m pip install "\.\[test\]" && .+)$', text, re.MULTILINE)
    if len(commands) != 2:
        session.error(f"README.rst has {len(commands)} commands for a checkout, not 2")
    session.run("sh", "-c", commands[number], external=True, env={"PIP_QUIET": "1"})


@nox.session(python=[*PYTHONS, *PYPY])
def tests(session: nox.Session) -> None:
    """Run the tests with the oldest and the newest urllib3, under one Python."""
    checkout(session)
    session.install("--prefer-binary", *PYTEST, *OPTIONAL)
    for urllib3 in OLDEST, NEWEST:
        session.install("--upgrade", *urllib3)
        session.run("python", "-m", "pytest", *session.posargs)


@nox.session
def coverage(session: nox.Session) -> None:
    """Run the tests with all optional packages; they cover each branch of botlists.py."""
    checkout(session)
    session.install("coverage", BOT_LIBRARIES[0], *PYTEST, *OPTIONAL, *NEWEST)
    # In place of the defaults, with which a comment excludes lines.
    Path(".coveragerc").write_text("[report]\nexclude_lines = if TYPE_CHECKING:\n")
    options = ["--branch", "--include=botlists.py", "-m", "pytest", "--junitxml=report.xml"]
    session.run("coverage", "run", *options)
    require_no_skips(session, 500)
    session.run("coverage", "report", "--show-missing", "--fail-under=100")


@nox.session(python=PYTHONS[-1], allow_parallel=False)
def strict(session: nox.Session) -> None:
    """Run the tests in random order, in two processes, each warning an error."""
    checkout(session)
    session.install("pytest-randomly", "pytest-xdist", *PYTEST, *OPTIONAL, *NEWEST)
    workers = ["--dist=load", "--tx=2*popen//python=python -W error"]  # -n 2 would drop -W error
    session.run("python", "-W", "error", "-m", "pytest", *workers, *session.posargs)


@nox.session
@nox.parametrize("library", [nox.param(name, id=name) for name in BOT_LIBRARIES])
def bots(session: nox.Session, library: str) -> None:
    """Run README's programs for bots with one of the libraries that they are written for."""
    checkout(session)
    session.install(library, *PYTEST, *NEWEST)
    session.run("python", "-m", "pytest", "--junitxml=report.xml", *BOT_TESTS)
    require_no_skips(session, 1)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Measure what botlists costs, beside urllib3 and requests; only where it is named."""
    checkout(session)
    session.install("requests", *NEWEST)
    session.run("python", ".ci/bench.py")
