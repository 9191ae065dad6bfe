"""The decorator: a record around each call of a function, coroutine or generator."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextvars import ContextVar
from typing import Any, TypeVar, cast

__all__ = ["scoped"]

_F = TypeVar("_F", bound=Callable[..., Any])


def scoped(make: Callable[[], Any]) -> Callable[[_F], _F]:
    """Return a decorator that opens the record of `make()` around each call.

    Args:
        make: Makes the record.
    """

    def decorate(function: _F) -> _F:
        around: Callable[[Any, Callable[[], Any]], Any]
        if inspect.isasyncgenfunction(function):
            around = _around_async_generator
        elif inspect.isgeneratorfunction(function):
            around = _around_generator
        elif inspect.iscoroutinefunction(function):
            around = _around_coroutine
        else:
            around = _around_function
        return cast("_F", functools.update_wrapper(around(function, make), function))

    return decorate


def _around_function(function: Callable[..., Any], make: Callable[[], Any]) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with make():
            return function(*args, **kwargs)

    return wrapper


def _around_coroutine(
    function: Callable[..., Awaitable[Any]], make: Callable[[], Any]
) -> Callable[..., Awaitable[Any]]:
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        with make():
            return await function(*args, **kwargs)

    return wrapper


# Between two items a generator's record is not current: the consumer has a context of its own, and
# there is one variable for both.


def _around_generator(
    function: Callable[..., Generator[Any, Any, Any]], make: Callable[[], Any]
) -> Callable[..., Generator[Any, Any, Any]]:
    def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        with make() as record:
            inner = function(*args, **kwargs)
            try:
                item = next(inner)
                while True:
                    _pause(record)
                    try:
                        sent = yield item
                    except GeneratorExit:
                        _resume(record)
                        inner.close()
                        raise
                    except BaseException as error:  # noqa: BLE001 -- thrown in by the consumer
                        _resume(record)
                        item = inner.throw(error)
                    else:
                        _resume(record)
                        item = inner.send(sent)
            except StopIteration as end:
                return end.value

    return wrapper


def _around_async_generator(
    function: Callable[..., AsyncGenerator[Any, Any]], make: Callable[[], Any]
) -> Callable[..., AsyncGenerator[Any, Any]]:
    async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        with make() as record:
            inner = function(*args, **kwargs)
            try:
                item = await anext(inner)
                while True:
                    _pause(record)
                    try:
                        sent = yield item
                    except GeneratorExit:
                        _resume(record)
                        await inner.aclose()
                        raise
                    except BaseException as error:  # noqa: BLE001 -- thrown in by the consumer
                        _resume(record)
                        item = await inner.athrow(error)
                    else:
                        _resume(record)
                        item = await inner.asend(sent)
            except StopAsyncIteration:
                return

    return wrapper


def _currents(record: Any) -> list[tuple[ContextVar[Any], Any]]:
    """Return each variable that a record sets, with what it sets it to, parents first."""
    info = type(record).__wide_event__
    found = [(info.variable, record)]
    for field in info.declared:
        if field.child is not None:
            found += _currents(getattr(record, field.attribute))
    return found


def _pause(record: Any) -> None:
    tokens = record._tokens  # noqa: SLF001
    if tokens is None:
        return
    for (variable, _), token in reversed(list(zip(_currents(record), tokens, strict=True))):
        with contextlib.suppress(ValueError):  # resumed in another context
            variable.reset(token)


def _resume(record: Any) -> None:
    if record._tokens is not None:  # noqa: SLF001
        tokens = tuple(variable.set(value) for variable, value in _currents(record))
        record._tokens = tokens  # noqa: SLF001
