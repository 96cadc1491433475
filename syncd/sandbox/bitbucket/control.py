"""
What people and administrators do beside the API, and the true state: the verbs of `BitbucketMachine.control`.

Every verb is a function of an act and its arguments. `user` (the first account made when left out) says who acts.
"""

from syncd.sandbox.bitbucket import control_accounts, control_code, control_services, control_work
from syncd.sandbox.bitbucket.arguments import Verb

VERBS: dict[str, Verb] = {
    **control_accounts.VERBS,
    **control_code.VERBS,
    **control_services.VERBS,
    **control_work.VERBS,
}
"""Verbs that act; each is logged."""

READS: dict[str, Verb] = {**control_code.READS, **control_services.READS, **control_work.READS}
"""Verbs that only tell the true state; not logged."""

ADMINISTRATIVE = frozenset(control_accounts.VERBS)
"""Acting verbs without a person behind them."""
