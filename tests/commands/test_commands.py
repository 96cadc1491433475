import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from syncd import errors
from syncd.commands import main as commands
from syncd.commands import remote, render
from syncd.web import admin, server
from syncd.web.control import read_token
from tests.commands.calling import Caller, FakeWiring, Relay, a_spec, daemon, golden, wire
from tests.web import controlling, listening
from tests.web.controlling import RECORD, FakeControl

# A port of the discard service, where nobody listens on a test machine.
NOBODY = "127.0.0.1:9"


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[Relay, int]]:
    with daemon() as found:
        yield found


@pytest.fixture
def control(running: tuple[Relay, int]) -> FakeControl:
    running[0].target = FakeControl()
    return running[0].target


@pytest.fixture
def syncd(
    running: tuple[Relay, int], control: FakeControl, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Caller:
    """`syncd` with a daemon running."""
    return Caller(capsys, a_spec(tmp_path, f"127.0.0.1:{running[1]}"))


@pytest.fixture
def wiring(monkeypatch: pytest.MonkeyPatch) -> FakeWiring:
    wiring = FakeWiring()
    wire(monkeypatch, wiring)
    return wiring


@pytest.fixture
def alone(wiring: FakeWiring, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Caller:
    """`syncd` without a daemon."""
    return Caller(capsys, a_spec(tmp_path, NOBODY))


# ------------------------------------------------------------------------------------------------------------ help


@pytest.mark.parametrize("name", commands.COMMANDS)
def test_help_reads_as_it_did_and_ends_with_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    result = Caller(capsys, Path())(name, "--help", spec=False)
    assert result.code == 0
    golden(f"help-{name}.txt", result.out)
    assert f"Example:\n    syncd {name}" in result.out


def test_the_overview_reads_as_it_did(capsys: pytest.CaptureFixture[str]) -> None:
    golden("help.txt", Caller(capsys, Path())("--help", spec=False).out)


@pytest.mark.parametrize("name", commands.COMMANDS)
def test_the_overview_says_of_a_command_what_its_help_says(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = " ".join(Caller(capsys, Path())(name, "--help", spec=False).out.split())
    assert text.partition("[OPTIONS]")[2].strip() or name == "schema"
    first = commands.COMMANDS[name].rstrip(".").split(",")[0].split(":")[0].split()[0]
    assert first in text


def test_help_loads_no_slow_library() -> None:
    """dependencies.md 16: `syncd --help` and completion stay quick."""
    program = (
        "import sys; from syncd.commands import main\n"
        "try: main.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print([name for name in ('pydantic', 'starlette', 'uvicorn', 'rich', 'sqlite3', 'requests', 'minijinja')"
        " if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["plan", "--nonsense"],
        ["resolve", "rec", "Field"],
        ["resolve", "rec", "Field", "--winner", "nobody"],
        ["hold", "rec"],
        ["journal", "--limit", "0"],
        ["plan", "--json", "--markdown"],
        ["apply", "--accept", "everything"],
    ],
)
def test_a_command_that_was_typed_wrong_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    result = Caller(capsys, Path())(*arguments, spec=False)
    assert (result.code, result.out) == (2, "")
    assert "Error:" in result.err


# ------------------------------------------------------------------------------------------------ with the daemon


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        (["status"], [("status", ())]),
        (["plan"], [("plan", (None,))]),
        (["plan", "--sync", "features"], [("plan", ("features",))]),
        (["apply"], [("apply", (None, None, []))]),
        (["apply", "--sync", "x", "--accept", "mass-change"], [("apply", ("x", None, ["mass-change"]))]),
        (["apply", "9c0ffee1", "--sync", "features"], [("apply", ("features", "9c0ffee1", []))]),
        (["apply", "9c0ffee1"], [("status", ()), ("status", ()), ("apply", ("features", "9c0ffee1", []))]),
        (["conflicts"], [("conflicts", (None,))]),
        (["conflicts", "--sync", "x"], [("conflicts", ("x",))]),
        (
            ["resolve", RECORD, "Reviewers", "--winner", "bitbucket", "--sync", "x"],
            [("resolve", ("x", RECORD, "Reviewers", "bitbucket"))],
        ),
        (
            ["resolve", RECORD, "Reviewers", "--winner", "airtable"],
            [("status", ()), ("resolve", ("features", RECORD, "Reviewers", "airtable"))],
        ),
        (["hold", RECORD, "--reason", "r", "--sync", "x"], [("hold", ("x", RECORD, None, "r", None))]),
        (
            ["hold", RECORD, "Details", "--reason", "r", "--sync", "x", "--until", "2026-12-01T18:00+01:00"],
            [("hold", ("x", RECORD, "Details", "r", "2026-12-01T17:00:00+00:00"))],
        ),
        (["unhold", RECORD, "Details", "--sync", "x"], [("unhold", ("x", RECORD, "Details"))]),
        (["journal"], [("journal", (None, None, None, 0, 100))]),
        (
            ["journal", "--sync", "s", "--record", "r", "--run", "x", "--after", "5", "--limit", "7"],
            [("journal", ("s", "r", "x", 5, 7))],
        ),
    ],
)
def test_a_command_asks_the_running_daemon(
    syncd: Caller, control: FakeControl, arguments: list[str], asked: list[Any]
) -> None:
    result = syncd(*arguments)
    assert (result.code, result.err) == (0, "")
    assert result.out
    assert control.asked == asked


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (["status"], controlling.STATUS),
        (["plan"], {"plans": [controlling.PLAN]}),
        (["apply"], controlling.RUNS),
        (["conflicts"], controlling.CONFLICTS),
        (["journal"], controlling.JOURNAL),
        (["resolve", RECORD, "F", "--winner", "airtable", "--sync", "x"], {"done": "resolve"}),
        (["hold", RECORD, "--reason", "r", "--sync", "x"], {"done": "hold"}),
        (["unhold", RECORD, "--sync", "x"], {"done": "unhold"}),
    ],
)
def test_with_json_the_answer_itself_is_printed(syncd: Caller, arguments: list[str], answer: dict[str, Any]) -> None:
    assert json.loads(syncd(*arguments, "--json").out) == answer


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.Refused("too many", next_step="syncd apply x --accept mass-change", largest=("rec1: 9",)), 7),
        (errors.UsageError("no such sync", next_step="syncd status"), 2),
        (errors.StoreError("disk full", next_step="make room"), 1),
        (errors.Unreachable("bitbucket is down", service="bitbucket", request="GET /x", next_step="wait"), 1),
        (errors.SpecError((errors.Problem(file="a", line=1, column=1, key="k", got="g", expected="e"),)), 2),
    ],
    ids=["refused", "usage", "store", "service", "spec"],
)
def test_an_error_of_the_daemon_is_shown_once_with_its_exit_code(
    syncd: Caller, control: FakeControl, error: errors.SyncdError, code: int
) -> None:
    control.trouble["plan"] = error
    result = syncd("plan")
    assert (result.code, result.out, result.err) == (code, "", render.error(error))


@pytest.mark.parametrize(
    ("plan", "code"),
    [(controlling.PLAN, 3), (controlling.EMPTY_PLAN, 0), (controlling.REFUSED_PLAN, 3)],
    ids=["changes", "nothing", "refused"],
)
def test_plan_tells_a_script_whether_there_is_something_to_do(
    syncd: Caller, control: FakeControl, plan: dict[str, Any], code: int
) -> None:
    control.answers["plan"] = {"plans": [plan]}
    assert syncd("plan", "--exit-code").code == code
    assert syncd("plan").code == 0


@pytest.mark.parametrize(("key", "code"), [("refused", 1), ("unknown", 1), ("retried", 1), ("applied", 0)])
def test_apply_ends_with_1_when_something_was_not_done(
    syncd: Caller, control: FakeControl, key: str, code: int
) -> None:
    control.answers["apply"] = {"runs": [{**controlling.RUNS["runs"][0], key: 1}], "plans_left": 0}
    assert syncd("apply").code == code


def test_a_saved_plan_is_applied_as_it_was_seen(syncd: Caller, control: FakeControl, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    assert syncd("plan", "--out", str(file)).code == 0
    assert syncd("apply", str(file)).code == 0
    assert control.asked[-1] == ("apply", ("features", "9c0ffee", []))
    wrong = syncd("apply", str(file), "--sync", "bugs")
    assert (wrong.code, wrong.err.splitlines()[0]) == (2, f"error: {file} holds no plan of bugs")


@pytest.mark.parametrize("content", [None, "no json", "[]", '{"plans": 1}', '{"plans": [{}]}'])
def test_what_is_no_plan_is_not_applied(
    syncd: Caller, control: FakeControl, tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "plan.json"
    if content is not None:
        file.write_text(content)
    result = syncd("apply", str(file))
    assert result.code == 2
    assert "next: syncd plan --out plan.json" in result.err
    assert control.asked == []


def test_a_digest_finds_the_sync_whose_plan_was_refused(syncd: Caller, control: FakeControl) -> None:
    syncs = {"a": {"refused_plan": ""}, "b": {"refused_plan": "9c0ffee1"}}
    control.answers["status"] = {**controlling.STATUS, "syncs": syncs}
    assert syncd("apply", "9c0ffee1", "--accept", "mass-change").code == 0
    assert control.asked[-1] == ("apply", ("b", "9c0ffee1", ["mass-change"]))


def test_which_sync_is_asked_when_there_are_several(syncd: Caller, control: FakeControl) -> None:
    control.answers["status"] = {**controlling.STATUS, "syncs": {"b": {}, "a": {}}}
    result = syncd("unhold", RECORD)
    assert (result.code, result.err) == (2, "error: which sync? There is: a, b\nnext: add --sync NAME\n")


@pytest.mark.parametrize("until", ["soon", "2026-13-01", ""])
def test_a_hold_until_no_time_is_refused_before_anything_is_asked(
    syncd: Caller, control: FakeControl, until: str
) -> None:
    result = syncd("hold", RECORD, "--reason", "r", "--until", until)
    assert result.code == 2
    assert control.asked == []


# --------------------------------------------------------------------------------------------- without the daemon


@pytest.mark.parametrize("arguments", [["status"], ["plan"], ["apply"], ["conflicts"]])
def test_without_a_daemon_the_state_itself_is_opened(alone: Caller, wiring: FakeWiring, arguments: list[str]) -> None:
    result = alone(*arguments, "--environment", "stage")
    assert result.code == 0
    assert wiring.asked == [("open_control", alone.config, "stage")]
    assert wiring.control.asked[-1][0] == arguments[0]


def test_a_state_that_somebody_else_holds_is_said(alone: Caller, wiring: FakeWiring) -> None:
    wiring.trouble = errors.StateInUse("the state is in use", next_step="stop the other daemon")
    result = alone("status")
    assert (result.code, result.err) == (1, "error: the state is in use\nnext: stop the other daemon\n")


def test_pause_and_resume_need_neither_daemon_nor_services(alone: Caller, wiring: FakeWiring) -> None:
    paused = alone("pause", "--reason", "deploy")
    assert (paused.code, paused.out) == (0, "paused  all: deploy\n")
    assert alone("pause", "sync.features").out == "paused  all: deploy\npaused  sync.features\n"
    assert wiring.switch.files == {"all": "deploy", "sync.features": ""}
    assert alone("resume").out == "paused  sync.features\n"
    again = alone("resume")
    assert (again.code, again.err) == (2, "error: all is not paused\nnext: syncd status\n")
    assert json.loads(alone("resume", "sync.features", "--json").out) == {"paused": {}}
    assert {call[0] for call in wiring.asked} == {"open_switch"}


def test_pause_asks_a_running_daemon_because_it_knows_where_its_state_is(
    syncd: Caller, control: FakeControl, wiring: FakeWiring
) -> None:
    """Files in the state directory of the user's shell would pause nothing."""
    control.answers["pause"] = {"paused": {"all": "deploy"}}
    assert syncd("pause", "--reason", "deploy").out == "paused  all: deploy\n"
    control.answers["resume"] = {"paused": {}}
    assert syncd("resume").out == "Nothing is paused.\n"
    assert control.asked == [("pause", ("all", "deploy")), ("resume", ("all",))]
    assert wiring.asked == []


def test_a_daemon_that_does_not_answer_is_paused_by_its_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], wiring: FakeWiring
) -> None:
    with listening.serving(other=_stranger) as where:
        result = Caller(capsys, a_spec(tmp_path, f"127.0.0.1:{where['other']}"))("pause")
    assert result.code == 0
    assert "its file is used" in result.err
    assert wiring.switch.files == {"all": ""}


@pytest.mark.parametrize("scope", ["everything", "sync.", "sync.a/../b", "to-jira", ""])
def test_what_is_no_scope_is_not_paused(alone: Caller, wiring: FakeWiring, scope: str) -> None:
    assert alone("pause", scope).code == 2
    assert wiring.switch.files == {}


def _a_problem(warning: bool) -> errors.Problem:
    return errors.Problem(file="a.toml", line=1, column=2, key="k", got="g", expected="e", warning=warning)


@pytest.mark.parametrize(
    ("problems", "code"),
    [
        ([], 0),
        ([_a_problem(True)], 0),
        ([_a_problem(True), _a_problem(False)], 2),
        (errors.SpecError((_a_problem(False),)), 2),
    ],
    ids=["none", "warning", "both", "raised"],
)
def test_check_lists_problems_and_ends_with_2_when_one_is_no_warning(
    alone: Caller, wiring: FakeWiring, problems: Any, code: int
) -> None:
    wiring.problems = problems
    result = alone("check", "--live")
    assert result.code == code
    found = problems.problems if isinstance(problems, errors.SpecError) else problems
    assert result.out == render.problems(found)
    assert wiring.asked == [("check", alone.config, "", True)]
    assert len(json.loads(alone("check", "--json").out)["problems"]) == len(found)


def test_run_ends_with_the_daemons_exit_status(alone: Caller, wiring: FakeWiring) -> None:
    wiring.exit_status = 1
    assert alone("run").code == 1
    assert wiring.asked == [("run_daemon", alone.config, "")]


def test_schema_prints_a_json_schema(capsys: pytest.CaptureFixture[str]) -> None:
    schema = json.loads(Caller(capsys, Path())("schema", spec=False).out)
    assert schema["title"] == "syncd spec"
    assert "daemon" in schema["properties"]


# -------------------------------------------------------------------------------------------------- the way there


def test_the_daemon_is_found_behind_a_unix_socket_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], wiring: FakeWiring
) -> None:
    address = server.Address(path=str(tmp_path / "s"))
    control = FakeControl()
    listeners = server.Listeners([server.Listener(name="admin", address=address, app=admin.build(control, address))])
    syncd = Caller(capsys, a_spec(tmp_path, str(address)))
    listeners.start()
    try:
        assert syncd("status").code == 0
        assert control.asked == [("status", ())]
    finally:
        listeners.stop()
    assert syncd("status").code == 0
    assert wiring.control.asked == [("status", ())]


def test_the_token_goes_along(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    guarded = admin.build(FakeControl(), server.Address(host="127.0.0.1", port=0), token="s3cret")
    with listening.serving(admin=guarded) as where:
        syncd = Caller(capsys, a_spec(tmp_path, f"127.0.0.1:{where['admin']}"))
        assert syncd("status").code == 2
        monkeypatch.setenv("SYNCD_ADMIN_TOKEN", "s3cret")
        assert syncd("status").code == 0


def test_the_token_is_a_variable_or_a_credential(tmp_path: Path) -> None:
    assert read_token({}) == ""
    assert read_token({"CREDENTIALS_DIRECTORY": str(tmp_path)}) == ""
    (tmp_path / "admin-token").write_text("from-file\n")
    assert read_token({"CREDENTIALS_DIRECTORY": str(tmp_path)}) == "from-file"
    assert read_token({"CREDENTIALS_DIRECTORY": str(tmp_path), "SYNCD_ADMIN_TOKEN": "from-variable"}) == "from-variable"


async def _stranger(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})


def test_something_else_at_the_address_is_not_taken_for_the_daemon(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with listening.serving(other=_stranger) as where:
        result = Caller(capsys, a_spec(tmp_path, f"127.0.0.1:{where['other']}"))("status")
    assert result.code == 2
    assert result.err.startswith("error: something that is not syncd answers at 127.0.0.1:")


def test_a_running_daemon_is_asked_although_the_spec_is_broken_meanwhile(syncd: Caller, control: FakeControl) -> None:
    syncd.config.write_text(syncd.config.read_text() + "nonsense = 1\n[sync.x]\n")
    assert syncd("status").code == 0
    assert control.asked == [("status", ())]


def test_a_spec_that_is_not_there_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = Caller(capsys, tmp_path / "missing.toml")("status")
    assert result.code == 2
    assert "missing.toml" in result.err


@pytest.mark.parametrize("text", ["version = 1\n", "version = 1\n[daemon]\nadmin = 5\n", "version = 1\ndaemon = 5\n"])
def test_without_a_usable_address_the_default_is_asked(tmp_path: Path, text: str) -> None:
    file = tmp_path / "spec.toml"
    file.write_text(text)
    assert remote.admin_address(file, "") == remote.DEFAULT_ADMIN
