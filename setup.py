"""How botlists is packaged; what a user needs to know is in README.rst."""

from __future__ import annotations

import os
import re
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

HERE = Path(__file__).resolve().parent


def version() -> str:
    """Read from the text: importing the module needs urllib3, which may not be installed yet."""
    text = (HERE / "botlists.py").read_text(encoding="utf-8")
    found = re.search('^__version__ = "(.+)"$', text, re.MULTILINE)
    if found is None:
        raise RuntimeError("botlists.py has no __version__")
    return found.group(1)


class BuildWithStubs(build_py):
    """Adds the module's own text as stubs: mypy ignores the types of an installed module."""

    def run(self) -> None:
        super().run()
        self.mkpath(os.path.dirname(self.stubs()))
        self.copy_file("botlists.py", self.stubs())

    def stubs(self) -> str:
        return os.path.join(self.build_lib, "botlists-stubs", "__init__.pyi")

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        return [*super().get_outputs(include_bytecode), self.stubs()]

    def get_output_mapping(self) -> dict[str, str]:
        """What a strict editable install links, so that its types follow the module."""
        return {**super().get_output_mapping(), self.stubs(): str(HERE / "botlists.py")}


class SdistWithTests(sdist):
    """Adds the tests, for which setuptools would want a file MANIFEST.in."""

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        super().make_release_tree(base_dir, [*files, "test_botlists.py"])


setup(
    name="botlists",
    version=version(),
    description="Clients for the Discord bot lists DBots and LBots, in one file on top of urllib3",
    long_description=(HERE / "README.rst").read_text(encoding="utf-8"),
    long_description_content_type="text/x-rst",
    author="the botlists contributors",
    license="MIT",
    keywords="discord bot list dbots lbots api client urllib3",
    py_modules=["botlists"],
    python_requires=">=3.7",
    install_requires=["urllib3>=1.26,<3"],
    extras_require={"test": ["pytest", "pytest-httpserver"]},
    entry_points={"console_scripts": ["botlists = botlists:main"]},
    cmdclass={"build_py": BuildWithStubs, "sdist": SdistWithTests},
    classifiers=[
        "Development Status :: 5 - Production/Stable",
        "Environment :: Console",
        "Intended Audience :: Developers",
        "Operating System :: OS Independent",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in range(7, 16)),
        "Programming Language :: Python :: Implementation :: CPython",
        "Programming Language :: Python :: Implementation :: PyPy",
        "Topic :: Communications :: Chat",
        "Topic :: Internet :: WWW/HTTP",
        "Topic :: Software Development :: Libraries :: Python Modules",
        "Typing :: Typed",
    ],
)
