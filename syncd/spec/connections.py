"""The tables [daemon], [airtable.x] and [bitbucket.x] of a spec as rules. Needs no network: clients are made from them."""

from pathlib import Path

from syncd.model.ids import AccountId, BaseId
from syncd.spec import events, locate, rules, schema
from syncd.spec.load import Spec
from syncd.spec.secret import Kind, Secret


def daemon(spec: Spec, state_directory: Path) -> rules.Daemon:
    """The table [daemon], with the state's path resolved."""
    table = spec.file.daemon
    return rules.Daemon(
        state=str(state_directory / table.state),
        admin=table.admin,
        hooks=table.hooks,
        public_url=table.public_url or "",
        poll=table.poll,
        compare_every=table.compare_every,
        repair_within=table.repair_within,
        retain_events=table.retain.events,
        retain_journal=table.retain.journal,
    )


def airtable(spec: Spec) -> dict[str, rules.AirtableConnection]:
    """Every connection [airtable.x]; needs no network, so that clients can be made before `resolve`."""
    return {
        name: rules.AirtableConnection(
            name=name,
            base=BaseId(table.base),
            token=_secret(spec, table.token, ("airtable", name, "token")),
            url=table.url,
            month=table.budget.month,
            share=table.budget.share,
        )
        for name, table in spec.file.airtable.items()
    }


def bitbucket(spec: Spec) -> dict[str, rules.BitbucketConnection]:
    """Every connection [bitbucket.x]; as `airtable`."""
    made: dict[str, rules.BitbucketConnection] = {}
    for name, table in spec.file.bitbucket.items():
        sources = tuple(
            rules.Source(
                repositories=None if source.repositories == ["*"] else tuple(source.repositories),
                events=events.expand(source.events),
                secrets=_source_secrets(spec, source, ("bitbucket", name, "sources", index, "secret")),
            )
            for index, source in enumerate(table.sources)
        )
        made[name] = rules.BitbucketConnection(
            name=name,
            workspace=table.workspace,
            token=_secret(spec, table.token, ("bitbucket", name, "token")),
            user=table.user or "",
            url=table.url,
            hour=table.budget.hour,
            share=table.budget.share,
            bots=tuple(AccountId(account) for account in table.bots),
            sources=sources,
        )
    return made


def _secret(spec: Spec, place: tuple[str, str], path: locate.Path) -> Secret:
    # A problem of nothing, for its place and key.
    where = spec.document.problem(path, "", show=False)
    kind, name = place
    return Secret(kind=Kind(kind), name=name, key=where.key, file=where.file, line=where.line, column=where.column)


def _source_secrets(spec: Spec, source: schema.Source, path: locate.Path) -> tuple[Secret, ...]:
    if len(source.secret) == 1:
        return (_secret(spec, source.secret[0], path),)
    return tuple(_secret(spec, place, (*path, index)) for index, place in enumerate(source.secret))
