"""
What people and administrators do beside the API, and the true state: the verbs of `BitbucketMachine.control`.

Every verb takes its arguments by name; `=` shows a default, `?` that it may be left out. Where nothing else is said, `user` (an
account by nickname, e-mail address, uuid or account id; the first account made when left out) says who acts, `repository` is a slug,
`workspace/slug` or a uuid, and `workspace` a slug or a uuid, the first one made when left out. Times are those of the call.

| verb | arguments | gives |
|---|---|---|
| add_workspace | slug, name? | uuid, slug |
| add_user | nickname, display_name?, email=nickname@acme.dev, role=owner for the first, then member (None: no member), workspace? | uuid, account_id, nickname, email |
| rename_user, close_user | user; display_name?, nickname? | |
| add_token | kind=access: name=sync-bot, workspace? or repository?; kind=api: user; both: scopes? (None: all), secret?, expires_at? | token, uuid, user, email |
| revoke_token, restore_token | token | |
| add_consumer | user, scopes?, key?, secret? | key, secret |
| add_repository | name, slug?, workspace?, main=main, project?, description?, private=True, empty=False | state |
| rename_repository | repository, name?, description? | state |
| hide_repository, show_repository, delete_repository | repository | |
| fork | repository, name?, workspace? | state |
| push | repository, branch=main, commits=1 (number or messages), base? (hash or branch; main for a new branch), force=False, raw_author? | hash, hashes, branch |
| delete_branch, rename_branch | repository, branch; name | |
| merge_strategies | repository, branch, strategies | |
| tag, delete_tag | repository, name; target=main branch, message? (None: lightweight) | name, hash |
| set_status | repository, commit (hash or branch), key, state, url?, name?, description?, refname? | key, commit, state |
| add_environment | repository, name, type=name | uuid, name, type |
| deploy | repository, environment (name or uuid), commit=main, state=IN_PROGRESS, status? (given: COMPLETED at once) | uuid, commit |
| finish_deployment | repository, uuid, status=SUCCESSFUL | |
| run_pipeline | repository, branch=main, result? | uuid, number |
| add_hook | repository? (else the workspace), url, events, description?, active=True, secret? | uuid |
| edit_hook, delete_hook | repository?, uuid; url?, events?, description?, active?, secret?, skip_cert_verification? | |
| default_reviewers | repository, users | |
| next_merge | outcome: "202", "409", "555_done", "555_lost" or None, for the next merge over the API | |
| hourly_limit, consume | limit; token, calls=1 (a ghost client; gives what is left) | |
| create_pull_request | repository, source, destination?, title?, description?, reviewers?, draft=False, close_source_branch=False, fork?, in_page=False | state |
| edit_pull_request | repository, id, title?, description?, reviewers?, draft?, destination?, close_source_branch?, in_page=False | state |
| merge | repository, id, strategy?, message?, close_source_branch? | state |
| decline | repository, id, reason? | state |
| supersede, queue, unqueue | repository, id | |
| approve, unapprove, request_changes, withdraw_changes | repository, id | |
| conflict | repository, id, conflicted=True | |
| comment | repository, id, text, path?, to?, from?, parent? | id |
| edit_comment, delete_comment, resolve_comment, reopen_comment | repository, id, comment; text | |
| task | repository, id, text, comment? | id |
| edit_task, delete_task | repository, id, task; text?, state? | |

Reads, not logged: pull_request (repository, id), pull_requests, branches, repository (repository), hooks (repository? else the
workspace), statuses (repository, commit), log (since=0).
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
