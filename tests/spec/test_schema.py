"""The JSON Schema that editors use says yes to what `load` accepts."""

import re
import tomllib
from pathlib import Path

import jsonschema
import pytest

from syncd.spec import schema
from tests.spec import world

VALIDATOR = jsonschema.Draft202012Validator(schema.json_schema())
EXAMPLES = sorted((world.ROOT / "config").glob("*.toml"))


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(schema.json_schema())


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_every_example_spec_validates(example: Path) -> None:
    VALIDATOR.validate(tomllib.loads(example.read_text(encoding="utf-8")))


def test_the_shortest_spec_validates() -> None:
    VALIDATOR.validate(tomllib.loads(world.HEAD + world.SYNC))


@pytest.mark.parametrize(
    "addition",
    [
        pytest.param("[sincs]\n", id="unknown table"),
        pytest.param('[daemon]\npoll = "two minutes"\n', id="duration"),
        pytest.param("[sync.features.guard]\nchanges = 30\n", id="share"),
        pytest.param('[sync.features.fields]\nA = { bitbucket = "pr.title", owner = "me" }\n', id="owner"),
        pytest.param('[airtable.other]\nbase = "app1"\ntoken = "hunter2"\n', id="secret in clear"),
        pytest.param('[[notify]]\nsink = "discord"\n', id="not yet supported"),
    ],
)
def test_the_schema_says_no_where_load_does(addition: str) -> None:
    assert not VALIDATOR.is_valid(tomllib.loads(world.HEAD + world.SYNC + addition))


def test_every_key_of_the_schema_is_in_the_example() -> None:
    text = (world.ROOT / "config/syncd.toml").read_text(encoding="utf-8")
    for name, model in schema.json_schema()["$defs"].items():
        for key in model["properties"]:
            assert re.search(rf"\b{key}\b", text), f"{name}.{key} is not explained in config/syncd.toml"


def test_what_is_not_supported_yet_is_a_key_of_no_model() -> None:
    for name, keys in schema.NOT_YET.items():
        model = getattr(schema, name)
        assert not keys & {info.alias or key for key, info in model.model_fields.items()}
