"""Known blocking calls inside steps: files, names, sockets, processes, databases, locks, imports.

The core exchanges the C functions of builtins for ones that look at the clock; so nothing of the
program changes, whatever it has imported under whatever name. Calls of a thread that is in no step
are not timed. A call counts from its beginning to when its thread has the GIL again.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import PurePath
from types import ModuleType
from typing import Any

from tachograph.recorder.core import core, is_native
from tachograph.recorder.events import EventKind, buffer
from tachograph.recorder.sources.builtins import Builtin, known
from tachograph.recorder.sources.config import SourcesConfig
from tachograph.recorder.sources.turns import Imports
from tachograph.recorder.sources.unavailable import Unavailable
from tachograph.recorder.symbols import symbols
from tachograph.trace.events import EVENTS

__all__ = ["Calls", "detail_text"]

CALL = EventKind.builtin(EVENTS["tacho:BlockingCall"])
IMPORT = EventKind.builtin(EVENTS["tacho:ImportTime"])
FOR_GIL = EventKind.builtin(EVENTS["tacho:GilWait"])

IN_CALL = 2
"""The kind of a wait for the GIL in a call that cannot block."""

_CALL, _IMPORT, _FOR_GIL = range(3)
_MOST_DETAIL = 200
_IMPORTLIB = "<frozen importlib"


class Calls:
    """The timing of known calls, as the configuration wants it.

    Args:
        config: From how long on a call is noted.
    """

    name = "blocking_calls"

    def __init__(self, config: SourcesConfig) -> None:
        self.wrapped = 0
        """How many builtins are timed."""
        self.missing: dict[str, str] = {}
        """Those that are not, each with the reason."""
        self._config = config
        self._later: dict[str, list[Builtin]] = {}
        self._imports = Imports()
        self._some_begin = False  # modules that are being imported at the last look
        self._importlib: ModuleType | None = None
        self._importer: Callable[..., Any] | None = None
        self._stock_import: Callable[..., Any] | None = None
        self._last: dict[str, Any] = {}

    @classmethod
    def wanted(cls, config: SourcesConfig) -> Calls | None:
        """Return it if it is on."""
        return cls(config) if config.blocking_calls else None

    def start(self) -> None:
        """Begin to time calls.

        Raises:
            Unavailable: The core is not native, or exchanging builtins does not work here.
        """
        if not is_native:
            msg = "calls are timed by the native core, which was not built here"
            raise Unavailable(msg)
        if problem := _try_out():
            raise Unavailable(problem)
        for builtin in known():
            self._later.setdefault(builtin.module, []).append(builtin)
        self._wrap_loaded()
        if not self.wrapped:
            msg = f"no builtin could be exchanged: {next(iter(self.missing.items()), '')}"
            raise Unavailable(msg)
        core.time_calls(self._config.blocking_calls_threshold_ms * 1_000_000, PurePath)
        self._wrap_imports()

    def _wrap_loaded(self) -> None:
        """Time what has been loaded meanwhile: nothing is imported for it."""
        for module in [name for name in self._later if _is_loaded(name)]:
            for builtin in self._later.pop(module):
                try:
                    found, owner = builtin.find()
                    problem = core.wrap_call(found, builtin.name, builtin.how, owner)
                except AttributeError:
                    problem = "this Python has none"
                if problem is None:
                    self.wrapped += 1
                else:
                    self.missing[f"{builtin.owner}.{builtin.attribute}"] = problem
        self._some_begin = any(name in sys.modules for name in self._later)

    def _wrap_imports(self) -> None:
        importlib = sys.modules.get("_frozen_importlib")
        stock = getattr(importlib, "_find_and_load", None)
        if importlib is None or not callable(stock):
            self.missing["import"] = "importlib has no `_find_and_load`"
            return
        self._importlib, self._stock_import = importlib, stock
        self._importer = core.importer(stock)
        importlib.__dict__["_find_and_load"] = self._importer

    def stop(self) -> None:
        """Emit what is left, and give everything back."""
        core.time_calls(0, PurePath)
        core.unwrap_calls()
        if self._importlib is not None:
            names = self._importlib.__dict__
            if names.get("_find_and_load") is self._importer:
                names["_find_and_load"] = self._stock_import
            self._importlib = None
        self._emit_all()
        self._last = self.counts()

    def metadata(self) -> dict[str, str]:
        """Return from how long on calls are noted, and which are not timed."""
        missing = "; ".join(f"{name}: {reason}" for name, reason in self.missing.items())
        return {
            "blocking_calls.threshold_ms": str(self._config.blocking_calls_threshold_ms),
            "blocking_calls.missing": missing,
        }

    def counts(self) -> dict[str, Any]:
        """Return how many builtins are timed, and how many calls were noted."""
        return self._last or {"calls_wrapped": self.wrapped, **core.slow_counts()}

    def turn(self, now_ns: int) -> None:
        """Make events of what was noted, and time what has been loaded since the last turn."""
        if self._imports.changed() or self._some_begin:
            self._wrap_loaded()
        self._emit_all()

    def _emit_all(self) -> None:
        for noted in core.slow_calls():
            _emit(*noted)


def _is_loaded(module: str) -> bool:
    spec = getattr(sys.modules.get(module), "__spec__", None)
    return spec is not None and not getattr(spec, "_initializing", False)


def _emit(
    kind: int,
    end_ns: int,
    duration_ns: int,
    tid: int,
    lane: int,
    task: int,
    name: str,
    detail: object,
    frames: tuple[tuple[str, str, int], ...],
) -> None:
    if kind == _FOR_GIL:
        buffer.add(FOR_GIL, (lane, tid, duration_ns, IN_CALL), end_ns)
        return
    # How an import gets from one module to the next says nothing.
    told = (f for f in frames if kind != _IMPORT or not f[0].startswith(_IMPORTLIB))
    chain = tuple(address for frame in told if (address := symbols.python(*frame)))
    if kind == _IMPORT:
        buffer.add(IMPORT, (lane, task, duration_ns, name[:_MOST_DETAIL], chain), end_ns)
        return
    values = (lane, tid, task, duration_ns, name, detail_text(detail), chain)
    buffer.add(CALL, values, end_ns)


def detail_text(detail: object) -> str | None:
    """Return what a call is about: a path, `fd 7`, `host:port`, a program; 200 characters."""
    if detail is None:
        return None
    if isinstance(detail, int):
        return f"fd {detail}"
    if isinstance(detail, tuple):
        if detail and isinstance(detail[0], bytes) and isinstance(detail[-1], bytes):
            # Where a process's program may lie: the first that is there is run.
            program = _text(detail[0])
            return (program if len(detail) == 1 else program.rpartition("/")[2])[:_MOST_DETAIL]
        # An address: of an IPv6 one what is behind the port says nothing.
        texts = [_text(part) for part in detail[:2] if part is not None and part != ""]
        return ":".join(texts)[:_MOST_DETAIL] or None
    return _text(detail)[:_MOST_DETAIL] or None


def _text(value: Any) -> str:
    if isinstance(value, int):
        return str(value)
    text = os.fsdecode(value)  # of str, bytes and paths
    return text.encode(errors="backslashreplace").decode()


def _try_out() -> str | None:
    """Exchange a builtin of each convention and call it; return what is not as before, or None."""
    shapes: dict[str, Callable[..., Any]] = core.call_shapes()

    def answers() -> list[object]:
        found: list[object] = []
        for _ in range(12):  # from the ninth call on by an instruction of its own
            found = [
                shapes["none"](),
                shapes["one"](1),
                shapes["many"](1, 2),
                shapes["keywords"](1, a=2),
                shapes["fast"](1, 2),
                shapes["fast_keywords"](1, a=2),
                shapes["method"](1, a=2),
            ]
            try:
                shapes["error"]("expected")
            except LookupError as error:
                found.append(error.args)
        return found

    before = answers()
    for name, shape in shapes.items():
        if problem := core.wrap_call(shape, f"shape.{name}", 0, None):
            return f"a builtin cannot be exchanged here: {problem}"
    during = answers()
    if core.unwrap_calls() < len(shapes):
        return "exchanged builtins cannot be given back here"
    if not before == during == answers():
        return f"exchanged builtins answer {during!r:.200}, expected {before!r:.200}"
    return None
