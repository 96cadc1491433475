"""A failing scenario becomes the few events that matter."""

from syncd.simulate import shrink
from syncd.simulate.scenario import Net, Op, Scenario, Trouble


def test_only_what_breaks_the_promise_is_left() -> None:
    ops = tuple(Op(at_s=float(index), verb="edit", arguments={"record": index}) for index in range(12))
    big = Scenario(net=Net.SWEEP, choices=3, ops=ops, troubles=(Trouble(fault="AT03", kind="refuse"),))

    def breaks(tried: Scenario) -> frozenset[str]:
        both = {op.at_s for op in tried.ops} >= {3.0, 7.0}
        return frozenset({"I01"}) if both else frozenset()

    small = shrink.shrink(big, "I01", breaks)
    assert [op.at_s for op in small.ops] == [3.0, 7.0]
    assert small.troubles == ()
    assert (small.net, small.choices) == (Net.ALL, 0)


def test_another_promise_is_not_followed() -> None:
    big = Scenario(ops=(Op(at_s=1, verb="a"), Op(at_s=2, verb="b")))

    def breaks(tried: Scenario) -> frozenset[str]:
        return frozenset({"I01" if len(tried.ops) == 2 else "I02"})

    assert len(shrink.shrink(big, "I01", breaks).ops) == 2


def test_no_more_runs_than_allowed() -> None:
    runs = []

    def breaks(tried: Scenario) -> frozenset[str]:
        runs.append(tried)
        return frozenset({"I01"})

    shrink.shrink(Scenario(ops=tuple(Op(at_s=i, verb="x") for i in range(50))), "I01", breaks, runs_max=5)
    assert len(runs) <= 5


def test_it_ends_soon_after_the_last_event() -> None:
    big = Scenario(minutes=10, ops=(Op(at_s=70.0, verb="edit"), Op(at_s=500.0, verb="push")))

    def breaks(tried: Scenario) -> frozenset[str]:
        return frozenset({"I01"} if any(op.verb == "edit" for op in tried.ops) and tried.minutes >= 2 else ())

    small = shrink.shrink(big, "I01", breaks)
    assert [op.verb for op in small.ops] == ["edit"]
    assert small.minutes == 2
