"""Full compares obey the budgets: a wish that the month cannot afford is stretched, not served until nothing is left."""

from datetime import timedelta
from pathlib import Path

from tests.flow.house import Lab

DAY = timedelta(days=1)


def _short(text: str) -> str:
    for wish, other in (("month = 100000", "month = 3000"), ('compare_every = "15m"', 'compare_every = "1m"')):
        assert wish in text
        text = text.replace(wish, other)
    return text


def test_compares_lie_as_far_apart_as_the_month_allows(tmp_path: Path) -> None:
    lab = Lab(tmp_path, edit=_short)
    lab.adopt()
    compared = set()
    for _ in range(24):
        lab.run(timedelta(minutes=10))
        compared.add(lab.status()["syncs"]["features"]["last_compare"])
    # 1800 calls a month are ours, half of them for compares of one call: one in 48 minutes.
    assert len(compared) in {5, 6}
