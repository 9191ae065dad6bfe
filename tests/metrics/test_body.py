"""The order of fields where annotations are not postponed: no `__future__` import here.

From Python 3.14 a class body's annotations are a function, which is called after the body ran.
"""

import tachograph as tg


class Unpostponed(tg.WideEvent):
    first: str
    second = tg.timer(unit=tg.Unit.MILLISECONDS)
    third: int = 0
    fourth: "float | None" = None
    fifth: list[str] = tg.metric(default_factory=list)
    sixth = tg.outcome()
    seventh: int


def test_fields_stand_in_the_order_of_the_body() -> None:
    """Bare annotations, assigned fields and instruments alike."""
    emitted = [field.emitted for field in Unpostponed.__wide_event__.fields]

    assert emitted == ["first", "second", "third", "fourth", "fifth", "sixth", "seventh"]
