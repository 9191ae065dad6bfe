"""The decorator: a record around each call of a function, coroutine or generator."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any, TypeVar

__all__ = ["scoped"]

_F = TypeVar("_F", bound=Callable[..., Any])


def scoped(make: Callable[[], Any], info: Any) -> Callable[[_F], _F]:
    """Return a decorator that opens the record of `make()` around each call.

    Args:
        make: Makes the record.
        info: Of its class; holds the variable that makes a record current.
    """

    def decorate(function: _F) -> _F:
        wrapper: Any
        if inspect.isasyncgenfunction(function):
            wrapper = _around_async_generator(function, make)
        elif inspect.isgeneratorfunction(function):
            wrapper = _around_generator(function, make)
        elif inspect.iscoroutinefunction(function):

            async def wrapper(*args: Any, **kwargs: Any) -> Any:
                with make():
                    return await function(*args, **kwargs)
        else:

            def wrapper(*args: Any, **kwargs: Any) -> Any:
                with make():
                    return function(*args, **kwargs)

        functools.update_wrapper(wrapper, function)
        return wrapper

    return decorate


def _around_generator(
    function: Callable[..., Generator[Any, Any, Any]], make: Callable[[], Any]
) -> Callable[..., Generator[Any, Any, Any]]:
    def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        with make():
            return (yield from function(*args, **kwargs))

    return wrapper


def _around_async_generator(
    function: Callable[..., AsyncGenerator[Any, Any]], make: Callable[[], Any]
) -> Callable[..., AsyncGenerator[Any, Any]]:
    async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        with make():
            inner = function(*args, **kwargs)
            try:
                item = await anext(inner)
                while True:
                    try:
                        sent = yield item
                    except GeneratorExit:
                        await inner.aclose()
                        raise
                    except BaseException as error:  # noqa: BLE001 -- thrown in by the consumer
                        item = await inner.athrow(error)
                    else:
                        item = await inner.asend(sent)
            except StopAsyncIteration:
                return

    return wrapper
