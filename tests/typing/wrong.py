"""Mistakes that type checkers must find, each in the line that says so."""

from __future__ import annotations

import tachograph as tg


class Request(tg.WideEvent):
    request_id: str
    size: int = tg.metric(0, unit=tg.Unit.BYTES)
    duration = tg.timer(unit=tg.Unit.MILLISECONDS)


with Request(request_id="a") as event:
    event.sise = 5  # error
    event.size = "5"  # error
    print(event.requestid)  # error
    event.duration.stopp()  # error
    Request.current().sise = 5  # error

Request()  # error
Request("a")  # error
Request(request_id="a", sise=5)  # error
Request(request_id=5)  # error
