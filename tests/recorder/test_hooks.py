"""The hooks in asyncio's classes: what they must not change."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import sys
import threading
import weakref
from asyncio import base_events, events
from typing import Any

import pytest
from tests.recorder.programs import STEP, hooks, record, steps, take, what

from tachograph.recorder.core import core, is_native


def test_uninstalling_puts_back_what_was_there() -> None:
    """Each method is the very object that stood there before, and a selector is its own again."""
    hooks.uninstall()  # a recorder leaves them in
    names = ("call_soon", "call_soon_threadsafe", "call_at", "create_task", "run_forever")
    before = [getattr(base_events.BaseEventLoop, name) for name in names] + [events.Handle._run]

    async def main() -> Any:
        return asyncio.get_running_loop()

    record(main)
    after = [getattr(base_events.BaseEventLoop, name) for name in names] + [events.Handle._run]

    assert [a is b for a, b in zip(before, after, strict=True)] == [True] * len(before)


def test_handles_are_asyncios() -> None:
    """A handle is an instance of the class that asyncio documents, with its name, repr, context."""
    seen: list[Any] = []

    def called() -> None:
        pass

    async def main() -> None:
        loop = asyncio.get_running_loop()
        handle, timer = loop.call_soon(called), loop.call_later(60, called)
        seen.extend((handle, timer, repr(handle), repr(timer)))
        timer.cancel()
        assert timer.cancelled()
        assert timer < loop.call_later(120, called)
        assert {timer: 1}[timer] == 1

    record(main)

    assert isinstance(seen[0], asyncio.Handle)
    assert isinstance(seen[1], asyncio.TimerHandle)
    assert type(seen[0]).__name__ == "Handle"
    assert "test_handles_are_asyncios.<locals>.called" in seen[2]
    assert "TimerHandle when=" in seen[3]


@pytest.mark.skipif(
    not hasattr(events, "_ThreadSafeHandle"), reason="handles with a lock are new in Python 3.14"
)
@pytest.mark.parametrize("enabled", [True, False])
def test_handles_for_other_threads_keep_their_lock(enabled: bool) -> None:
    """While a callback runs, its handle's lock is held: `cancel` from another thread waits."""
    made: list[Any] = []
    running, tried = threading.Event(), threading.Event()
    free: list[bool] = []

    def called(word: str) -> None:
        running.set()
        assert tried.wait(30)
        ran.append(word)

    ran: list[str] = []
    context = contextvars.copy_context()

    def elsewhere(loop: asyncio.AbstractEventLoop, done: asyncio.Event) -> None:
        made.append(loop.call_soon_threadsafe(called, "hello", context=context))
        assert running.wait(30)
        free.append(made[0]._lock.acquire(blocking=False))
        tried.set()
        made.append(loop.call_soon_threadsafe(done.set))

    async def main() -> None:
        core.enable(enabled)
        done = asyncio.Event()
        thread = threading.Thread(
            target=elsewhere, args=(asyncio.get_running_loop(), done), daemon=True
        )
        thread.start()
        await done.wait()
        thread.join()

    recorded = record(main)

    assert [False] == free
    assert ["hello"] == ran
    assert {"_ThreadSafeHandle"} == {type(handle).__name__ for handle in made}
    assert all(isinstance(handle, vars(events)["_ThreadSafeHandle"]) for handle in made)
    assert made[0].get_context() is context
    assert made[0]._lock.acquire(blocking=False)
    names = [what(recorded, step.task) for step in steps(recorded)]
    assert enabled == any("called" in name for name in names)


def test_a_cancelled_handle_does_not_run() -> None:
    """Neither one that was ready nor one that waited for its time."""
    ran: list[str] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(ran.append, "soon").cancel()
        loop.call_later(0, ran.append, "later").cancel()
        await asyncio.sleep(0.001)

    record(main)

    assert ran == []


def test_contexts_are_kept() -> None:
    """A callback runs in the context it was given, or a copy of its creator's."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    seen: list[str] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        variable.set("creator")
        loop.call_soon(lambda: seen.append(variable.get()))
        given = contextvars.copy_context()
        given.run(variable.set, "given")
        loop.call_soon(lambda: seen.append(variable.get()), context=given)
        variable.set("later")
        await asyncio.sleep(0)

    record(main)

    assert seen == ["creator", "given"]


def test_errors_reach_the_exception_handler() -> None:
    """With asyncio's message; the loop goes on."""
    told: list[dict[str, Any]] = []

    def fails() -> None:
        raise ValueError("on purpose")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: told.append(context))
        loop.call_soon(fails)
        await asyncio.sleep(0)

    events_ = record(main)

    (context,) = told
    assert context["message"].startswith("Exception in callback ")
    assert str(context["exception"]) == "on purpose"
    assert "fails" in [what(events_, s.task) for s in steps(events_)]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_ends_the_loop(error: type[BaseException]) -> None:
    """It passes through the handle, and the step that it ended is recorded."""

    def interrupts() -> None:
        raise error

    async def main() -> None:
        asyncio.get_running_loop().call_soon(interrupts)
        await asyncio.sleep(60)

    with pytest.raises(error):
        record(main)

    assert core.lanes()[0].open_step[0] == 0
    take()


def test_debug_mode_is_asyncios(caplog: pytest.LogCaptureFixture) -> None:
    """Slow callbacks are told, coroutines are refused, and steps are recorded all the same."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.slow_callback_duration = 0
        with pytest.raises(TypeError, match="coroutines cannot be used with call_soon"):
            loop.call_soon(main)
        await asyncio.sleep(0)

    with caplog.at_level(logging.WARNING, logger="asyncio"):
        events_ = record(main, run=lambda coroutine: asyncio.run(coroutine, debug=True))

    assert "Executing <Task" in caplog.text
    assert [e for e in events_ if e.type == STEP]


def test_what_the_stock_loop_refuses_is_refused() -> None:
    """A closed loop, wrong arguments: the same errors as without a recorder."""
    closed = asyncio.new_event_loop()
    closed.close()

    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        with pytest.raises(RuntimeError, match="Event loop is closed"):
            closed.call_soon(print)
        with pytest.raises(TypeError):
            loop.call_soon()
        with pytest.raises(TypeError):
            loop.call_soon(print, nonsense=1)
        with pytest.raises(TypeError):
            loop.call_at(None, print)

    record(main)


def test_a_subclass_of_the_loop_works() -> None:
    """A loop that overrides `call_soon` calls ours through its super."""
    calls: list[Any] = []

    class Own(asyncio.SelectorEventLoop):
        def call_soon(  # type: ignore[override]
            self, callback: Any, *args: Any, context: Any = None
        ) -> Any:
            calls.append(callback)
            return super().call_soon(callback, *args, context=context)

    async def work() -> None:
        await asyncio.sleep(0)

    def run(coroutine: Any) -> None:
        with asyncio.Runner(loop_factory=Own) as runner:
            runner.run(coroutine)

    events_ = record(work, run=run)

    assert calls
    assert "work" in [what(events_, s.task) for s in steps(events_)]


def test_garbage_cycles_through_handles_are_collected() -> None:
    """A handle that refers to itself through its callback does not stay."""

    class Thing:
        handle: Any

        def method(self) -> None:
            pass

    found: list[weakref.ref[Thing]] = []

    async def main() -> None:
        thing = Thing()
        thing.handle = asyncio.get_running_loop().call_later(3600, thing.method)
        found.append(weakref.ref(thing))

    record(main)
    gc.collect()

    assert found[0]() is None


def test_a_tracer_sees_the_program_as_ever() -> None:
    """`sys.settrace` is called for the frames of the program, not confused by the hooks."""
    lines: list[str] = []

    def trace(frame: Any, event: str, arg: Any) -> Any:
        if frame.f_code.co_name == "traced":
            lines.append(event)
        return trace

    async def traced() -> None:
        await asyncio.sleep(0)

    sys.settrace(trace)
    try:
        record(traced)
    finally:
        sys.settrace(None)

    assert lines[0] == "call"
    assert "return" in lines


def test_recording_may_change_while_a_step_is_open() -> None:
    """A step that was begun is ended, whatever the switch says by then."""

    async def main() -> None:
        core.enable(False)
        await asyncio.sleep(0)
        core.enable(True)
        await asyncio.sleep(0)

    events_ = record(main)

    assert [what(events_, s.task) for s in steps(events_)].count("main") >= 2
    assert hooks.installed is False


@pytest.mark.skipif(not is_native, reason="uvloop is wrapped natively")
def test_uvloop_is_recorded() -> None:
    """Steps, spawns, wakes and timers of uvloop's loops; its errors name what was called."""
    import uvloop

    told: list[dict[str, Any]] = []

    def fails() -> None:
        raise ValueError("on purpose")

    async def child() -> int:
        await asyncio.sleep(0)
        return 1

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: told.append(context))
        await asyncio.gather(child(), child())
        await asyncio.sleep(0.001)
        loop.call_soon(fails)
        await asyncio.sleep(0)

    events_ = record(main, run=uvloop.run)

    names = [what(events_, s.task) for s in steps(events_)]
    assert names.count("child") == 4
    assert "_set_result_unless_cancelled" in names
    assert "fails" in names
    assert "fails" in told[0]["message"]
    assert "call_soon" not in vars(uvloop.Loop)
