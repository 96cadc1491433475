"""The arguments of a control verb: taken by name, resolved to what they name, and none left over."""

from collections.abc import Callable, Mapping
from typing import Any

from syncd.sandbox.bitbucket.act import Act
from syncd.sandbox.bitbucket.world import Repository, User, Workspace, World

Verb = Callable[[Act, "Arguments"], Any]


class Arguments:
    """The arguments of one verb; each is taken once, and what is left over at the end is a mistake."""

    def __init__(self, verb: str, given: Mapping[str, Any], world: World) -> None:
        self._verb = verb
        self._given = dict(given)
        self._world = world

    def take(self, name: str, default: Any = ...) -> Any:
        """One argument; without a default it is required."""
        if name in self._given:
            return self._given.pop(name)
        if default is ...:
            raise ValueError(f"{self._verb}: the argument {name!r} is missing")
        return default

    def has(self, name: str) -> bool:
        """Whether an argument was given and not yet taken."""
        return name in self._given

    def user(self, name: str = "user", default: Any = ...) -> User:
        """An account by uuid, account id, e-mail address or nickname; without `user` the first account made."""
        named = self.take(name, None if default is ... and name == "user" else default)
        found = next(iter(self._world.users.values()), None) if named is None else self._world.find_user(str(named))
        if found is None:
            raise ValueError(f"{self._verb}: there is no user {named!r}; make one with add_user")
        return found

    def users(self, name: str) -> list[User]:
        """Several accounts; none when the argument is missing."""
        found = []
        for one in self.take(name, ()):
            user = self._world.find_user(one)
            if user is None:
                raise ValueError(f"{self._verb}: there is no user {one!r}; make one with add_user")
            found.append(user)
        return found

    def workspace(self) -> Workspace:
        """A workspace by slug or uuid; without the argument the first one."""
        named = self.take("workspace", None)
        found = (
            next(iter(self._world.workspaces.values()), None) if named is None else self._world.find_workspace(named)
        )
        if found is None:
            raise ValueError(f"{self._verb}: there is no workspace {named!r}; make one with add_workspace")
        return found

    def repository(self, name: str = "repository") -> Repository:
        """A repository by `slug` (of any workspace), `workspace/slug` or uuid, hidden or not."""
        named = str(self.take(name))
        for home in self._world.workspaces.values():
            for one in home.repositories.values():
                if named in (one.slug, one.full_name, one.uuid):
                    return one
        raise ValueError(f"{self._verb}: there is no repository {named!r}; make one with add_repository")

    def close(self) -> None:
        """Refuse what nobody took."""
        if self._given:
            raise ValueError(f"{self._verb}: unknown arguments {sorted(self._given)}")
