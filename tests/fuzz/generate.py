"""Texts made by grammar: expressions, templates and specs that are nearly right. Drawn from the `random.Random` handed in."""

from random import Random

from syncd.spec.attributes import ATTRIBUTES, PRIMARIES
from syncd.spec.syntax import FILTERS, LISTS, NAMES, QUANTIFIERS, STATEMENTS, TESTS

_LITERALS = (
    *('""', '"OPEN"', "'MERGED'", '"Ready"', '"\\ud83d\\ude00"', '"\\ud800"', '"9999-12-31"', '"2026-12-31T12:00:00Z"'),
    *("0", "1", "60", "-1", "1.5", "1e3", "0x1F", "1_000", "true", "false", "none", "[]", "{}", '{"a": {}}', "[1, 2]"),
)
_OPERATORS = ("and", "or", "==", "!=", "<", "<=", ">", ">=", "+", "-", "*", "/", "//", "%", "**", "~", "in", "not in")
_KEYS = tuple(sorted({entry.key for entry in ATTRIBUTES.values()}))
WORDS = (
    *(*NAMES, *QUANTIFIERS, *_KEYS, *_LITERALS, *_OPERATORS, *sorted(FILTERS), *sorted(TESTS), *sorted(STATEMENTS)),
    *("if", "else", "is", "is not", "not", "|", ".", ",", "(", ")", "[", "]", "{", "}", "{{", "}}", "{%", "%}", "{#"),
    *("#}", "-", "=", ":", '"', "'", "\\", " ", "\n", "loop", "raw", "endraw", "clear()", "__class__", "é", "\x00"),
)


def expression(random: Random, depth: int = 4) -> str:
    """An expression, mostly of the language."""
    if depth <= 0 or random.randint(0, 4) == 0:
        return _leaf(random)
    match random.randint(0, 8):
        case 0:
            return f"({expression(random, depth - 1)})"
        case 1:
            return f"not {expression(random, depth - 1)}"
        case 2:
            name = random.choice(sorted(FILTERS))
            arguments = random.choice(("", "", "(1)", '("a")', '("a", "b")', '(attribute="state")'))
            return f"{expression(random, depth - 1)}|{name}{arguments}"
        case 3:
            yes, when, no = (expression(random, depth - 1) for _ in range(3))
            return f"{yes} if {when} else {no}"
        case 4:
            return f"{expression(random, depth - 1)} is {random.choice(sorted(TESTS))}"
        case 5:
            return _question(random, depth)
        case _:
            return f"{expression(random, depth - 1)} {random.choice(_OPERATORS)} {expression(random, depth - 1)}"


def _leaf(random: Random) -> str:
    match random.randint(0, 6):
        case 0:
            return random.choice(_LITERALS)
        case 1:
            return random.choice(NAMES)
        case 2:
            return f"{random.choice(tuple(PRIMARIES))}.{random.choice(_KEYS)}"
        case 3:
            return random.choice(('record["Name"]', "record.Name", 'record["Due"]', 'record["x"]', "record"))
        case 4:
            return f"{random.choice(('now', 'today'))} {random.choice(('<', '>='))} {random.choice(('pr.merged_on', 'record.Due', _LITERALS[6], 'status.x'))}"
        case _:
            return _question(random, 1)


def _question(random: Random, depth: int) -> str:
    over = random.choice(tuple(LISTS))
    if depth > 1 and random.randint(0, 2) == 0:
        over = f'where({over}, {random.choice(_KEYS)}="OPEN")'
    arguments = "".join(
        f", {random.choice(_KEYS)}={random.choice(_LITERALS)}" for _ in range(random.choice((0, 1, 1, 2)))
    )
    return f"{random.choice(QUANTIFIERS)}({over}{arguments})"


# What makes more of what there is, every time that it stands somewhere.
_GROWING = (
    *("{A} ~ {A}", "[{A}, {A}]", "{A} * {A}", "{A} * 100000000", "{A} + {A}", "({A}, {A})", "{A}|list|string"),
    *("{A}|replace('', {A})", "{A}|join({A})", "[{A}] ~ ''", "{A}|split('a')|join({A})", "{A}|sort|string"),
)


def growing(random: Random) -> str:
    """A template in which names, loops and filters make ever more of a text."""
    made = "name"
    pieces: list[str] = []
    loops = 0
    # Mostly the same again and again; no more often than makes a gigabyte of what doubles.
    only = random.choice(((0,), (1,), (2,), (0, 1, 2, 3)))
    forms = random.choice((_GROWING, (random.choice(_GROWING),)))
    for at in range(random.randint(1, 16)):
        grown = random.choice(forms).replace("{A}", f"({made})" if only == (0,) else made) if len(made) < 200 else made
        match random.choice(only):
            case 0:
                made = grown
            case 1:
                pieces.append(f"{{% set a{at} = {grown} %}}")
                made = f"a{at}"
            case 2:
                pieces.append(f"{{% for a{at} in {random.choice((grown, f'[{grown}]', made))} %}}")
                made, loops = f"a{at}", loops + 1
            case _:
                pieces.append(f"{{{{ {grown} }}}}")
    return "".join(pieces) + f"{{{{ {made}|length }}}}" + "{% endfor %}" * loops


def template(random: Random) -> str:
    """A text with expressions and statements in it."""
    pieces: list[str] = []
    for _ in range(random.randint(1, 4)):
        inner = expression(random, 2)
        pieces.append(
            random.choice(
                (
                    "text ",
                    "{{ record_id }}",
                    f"{{{{ {inner} }}}}",
                    f"{{{{- {inner} -}}}}",
                    f'{{{{ {{"a": {inner}}} }}}}',
                    f"{{% if {inner} %}}a{{% else %}}b{{% endif %}}",
                    f"{{% for x in prs %}}{{{{ x.{random.choice(_KEYS)} }}}}{{{{ loop.index }}}}{{% endfor %}}",
                    f"{{% set y = {inner} %}}{{{{ y }}}}",
                    f"{{# {inner} #}}",
                    f"{{% raw %}}{{{{ {inner} }}}}{{% endraw %}}",
                )
            )
        )
    return "".join(pieces)


_SCALARS = (
    *(
        "1",
        "-0.5",
        "true",
        '""',
        '"x"',
        "[]",
        "{}",
        "[[1]]",
        "2026-01-01",
        "2026-01-01T00:00:00Z",
        "nan",
        "inf",
        "0x" + "f" * 40,
    ),
    *(
        '"30%"',
        '"5s"',
        '"127.0.0.1:1"',
        '"https://a"',
        '{ env = "X" }',
        '{ file = "a" }',
        '["a", 1]',
        "'''a\nb'''",
        '"\\u0000"',
    ),
    *(
        '"pr.title"',
        '"pr.state"',
        '"airtable"',
        '"bitbucket"',
        '"both"',
        '"ask"',
        '"Planned"',
        '"app1"',
        '"feature/{{ record_id }}"',
    ),
)
_TABLES = (
    *("daemon", "daemon.retain", "airtable.a", "airtable.a.budget", "bitbucket.b", "bitbucket.b.budget", "sync.s"),
    *(
        "sync.s.airtable",
        "sync.s.link",
        "sync.s.fields",
        "sync.s.status",
        "sync.s.actions.x",
        "sync.s.record",
        "sync.s.guard",
    ),
    *("sync.s.create_in", "sync.s.create_in.map", "people.team", 'sync.s.fields."Na me"', "a.b.c.d.e.f.g"),
)
_ARRAYS = ("bitbucket.b.sources", "notify", "sync.s.status.transitions", "sync.s.fields.x")
_NAMES = (
    *("version", "state", "admin", "hooks", "public_url", "poll", "events", "journal", "base", "token", "url", "month"),
    *(
        "workspace",
        "user",
        "bots",
        "repositories",
        "secret",
        "table",
        "view",
        "where",
        "field",
        "map",
        "branch",
        "title",
    ),
    *("owner", "value", "bitbucket", "airtable", "conflict", "states", "initial", "from", "to", "when", "transitions"),
    *(
        "create_branch",
        "create_pull_request",
        "hold",
        "changes",
        "floor",
        "window",
        '"quoted key"',
        "a.b",
        "sync",
        "''",
    ),
)
SPEC_WORDS = (
    *_SCALARS,
    *_NAMES,
    *(f"[{name}]\n" for name in _TABLES),
    *(f"[[{name}]]\n" for name in _ARRAYS),
    "=",
    "\n",
    "#",
)


def spec(random: Random) -> str:
    """A spec file, mostly TOML and mostly wrong."""
    lines = ["version = 1"] if random.randint(0, 5) else []
    for _ in range(random.randint(1, 8)):
        lines.append(f"[{random.choice(_TABLES)}]" if random.randint(0, 3) else f"[[{random.choice(_ARRAYS)}]]")
        for _ in range(random.randint(0, 4)):
            lines.append(f"{random.choice(_NAMES)} = {_scalar(random)}")
    return "\n".join(lines) + "\n"


def _scalar(random: Random) -> str:
    if random.randint(0, 3) == 0:
        return "'" + expression(random, 2).replace("'", '"').replace("\n", " ") + "'"
    if random.randint(0, 5) == 0:
        return f"{{ {random.choice(_NAMES)} = {random.choice(_SCALARS)}, {random.choice(_NAMES)} = {random.choice(_SCALARS)} }}"
    return random.choice(_SCALARS)
