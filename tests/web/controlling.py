"""A control without a daemon: remembers what it was asked, answers with one small, complete example of everything."""

from dataclasses import dataclass, field
from typing import Any

from syncd.web.control import Answer

RECORD = "recAAAAAAAAAAAAAA"

PLAN: Answer = {
    "sync": "features",
    "spec_hash": "5f1d",
    "at": "2026-11-21T08:00:00Z",
    "digest": "9c0ffee",
    "adoption": False,
    "refused": None,
    "totals": {"records": 3, "writes": 3, "actions": 1, "conflicts": 1, "pending": 1, "held": 1},
    "records": [
        {
            "record": RECORD,
            "name": "Login page",
            "state": "ok",
            "note": "",
            "status": "In Review",
            "changes": [
                {
                    "side": "airtable",
                    "what": "Status",
                    "before": "Ready",
                    "after": "In Review",
                    "owner": "bitbucket",
                    "rule": "status",
                    "reason": "an open pull request that is no draft",
                    "kind": "status",
                    "path": ["Ready", "In Progress", "In Review"],
                    "adoption": False,
                },
                {
                    "side": "airtable",
                    "what": "PR state",
                    "before": "",
                    "after": "Open",
                    "owner": "bitbucket",
                    "rule": "PR state",
                    "reason": "only bitbucket moved",
                    "kind": "cell",
                    "path": [],
                    "adoption": False,
                },
                {
                    "side": "bitbucket",
                    "what": "pr.title of web#12",
                    "before": "Log-in",
                    "after": "Login page",
                    "owner": "airtable",
                    "rule": "Name",
                    "reason": "foreign edit, reverted",
                    "kind": "attribute",
                    "path": [],
                    "adoption": True,
                },
            ],
            "actions": [
                {
                    "kind": "create_branch",
                    "rule": "cut the branch",
                    "reason": "status is Ready and there is no branch",
                    "object": "web: feature/recAAAAAAAAAAAAAA-login-page",
                }
            ],
            "conflicts": [],
            "refusals": [],
            "pending": [],
            "held": [],
        },
        {
            "record": "recBBBBBBBBBBBBBB",
            "name": "",
            "state": "conflict",
            "note": "both sides changed Reviewers",
            "status": None,
            "changes": [],
            "actions": [],
            "conflicts": [{"field": "Reviewers", "airtable": "ada", "bitbucket": "grace", "reason": "both moved"}],
            "refusals": [{"rule": "status", "reason": "nobody may go from Released to Planned"}],
            "pending": ["branches of api were not read yet"],
            "held": ["Details: until the launch"],
        },
    ],
}
EMPTY_PLAN: Answer = {
    **PLAN,
    "totals": dict.fromkeys(PLAN["totals"], 0),
    "records": [],
}
REFUSED_PLAN: Answer = {
    **PLAN,
    "refused": {
        "reason": "41 records would change, 30 % of 120 linked ones are allowed in 1h",
        "largest": ["recAAAAAAAAAAAAAA: 3 changes", "recBBBBBBBBBBBBBB: 1 change"],
    },
}
ADOPTION_PLAN: Answer = {**PLAN, "adoption": True}
STATUS: Answer = {
    "state": "degraded",
    "reasons": ["bitbucket acme cannot be reached since 07:58"],
    "version": "0.1.0",
    "spec_hash": "5f1d",
    "paused": {"to-bitbucket": "deploy"},
    "syncs": {
        "features": {
            "adoption": False,
            "records": 120,
            "linked": 40,
            "in_sync": 37,
            "pending": 1,
            "held": 1,
            "conflicts": 1,
            "errors": 0,
            "last_compare": "2026-11-21T07:50:00Z",
            "last_run": None,
            "lag_seconds": 3.5,
            "repair_time_seconds": 900,
        }
    },
    "queue": {"inbox": 0, "dirty": 2, "parked": 1},
    "quarantine": {
        "count": 7,
        "newest": [
            {
                "delivery": 41,
                "endpoint": "e1",
                "received_at": "2026-11-21T07:58:00Z",
                "event": "",
                "reason": "not JSON, or without the ids of a base and a webhook",
            },
            {
                "delivery": 40,
                "endpoint": "e2",
                "received_at": "2026-11-21T07:57:30Z",
                "event": "repo:push",
                "reason": "not JSON",
            },
        ],
    },
    "endpoints": {
        "e1": {
            "provider": "airtable",
            "subject": "Roadmap",
            "active": True,
            "last_delivery": "2026-11-21T07:59:00Z",
            "expires": "2026-11-28T07:59:00Z",
            "score": 1.0,
        }
    },
    "budgets": {"airtable month": {"limit": 60000, "used": 1200, "resets": "2026-12-01T00:00:00Z"}},
    "holds": [
        {"sync": "features", "record": "recBBBBBBBBBBBBBB", "field": "Details", "reason": "launch", "until": None}
    ],
}
CONFLICTS: Answer = {
    "conflicts": [
        {
            "sync": "features",
            "record": "recBBBBBBBBBBBBBB",
            "field": "Reviewers",
            "what": "pr.reviewers of web#12",
            "airtable": "ada",
            "bitbucket": "grace",
            "reason": "both sides changed within 2m",
        }
    ]
}
JOURNAL: Answer = {
    "rows": [
        {
            "sequence": 7,
            "run": "0199-run",
            "sync": "features",
            "at": "2026-11-21T08:00:01Z",
            "record": RECORD,
            "side": "airtable",
            "kind": "cells",
            "object": RECORD,
            "place": "PR state",
            "before": "",
            "after": "Open",
            "owner": "bitbucket",
            "rule": "PR state",
            "reason": "only bitbucket moved",
            "state": "applied",
            "error": "",
        }
    ]
}
RUNS: Answer = {
    "runs": [
        {"run": "0199-run", "sync": "features", "applied": 4, "refused": 0, "unknown": 0, "retried": 0, "records": 1}
    ],
    "plans_left": 0,
}


@dataclass
class FakeControl:
    """Answers from `answers` by method name, or raises what `trouble` holds for it."""

    asked: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)
    trouble: dict[str, Exception] = field(default_factory=dict)
    is_ready: tuple[bool, str] = (True, "")
    answers: dict[str, Answer] = field(
        default_factory=lambda: {
            "status": STATUS,
            "plan": {"plans": [PLAN]},
            "apply": RUNS,
            "conflicts": CONFLICTS,
            "journal": JOURNAL,
        }
    )

    def _answer(self, method: str, *arguments: Any) -> Answer:
        self.asked.append((method, arguments))
        if method in self.trouble:
            raise self.trouble[method]
        return self.answers.get(method, {"done": method})

    def ready(self) -> tuple[bool, str]:
        return self.is_ready

    def status(self) -> Answer:
        return self._answer("status")

    def plan(self, sync: str | None) -> Answer:
        return self._answer("plan", sync)

    def apply(self, sync: str | None, digest: str | None, accept: list[str]) -> Answer:
        return self._answer("apply", sync, digest, accept)

    def pause(self, scope: str, reason: str) -> Answer:
        return self._answer("pause", scope, reason)

    def resume(self, scope: str) -> Answer:
        return self._answer("resume", scope)

    def conflicts(self, sync: str | None) -> Answer:
        return self._answer("conflicts", sync)

    def resolve(self, sync: str, record: str, field: str, winner: str) -> Answer:
        return self._answer("resolve", sync, record, field, winner)

    def hold(self, sync: str, record: str, field: str | None, reason: str, until: str | None) -> Answer:
        return self._answer("hold", sync, record, field, reason, until)

    def unhold(self, sync: str, record: str, field: str | None) -> Answer:
        return self._answer("unhold", sync, record, field)

    def journal(self, sync: str | None, record: str | None, run: str | None, after: int, limit: int) -> Answer:
        return self._answer("journal", sync, record, run, after, limit)

    def compare(self, sync: str | None) -> Answer:
        return self._answer("compare", sync)

    def reload(self) -> Answer:
        return self._answer("reload")
