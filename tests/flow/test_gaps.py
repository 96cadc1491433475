"""A gap that becomes known while both sides are being compared leads to another compare."""

from pathlib import Path
from typing import Any

from syncd.flow import full_compare
from syncd.sandbox.wire import Request, Response
from tests.flow.house import MINUTE, Lab


def test_a_gap_reported_during_a_compare_is_compared_again(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.adopt()
    context = lab.crew.workers[0].context
    inner = lab.airtable.inner
    handle = inner.handle
    listings: list[str] = []

    def gap(request: Request, *more: Any, **named: Any) -> Response:
        if request.path.endswith("/listRecords"):
            listings.append(request.path)
            if len(listings) == 1:
                full_compare.forget(context, base=context.sync.base)
        return handle(request, *more, **named)

    inner.handle = gap  # type: ignore[method-assign]
    lab.control.compare("features")
    lab.run(MINUTE)
    assert len(listings) == 2
    assert full_compare.last(context) is not None
