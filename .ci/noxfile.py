"""What must hold before a change lands: each check is a session.

    nox -f .ci/noxfile.py --list                  name them all
    nox -f .ci/noxfile.py -s lint                 run one
    nox -f .ci/noxfile.py -s tests_newest-3.7     under one Python; without -3.7, under each found
    bash .ci/run                                  run all, on a clean checkout

Needs git, and a package index for the environments, which are fresh each time. What git tracks is
copied to a temporary folder first, so that nothing is left in the tree or taken from it.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Iterator
from xml.etree import ElementTree

import nox
from nox.command import CommandFailed

ROOT = Path(__file__).resolve().parent.parent
TOP_LEVEL = ["LICENSE", "README.rst", "botlists.py", "setup.py", "test_botlists.py"]
SOURCES = ["botlists.py", "test_botlists.py", "setup.py", ".ci/bench.py", ".ci/noxfile.py"]
RUFF_RULES = "E,F,W,I,UP,B,SIM,RET,C4,PIE,TRY002"
# Some characters are in brackets, so that the pattern does not match itself.
FORBIDDEN = (
    r"TO[D]O|FIX[M]E|pragma: no[ ]cover|no[q]a\b|type: ignore$|/(?:work|root)/|\.\.[/]shared"
)
NEWEST = "urllib3<3"
OPTIONAL = ["tqdm", "PySocks", "discord.py", "rich", "loguru"]  # some tests need one of these
OPTIONAL_IN_REASONS = ["tqdm", "socks", "discord", "rich", "loguru", "needs python 3.8"]
FORKING = ["fork", "preexec_fn", "start_new_session", "/bin/sh"]

# Put into an environment, this plays a system that has none of them, as Windows. A .pth file
# imports it, since a sitecustomize would lose to that of Debian's Python or of a PYTHONPATH.
WITHOUT_FORK = """
import os
import subprocess

for name in ("fork", "forkpty", "register_at_fork"):
    vars(os).pop(name, None)

def refuse(self, args, *more, preexec_fn=None, start_new_session=False, shell=False, **options):
    if preexec_fn is not None or start_new_session:
        raise ValueError("preexec_fn and start_new_session are not supported here")
    program = args if isinstance(args, (str, bytes, os.PathLike)) else args[0]
    if shell or {"sh", "/bin/sh"} & {str(program), options.get("executable")}:
        raise FileNotFoundError(2, "No such file or directory", "/bin/sh")
    popen(self, args, *more, **options)

popen, subprocess.Popen.__init__ = subprocess.Popen.__init__, refuse
"""
FORKS_LEFT = """
import os, subprocess, sys

left = [name for name in ("fork", "forkpty", "register_at_fork") if hasattr(os, name)]
for option in ("preexec_fn", "start_new_session", "shell", "executable"):
    value = {"preexec_fn": int, "executable": "/bin/sh"}.get(option, True)
    try:
        subprocess.call(["true"], **{option: value})
        left.append(option)
    except (ValueError, FileNotFoundError):
        pass
if left:
    sys.exit(f"not taken away: {left}")
if "child" not in sys.argv:  # which has another environment
    sys.exit(subprocess.call([sys.executable, __file__, "child"], env={}))
"""

# Type checkers must report an error in each of the marked lines, and in no other.
MISTAKES = """
from {module} import DBotsClient, LBotsClient

dbots = DBotsClient("1", "token", user_key="key")
lbots = LBotsClient(1, "token", timeout=5)
lbots.post_shard_stats({{0: 5, 1: 7}}, shard_count=2, progress=print)
if lbots.has_favourited("1"):
    dbots.edit_api(vote_webhook_url=None).token.upper()
lbots.post_stats("893")  # wrong
lbots.post_stats(893, 0, 4)  # wrong
lbots.post_shard_stats(893)  # wrong
LBotsClient(1)  # wrong
LBotsClient(1, None)  # wrong
DBotsClient(1, "token", "key")  # wrong
dbots.edit_api("https://example.com/vote")  # wrong
dbots.post_stats(893).guild_count  # wrong
lbots.get_favourites() + "1"  # wrong
lbots.has_favourited(1).time.year  # wrong
dbots.get_log().changes.append(1)  # wrong
with dbots as client:
    client.get_favourites()  # wrong
"""


def find_pythons() -> dict[str, str]:
    """The Pythons of pyenv and on the PATH: their names for nox, and what each says it is."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    folders = [str(folder) for folder in sorted(pyenv.glob("versions/*/bin"))]
    os.environ["PATH"] = os.pathsep.join([*folders, os.environ["PATH"]])  # before pyenv's shims
    about = "from platform import *; print(python_implementation(), python_version())"
    found = {}
    for name in [*(f"3.{minor}" for minor in range(7, 15)), "pypy3"]:
        command = [name if name == "pypy3" else f"python{name}", "-c", about]
        try:
            said = subprocess.check_output(command, stderr=subprocess.DEVNULL)
        except (OSError, subprocess.CalledProcessError):
            continue
        found[name] = said.decode().strip()
    return found


PYTHONS = find_pythons()

nox.options.default_venv_backend = "venv"  # virtualenv has dropped Python 3.7
nox.options.error_on_missing_interpreters = True


def tracked() -> list[str]:
    output = subprocess.check_output(["git", "-C", str(ROOT), "ls-files", "-z"])
    return output.decode().split("\0")[:-1]


def checkout(session: nox.Session) -> None:
    """Go to a fresh copy of what git tracks, as it is in the work tree."""
    folder = Path(session.create_tmp(), "checkout")
    shutil.rmtree(folder, ignore_errors=True)
    for name in tracked():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(str(ROOT / name), str(folder / name))
    session.chdir(folder)


def run_readme_command(session: nox.Session, number: int) -> None:
    """Run a command for a checkout as README.rst has it: 0, the demonstration, or 1, the tests."""
    readme = Path("README.rst").read_text(encoding="utf-8")
    commands = re.findall(r'^    (python -m pip install "\.\[test\]" && .+)$', readme, re.M)
    if len(commands) != 2:
        session.error(f"README.rst has {len(commands)} commands for a checkout, not 2")
    report = {"PYTEST_ADDOPTS": "--junitxml=tests.xml"}
    session.run("sh", "-c", commands[number], external=True, env=report)


def check_skips(session: nox.Session, *reasons: str, most: int = 0) -> None:
    """Read pytest's report: a test is skipped for want of an optional package, or for a REASON."""
    report = ElementTree.parse("tests.xml")
    skips = [str(skip.get("message")) for skip in report.iter("skipped")]
    expected = [skip for skip in skips if any(reason in skip for reason in reasons)]
    for skip in skips:
        if skip not in expected and not any(name in skip.lower() for name in OPTIONAL_IN_REASONS):
            session.error(f"a test was skipped: {skip}")
    if len(expected) > most:
        session.error(f"{len(expected)} tests were skipped, at most {most} may be")
    passed = sum(1 for test in report.iter("testcase") if test.find("skipped") is None)
    if passed < 500:
        session.error(f"{passed} tests passed, at least 500 must")


@nox.session(python=False)
def pythons(session: nox.Session) -> None:
    """Find the Pythons for the tests: two at least, unless BOTLISTS_ONE_PYTHON=1."""
    print("found", ", ".join(PYTHONS.values()) or "no Python")
    if len(PYTHONS) < 2 and os.environ.get("BOTLISTS_ONE_PYTHON") != "1":
        session.error("fewer than two Pythons; BOTLISTS_ONE_PYTHON=1 says that this is fine")


@nox.session(python=False)
def layout(session: nox.Session) -> None:
    """Check the files at the top level, forbidden words, what is imported, and sizes."""
    session.chdir(ROOT)
    top_level = sorted(name for name in tracked() if not name.startswith("."))
    if top_level != TOP_LEVEL:
        session.error(f"at the top level: {top_level}")
    for name in tracked():
        for number, line in enumerate(Path(name).read_text(encoding="utf-8").splitlines(), 1):
            if re.search(FORBIDDEN, line):
                session.error(f"{name}:{number}: {line.strip()}")
    nodes = list(ast.walk(ast.parse(Path("botlists.py").read_text(encoding="utf-8"))))
    imported = {name.name for node in nodes if isinstance(node, ast.Import) for name in node.names}
    imported |= {node.module or "itself" for node in nodes if isinstance(node, ast.ImportFrom)}
    foreign = {name.split(".")[0] for name in imported} - {*sys.stdlib_module_names, "urllib3"}
    if foreign:
        session.error(f"botlists.py imports {foreign}")
    for what, number, most in sizes():
        print(f"{number} {what}, at most {most}")
        if number > most:
            session.error(f"{number} {what}, at most {most}")


def sizes() -> Iterator[tuple[str, int, int]]:
    """What a reader is asked to read stays small."""
    text, tests, readme = (
        Path(name).read_text(encoding="utf-8")
        for name in ("botlists.py", "test_botlists.py", "README.rst")
    )
    lines, nodes = text.splitlines(), list(ast.walk(ast.parse(text)))
    classes = [node for node in nodes if isinstance(node, ast.ClassDef)]
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef)]
    bare = {number for number, line in enumerate(lines, 1) if re.match(r"\s*(#|$)", line)}
    for node in nodes:
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            bare.update(line_numbers(node.body[0]) if ast.get_docstring(node) else ())
    [clients] = [line_numbers(node) for node in classes if node.name == "LBotsClient"]
    yield "lines of code in botlists.py", len(lines) - len(bare), 760
    yield "classes", len(classes), 24
    yield "lines in its longest function", max(len(line_numbers(f)) for f in functions), 60
    yield "lines up to the end of the clients", clients[-1], (len(lines) - 1) // 2
    yield "lines of tests", len(tests.splitlines()), 2900
    yield "words in README.rst", len(re.findall(r"\w[\w'./-]*", readme)), 3000
    yield "columns of its tables", max(map(len, re.findall("^=+ [ =]+$", readme, re.M))), 100


def line_numbers(node: ast.stmt) -> range:
    return range(node.lineno, (node.end_lineno or node.lineno) + 1)


@nox.session
def lint(session: nox.Session) -> None:
    """Check the style with ruff, and that its formatter would change nothing."""
    checkout(session)
    session.install("ruff")
    options = ["--isolated", "--line-length=100", "--target-version=py37"]
    session.run("ruff", "format", "--check", "--diff", *options, *SOURCES)
    session.run("ruff", "check", *options, f"--select={RUFF_RULES}", *SOURCES)


@nox.session
def types(session: nox.Session) -> None:
    """Check the types with mypy --strict and pyright."""
    checkout(session)
    session.install("mypy", "pyright[nodejs]", "types-setuptools", "nox", NEWEST)
    session.install("pytest", "pytest-httpserver")
    session.run("mypy", "--strict", *SOURCES)
    shutil.copytree(".ci", "ci")  # pyright skips hidden folders, even where it is told of a file
    session.run("pyright", *(name.replace(".ci/", "ci/") for name in SOURCES))


@nox.session
def user_mistakes(session: nox.Session) -> None:
    """Check that type checkers see a user's mistakes, with a copied file and an installed one."""
    checkout(session)
    session.install("mypy", "pyright[nodejs]", NEWEST)
    Path("user", "bot").mkdir(parents=True)
    Path("user", "bot", "__init__.py").touch()
    shutil.copy("botlists.py", "user/bot/")
    check_mistakes(session, "bot.botlists")
    session.install(".")
    check_mistakes(session, "botlists")


def check_mistakes(session: nox.Session, module: str) -> None:
    lines = MISTAKES.format(module=module).splitlines()
    wrong = {number for number, line in enumerate(lines, 1) if "# wrong" in line}
    with session.chdir("user"):
        Path("mistakes.py").write_text("\n".join(lines), encoding="utf-8")
        for tool in (["mypy", "--strict"], ["pyright"]):
            command = [*tool, "mistakes.py"]
            output = str(session.run(*command, silent=True, log=False, success_codes=[0, 1]))
            errors = re.findall(r"mistakes\.py:(\d+)\S* (?:- )?error", output)
            if {int(line) for line in errors} != wrong:
                print(output)
                session.error(f"{tool[0]} sees other mistakes through {module} than are marked")
            print(f"{tool[0]} sees {len(wrong)} of {len(wrong)} mistakes through {module}")


@nox.session
def packages(session: nox.Session) -> None:
    """Build the sdist and, from it, the wheel; check what they hold; install and uninstall it."""
    checkout(session)
    session.install("build", "twine")
    session.run("python", "-m", "build", silent=True)  # its output is shown where it fails
    [sdist], [wheel] = Path("dist").glob("*.tar.gz"), Path("dist").glob("*.whl")
    session.run("twine", "check", "--strict", str(sdist), str(wheel))

    with tarfile.open(str(sdist)) as archive:
        missing = {*TOP_LEVEL} - {name.split("/", 1)[-1] for name in archive.getnames()}
    if missing:
        session.error(f"the sdist lacks {missing}")
    with zipfile.ZipFile(str(wheel)) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    modules = {name: text for name, text in held.items() if ".dist-info/" not in name}
    text = Path("botlists.py").read_bytes()
    if modules != {"botlists.py": text, "botlists-stubs/__init__.pyi": text}:
        session.error(f"the wheel has {[*modules]}, or not the text of botlists.py in both")
    [metadata] = (held[name].decode() for name in held if name.endswith("/METADATA"))
    for line in (
        "Requires-Python: >=3.7",
        "Requires-Dist: urllib3<3,>=1.26",
        "Provides-Extra: test",
    ):
        if line not in metadata.splitlines():
            session.error(f"the metadata lacks {line!r}")

    session.run("python", "-m", "venv", "user")
    session.run("user/bin/pip", "install", "-q", str(wheel), external=True)
    session.run("user/bin/botlists", "--version", external=True)
    session.run("user/bin/pip", "uninstall", "-q", "-y", "botlists", external=True)
    print("the wheel holds", ", ".join(modules), "and metadata")
    left = [str(path) for path in Path("user").rglob("*botlists*")]
    if left:
        session.error(f"pip uninstall leaves {left}")


@nox.session
def readme_demonstration(session: nox.Session) -> None:
    """Run the README's first command, the demonstration, in a fresh environment."""
    checkout(session)
    run_readme_command(session, 0)
    print("the demonstration ended with status 0")


@nox.session
def readme_tests(session: nox.Session) -> None:
    """Run the README's second command, the tests, in a fresh environment."""
    checkout(session)
    run_readme_command(session, 1)
    check_skips(session)


@nox.session
def without_fork(session: nox.Session) -> None:
    """Run both README commands where there is no fork, preexec_fn, new session or /bin/sh."""
    checkout(session)
    [site] = Path(session.virtualenv.location).glob("lib/python*/site-packages")
    (site / "without_fork.py").write_text(WITHOUT_FORK, encoding="utf-8")
    (site / "without_fork.pth").write_text("import without_fork\n", encoding="utf-8")
    Path("forks_left.py").write_text(FORKS_LEFT, encoding="utf-8")
    session.run("python", "forks_left.py")
    run_readme_command(session, 0)
    run_readme_command(session, 1)
    check_skips(session, *FORKING, most=80)


@nox.session
def coverage(session: nox.Session) -> None:
    """Run the tests with all optional packages: none is skipped, and they cover each branch."""
    checkout(session)
    session.install("coverage", "pytest", "pytest-httpserver", NEWEST, *OPTIONAL)
    run_tests(session, "coverage", "run", "--branch", "--include=botlists.py")
    for skip in ElementTree.parse("tests.xml").iter("skipped"):
        session.error(f"a test was skipped: {skip.get('message')}")
    session.run("coverage", "report", "--show-missing", "--fail-under=100")


@nox.session(python=[*PYTHONS])
def tests_oldest(session: nox.Session) -> None:
    """Run the tests with the oldest urllib3 that is promised and can be imported."""
    late = session.python in ("3.12", "3.13", "3.14")
    tests_with(session, "urllib3==1.26.5" if late else "urllib3==1.26.0")


@nox.session(python=[*PYTHONS])
def tests_newest(session: nox.Session) -> None:
    """Run the tests with the newest urllib3."""
    tests_with(session, NEWEST)


def tests_with(session: nox.Session, urllib3: str) -> None:
    checkout(session)
    session.install("pytest", "pytest-httpserver", urllib3)
    about = "import sys, urllib3; print('Python', sys.version, 'with urllib3', urllib3.__version__)"
    session.run("python", "-c", about, log=False)
    run_tests(session, "python")
    check_skips(session)


def run_tests(session: nox.Session, *python: str) -> None:
    options = ["-W", "error:::botlists", "-p", "no:cacheprovider", "--junitxml=tests.xml"]
    session.run(*python, "-m", "pytest", "-q", *options)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure what botlists costs; once more where a target is missed, as a busy machine may."""
    checkout(session)
    session.install(NEWEST, "requests")
    try:
        session.run("python", ".ci/bench.py")
    except CommandFailed:
        session.run("python", ".ci/bench.py")
