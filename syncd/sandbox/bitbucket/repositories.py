"""Acts on a whole repository that both the API and people perform (reference/bitbucket.md 6.7)."""

import re

from syncd.sandbox.bitbucket.act import Act
from syncd.sandbox.bitbucket.errors import ApiError
from syncd.sandbox.bitbucket.render import Json, Renderer
from syncd.sandbox.bitbucket.world import Repository


def slug_of(name: str) -> str:
    """The slug that a repository of this name gets."""
    return re.sub(r"[^a-z0-9._]+", "-", name.lower()).strip("-")


def rename_repository(
    act: Act, repository: Repository, *, name: str | None = None, description: str | None = None
) -> None:
    """Give a repository another name, and with it another slug and addresses, or another description; the UUID stays."""
    before = (repository.name, repository.full_name, repository.description)
    slug = repository.slug if name is None else slug_of(name)
    if not slug:
        raise ApiError(400, "name: A name with letters or digits is required.")
    home = repository.workspace.repositories
    if slug != repository.slug and slug in home:
        raise ApiError(400, "Repository with this Slug and Owner already exists.")
    del home[repository.slug]
    repository.slug, repository.name = slug, repository.name if name is None else name
    repository.description = repository.description if description is None else description
    repository.updated_on = act.now
    home[slug] = repository
    after = (repository.name, repository.full_name, repository.description)
    if before == after:
        return
    for attribute, old, new in zip(("name", "full_name", "description"), before, after, strict=True):
        act.changed("repository", repository.uuid, attribute, old, new)

    def parts(to: Renderer) -> Json:
        changes: Json = {
            key: {"old": old, "new": new}
            for key, old, new in zip(("name", "full_name", "description"), before, after, strict=True)
        }
        changes |= {"website": {"old": "", "new": ""}, "language": {"old": "", "new": ""}}
        links = to.repository_small(repository)["links"]
        old_links = {
            key: {"href": value["href"].replace(after[1], before[1])} if key != "avatar" else value
            for key, value in links.items()
        }
        return {"changes": {**changes, "links": {"old": old_links, "new": links}}}

    act.emit("repo:updated", repository, parts)
