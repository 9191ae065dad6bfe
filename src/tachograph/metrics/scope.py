"""The decorator: a record around each call of a function, coroutine or generator."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
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
# ruff: noqa: SLF001 -- a record and its scope are of one package


def _around_generator(
    function: Callable[..., Generator[Any, Any, Any]], make: Callable[[], Any]
) -> Callable[..., Generator[Any, Any, Any]]:
    def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        with make() as record:
            inner = function(*args, **kwargs)
            try:
                item = next(inner)
                while True:
                    record._pause()
                    try:
                        sent = yield item
                    except GeneratorExit:
                        record._resume()
                        inner.close()
                        raise
                    except BaseException as error:  # noqa: BLE001 -- thrown in by the consumer
                        record._resume()
                        item = inner.throw(error)
                    else:
                        record._resume()
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
                    record._pause()
                    try:
                        sent = yield item
                    except GeneratorExit:
                        record._resume()
                        await inner.aclose()
                        raise
                    except BaseException as error:  # noqa: BLE001 -- thrown in by the consumer
                        record._resume()
                        item = await inner.athrow(error)
                    else:
                        record._resume()
                        item = await inner.asend(sent)
            except StopAsyncIteration:
                return

    return wrapper
