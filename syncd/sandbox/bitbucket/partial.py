"""
Partial answers: the `fields` parameter (reference/bitbucket.md 8.3).

`a.b` alone builds the answer from the named fields only, `+a.b` adds one that the default answer leaves out, `-a.b` takes one away.
`*` stands for every default field of a level.
"""

from typing import Any


def wants_more(fields: str) -> bool:
    """Whether the parameter can ask for a field outside the default answer, so that the wide form must be rendered."""
    return any(part and not part.startswith("-") for part in fields.split(","))


def select(narrow: Any, wide: Any, fields: str) -> Any:
    """
    The answer that `fields` asks for.

    Args:
        narrow: the default answer.
        wide: the answer with everything that can be asked for; the same object when nothing more exists.
        fields: the parameter's value, decoded.

    Returns:
        A new structure; neither argument is changed.
    """
    parts = [part.strip() for part in fields.split(",") if part.strip()]
    only = [part.split(".") for part in parts if part[0] not in "+-"]
    extra = [part[1:].split(".") for part in parts if part[0] == "+"]
    less = [part[1:].split(".") for part in parts if part[0] == "-"]
    answer = narrow
    if only:
        answer = _pick(narrow, wide, only)
    for path in extra:
        answer = _add(answer, narrow, wide, path)
    for path in less:
        answer = _drop(answer, path)
    return answer


def _pick(narrow: Any, wide: Any, paths: list[list[str]]) -> Any:
    if isinstance(wide, list):
        narrow_items = narrow if isinstance(narrow, list) and len(narrow) == len(wide) else wide
        return [_pick(one, other, paths) for one, other in zip(narrow_items, wide, strict=True)]
    if not isinstance(wide, dict):
        return wide
    found: dict[str, Any] = {}
    default = narrow if isinstance(narrow, dict) else wide
    groups: dict[str, list[list[str]]] = {}
    for path in paths:
        for key in list(default) if path[0] == "*" else [path[0]]:
            groups.setdefault(key, []).append(path[1:])
    for key, rests in groups.items():
        if key not in wide:
            continue
        if any(not rest for rest in rests):
            found[key] = default.get(key, wide[key])
        else:
            found[key] = _pick(default.get(key, wide[key]), wide[key], rests)
    return found


def _add(answer: Any, narrow: Any, wide: Any, path: list[str]) -> Any:
    if isinstance(wide, list):
        if not isinstance(answer, list) or len(answer) != len(wide):
            return _pick(narrow, wide, [path])
        narrow_items = narrow if isinstance(narrow, list) and len(narrow) == len(wide) else wide
        return [_add(one, two, three, path) for one, two, three in zip(answer, narrow_items, wide, strict=True)]
    if not isinstance(wide, dict):
        return answer if answer is not None else wide
    result = dict(answer) if isinstance(answer, dict) else {}
    inner = narrow if isinstance(narrow, dict) else {}
    for key in list(wide) if path[0] == "*" else [path[0]]:
        if key not in wide:
            continue
        if len(path) == 1:
            result[key] = wide[key]
        elif key in result:
            result[key] = _add(result[key], inner.get(key), wide[key], path[1:])
        else:
            result[key] = _pick(inner.get(key, wide[key]), wide[key], [path[1:]])
    return result


def _drop(answer: Any, path: list[str]) -> Any:
    if isinstance(answer, list):
        return [_drop(one, path) for one in answer]
    if not isinstance(answer, dict):
        return answer
    hit = set(answer) if path[0] == "*" else {path[0]}
    if len(path) == 1:
        return {key: value for key, value in answer.items() if key not in hit}
    return {key: _drop(value, path[1:]) if key in hit else value for key, value in answer.items()}
