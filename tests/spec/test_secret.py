"""Secrets are places until they are read, and hide themselves after."""

from pathlib import Path

import pytest

from syncd import errors
from syncd.spec import secret
from syncd.spec.secret import Kind, Revealed, Secret


def a_secret(kind: Kind, name: str) -> Secret:
    return Secret(kind=kind, name=name, key="airtable.roadmap.token", file="syncd.toml", line=4, column=1)


def test_a_secret_is_read_from_its_place(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hunter2\r\n", encoding="utf-8")
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "airtable-token").write_text("hunter3\n", encoding="utf-8")
    environment = {"TOKEN": "hunter1", "CREDENTIALS_DIRECTORY": str(credentials)}
    assert secret.read(a_secret(Kind.ENV, "TOKEN"), environment, tmp_path).text == "hunter1"
    assert secret.read(a_secret(Kind.FILE, "token"), environment, tmp_path).text == "hunter2"
    assert secret.read(a_secret(Kind.FILE, str(tmp_path / "token")), environment, Path("/")).text == "hunter2"
    assert secret.read(a_secret(Kind.CREDENTIAL, "airtable-token"), environment, tmp_path).text == "hunter3"


def test_a_revealed_secret_never_shows_itself() -> None:
    revealed = Revealed("hunter2")
    assert "hunter2" not in f"{revealed} {revealed!r} {[revealed]}"


@pytest.mark.parametrize(
    ("kind", "name", "content", "told"),
    [
        pytest.param(Kind.ENV, "TOKEN", None, "environment variable TOKEN is not set", id="variable missing"),
        pytest.param(Kind.FILE, "token", None, "file token cannot be read: no such file", id="file missing"),
        pytest.param(Kind.CREDENTIAL, "token", None, "CREDENTIALS_DIRECTORY is not set", id="no credentials"),
        pytest.param(Kind.FILE, "token", b" \n", "file token is empty", id="empty"),
        pytest.param(Kind.FILE, "token", b"hunter2\nmore", "several lines", id="two lines"),
        pytest.param(Kind.FILE, "token", b"hunter2\xff", "not UTF-8", id="bytes"),
        pytest.param(Kind.FILE, "token", b"hunter2" * 3000, "larger than", id="wrong file"),
        pytest.param(Kind.FILE, ".", None, "cannot be read: is a directory", id="directory"),
    ],
)
def test_a_secret_that_cannot_be_read_is_named_and_not_shown(
    tmp_path: Path, kind: Kind, name: str, content: bytes | None, told: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(errors.SpecError) as caught:
        secret.read(a_secret(kind, name), {}, tmp_path)
    (problem,) = caught.value.problems
    assert told in problem.expected
    assert (problem.file, problem.line, problem.key) == ("syncd.toml", 4, "airtable.roadmap.token")
    assert "hunter2" not in repr(problem)


def test_the_place_in_the_spec_is_no_part_of_a_secret() -> None:
    assert a_secret(Kind.ENV, "TOKEN") == Secret(kind=Kind.ENV, name="TOKEN")
