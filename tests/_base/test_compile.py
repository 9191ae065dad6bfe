"""Generated functions."""

from __future__ import annotations

import inspect
import linecache
import traceback

from tachograph._base.compile import compile_functions


def test_generated_source_is_seen_by_tools() -> None:
    """`inspect` prints it, tracebacks show its lines, also after the line cache was checked."""
    source = "def divide(a):\n    return a / ZERO\n"
    divide = compile_functions(source, {"ZERO": 0}, label="a test")["divide"]
    linecache.checkcache()
    shown = ""
    try:
        divide(1)
    except ZeroDivisionError:
        shown = traceback.format_exc()

    assert inspect.getsource(divide) == source
    assert "return a / ZERO" in shown
    assert "<tachograph generated a test" in shown


def test_only_the_functions_come_back() -> None:
    """What was passed in is not among them."""
    found = compile_functions("def f():\n    return g()\n", {"g": lambda: 1}, label="only")

    assert list(found) == ["f"]
    assert found["f"]() == 1
