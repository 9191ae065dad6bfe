"""The suites: whose they are, what they need, and how they are run."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version

__all__ = ["SUITES", "Suite"]


@dataclass(frozen=True, slots=True)
class Suite:
    """One peer's own tests.

    Attributes:
        name: The peer.
        pythons: On which Pythons it is run if none is asked for.
        limit_s: Seconds after which a run is ended, several times what it takes.
        needs: What the tests import, as pip takes it; empty for CPython's.
        options: For pytest. What meets the network beyond loopback is left out, and what measures.
        leave: Paths of the sdist that are not used: sources that would hide the built package.
        tests: What pytest is to run.
    """

    name: str
    pythons: tuple[str, ...]
    limit_s: float
    needs: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    leave: tuple[str, ...] = ()
    tests: tuple[str, ...] = ("tests",)

    @property
    def is_cpython(self) -> bool:
        """Whether the tests come with the interpreter and are run by its own runner."""
        return not self.needs

    @property
    def requirement(self) -> str:
        """The peer in the version that the project's own tests use."""
        return f"{self.name}=={version(self.name)}"


# They ask the resolver for names of the world; a number stands for all that begin with it.
_RESOLVER = tuple(
    f"--deselect=tests/test_dns.py::Test_{loop}_DNS::test_getaddrinfo_{which}"
    for loop in ("UV", "AIO")
    for which in ("1", "2", "4", "5", "6", "close_loop")
)

SUITES = {
    suite.name: suite
    for suite in (
        Suite("cpython", ("3.11", "3.12", "3.13", "3.14", "3.15"), 1800),
        Suite(
            "uvloop",
            ("3.11", "3.13"),
            1800,
            ("pytest", "pytest-timeout", "psutil", "aiohttp", "pyOpenSSL"),
            (
                *_RESOLVER,
                "--ignore=tests/test_sourcecode.py",  # flake8 and mypy over its sources
            ),
            ("uvloop",),
        ),
        Suite(
            "anyio",
            ("3.11", "3.13"),
            1800,
            (
                "pytest>=9",
                "pytest-mock",
                "pytest-timeout",
                "blockbuster",
                "hypothesis",
                "psutil",
                "trio",
                "trustme",
                "truststore",
                "uvloop",
            ),
            ("-m", "not network", "--timeout=200"),  # not the 20 s of a quiet machine
            ("src",),
        ),
        Suite(
            "starlette",
            ("3.11", "3.13"),
            900,
            (
                "pytest>=9",
                "blockbuster",
                "httpx",
                "httpx2",
                "importlib-metadata",
                "itsdangerous",
                "jinja2",
                "opentelemetry-sdk",
                "python-multipart",
                "pyyaml",
                "trio",
            ),
        ),
        Suite(
            "aiohttp",
            ("3.11", "3.13"),
            1800,
            (
                "pytest>=9",
                "pytest-mock",
                "pytest-timeout",
                "pytest-cov",
                "blockbuster",
                "freezegun",
                "gunicorn",
                "proxy.py",
                "python-on-whales",
                "trustme",
                "uvloop",
                "aiodns",
                "brotli",
                "isal; python_version < '3.14'",
                "zlib_ng",
            ),
            (
                "--override-ini=addopts=",
                "-m",
                "not dev_mode and not autobahn and not internal",
            ),
            ("aiohttp",),
            # Those in which servers and clients run; the rest is long, and most of it has mocks.
            tuple(
                f"tests/test_{name}.py"
                for name in (
                    "client_functional",
                    "client_ws_functional",
                    "connector",
                    "proxy_functional",
                    "run_app",
                    "streams",
                    "web_functional",
                    "web_sendfile_functional",
                    "web_server",
                    "web_websocket_functional",
                )
            ),
        ),
    )
}
