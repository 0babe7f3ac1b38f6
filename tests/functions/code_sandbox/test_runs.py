"""What a program gets, what it gives, and what it may take."""

from __future__ import annotations

import json
import time

import pytest
from pydantic import ValidationError

from shared.models.code import CodeFile, CodeOutcome, CodeRequest, Limit, Limits, RunStatus
from tests.functions.code_sandbox.conftest import Runner

EXAMPLES = {
    "python": "result = {'sum': sum(row['amount'] for row in input_data['rows'])}\nprint('done')",
    "javascript": "result = {sum: input_data.rows.reduce((sum, row) => sum + row.amount, 0)}\nconsole.log('done')",
}


@pytest.mark.parametrize("language", EXAMPLES)
def test_json_goes_in_and_json_comes_out(run: Runner, language: str) -> None:
    outcome = run(language, EXAMPLES[language], input_data={"rows": [{"amount": 3}, {"amount": 4.5}]})
    assert (outcome.status, outcome.result, outcome.stdout) == (RunStatus.COMPLETED, {"sum": 7.5}, "done\n")
    assert outcome.error is None
    assert outcome.usage.cpu_ms > 0
    assert outcome.usage.memory_bytes > 2**20
    assert outcome.usage.output_bytes == 5
    assert "WebAssembly" in outcome.runtime


@pytest.mark.parametrize(
    "value", [None, True, 0, -1.5, "é\u2028\U0001f600", [], {}, {"a": [{"b": None}]}, 2**53 - 1, 1e300]
)
@pytest.mark.parametrize(
    ("language", "code"), [("python", "result = input_data"), ("javascript", "result = input_data")]
)
def test_every_kind_of_value_goes_through(run: Runner, language: str, code: str, value: object) -> None:
    assert run(language, code, input_data=value).result == value


@pytest.mark.parametrize(
    ("language", "code", "kind", "message", "line"),
    [
        ("python", "x = 1\nx / 0", "ZeroDivisionError", "division by zero", 2),
        ("python", "def f():\n  raise KeyError('é')\nf()", "KeyError", "'é'", 2),
        ("python", "x = (", "SyntaxError", "'(' was never closed (code.py, line 1)", 1),
        ("javascript", "let x;\nx.y", "TypeError", "cannot read property 'y' of undefined", 2),
        ("javascript", "\n\nthrow new RangeError('é')", "RangeError", "é", 3),
        ("javascript", "let x = ;", "SyntaxError", "unexpected token in expression: ';'", 1),
        ("javascript", "await Promise.reject(new Error('late'))", "Error", "late", 1),
    ],
)
def test_an_error_is_told_with_its_type_its_text_and_its_line(
    run: Runner, language: str, code: str, kind: str, message: str, line: int
) -> None:
    outcome = run(language, code)
    assert outcome.status == RunStatus.FAILED
    assert outcome.error is not None
    assert (outcome.error.type, outcome.error.message, outcome.error.line) == (kind, message, line)
    assert kind in outcome.stderr
    assert "driver" not in outcome.stderr
    assert "prelude" not in outcome.stderr


def test_print_and_the_result_are_apart(run: Runner) -> None:
    outcome = run("python", "import sys; print('R{}'); print('err', file=sys.stderr); result = {'a': 1}")
    assert (outcome.stdout, outcome.stderr, outcome.result) == ("R{}\n", "err\n", {"a": 1})


def test_files_are_given_and_come_back_when_new_or_changed(run: Runner) -> None:
    given = (CodeFile(path="in/a.csv", content=b"1,2\n"), CodeFile(path="b.bin", content=b"\xff\x00"))
    code = {
        "python": "open('out.txt', 'w').write(open('in/a.csv').read() * 2)\n"
        "f = open('b.bin', 'ab'); f.write(b'\\x01')  # not closed: an interpreter sees to it at its end",
        "javascript": "files.write('out.txt', files.read('in/a.csv').repeat(2));"
        "files.write('b.bin', new Uint8Array([...files.readBytes('b.bin'), 1]))",
    }
    for language, source in code.items():
        outcome = run(language, source, files=given)
        assert outcome.status == RunStatus.COMPLETED, outcome
        assert {file.path: file.content for file in outcome.artifacts} == {
            "b.bin": b"\xff\x00\x01",
            "out.txt": b"1,2\n1,2\n",
        }


def test_a_folder_works_as_folders_do(run: Runner) -> None:
    code = """
import os, shutil, tempfile, csv, json
os.makedirs('a/b')
with open('a/b/c.csv', 'w', newline='') as f:
    csv.writer(f).writerows([[1, 2], [3, 4]])
os.rename('a/b', 'd')
with open('d/c.csv', 'r+') as f:
    f.seek(0, 2); f.write('5,6'); f.seek(0); text = f.read()
with tempfile.NamedTemporaryFile() as f:
    f.write(b'x')
shutil.copy('d/c.csv', 'copy.csv')
os.truncate('copy.csv', 3)
os.mkdir('empty'); os.rmdir('empty')
stat = os.stat('d/c.csv')
result = [text.split(), sorted(os.listdir('.')), [[top, sorted(dirs), names] for top, dirs, names in os.walk('.')],
          stat.st_size, open('copy.csv').read(), os.path.isdir('a'), os.path.isfile('d/c.csv')]
shutil.rmtree('d')
"""
    outcome = run("python", code)
    assert outcome.result == [
        ["1,2", "3,4", "5,6"], ["a", "copy.csv", "d"],
        [[".", ["a", "d"], ["copy.csv"]], ["./a", [], []], ["./d", [], ["c.csv"]]],
        13, "1,2", True, True,
    ]  # fmt: skip
    assert [file.path for file in outcome.artifacts] == ["copy.csv"]


def test_variables_are_the_environment(run: Runner) -> None:
    given = {"REGION": "eu", "EMPTY": ""}
    assert run("python", "import os; result = dict(os.environ)", variables=given).result == given
    assert run("javascript", "result = env", variables=given).result == given


def test_with_a_clock_time_stands_still_and_sleeping_moves_it_at_once(run: Runner) -> None:
    start = time.monotonic()
    code = (
        "import time, datetime as d; a = time.time(); time.sleep(3600); result = [a, time.time(), d.date.today().year]"
    )
    assert run("python", code, clock=86400.0).result == [86400.0, 90000.0, 1970]
    code = (
        "const a = Date.now(); await new Promise((done) => setTimeout(done, 3600e3));"
        "result = [a, Date.now(), new Date().toISOString()]"
    )
    assert run("javascript", code, clock=86400.0).result == [86400000, 90000000, "1970-01-02T01:00:00.000Z"]
    assert time.monotonic() - start < 10
    real = run("python", "import time; result = [time.time(), time.monotonic_ns() % 1000000]").result
    assert abs(real[0] - time.time()) < 60
    assert real[1] == 0  # no finer than milliseconds


def test_with_a_seed_randomness_repeats(run: Runner) -> None:
    code = {"python": "import random, uuid, os; result = [random.random(), str(uuid.uuid4()), os.urandom(4).hex()]",
            "javascript": "result = [Math.random(), Math.random()]"}  # fmt: skip
    for language, source in code.items():
        one, same, other = (run(language, source, seed=seed).result for seed in (7, 7, 8))
        assert one == same != other


def test_javascript_has_promises_timers_and_top_level_await(run: Runner) -> None:
    code = """
const order = [];
setTimeout(() => order.push('later'), 20);
setTimeout(() => order.push('soon'), 5);
const ticking = setInterval(() => { if (order.push('tick') > 5) clearInterval(ticking) }, 10);
order.push(await Promise.resolve('first'));
clearTimeout(setTimeout(() => order.push('never'), 1));
result = order
"""
    outcome = run("javascript", code)
    assert outcome.result[:3] == ["first", "soon", "tick"]
    assert {"later", "tick"} <= set(outcome.result)
    assert "never" not in outcome.result


def test_what_was_said_before_the_end_is_kept(run: Runner) -> None:
    for language, code in {
        "python": "print('so far')\nwhile True: pass",
        "javascript": "console.log('so far'); for (;;);",
    }.items():
        outcome = run(language, code, limits={"wall_seconds": 0.4})
        assert (outcome.limit, outcome.stdout) == (Limit.WALL, "so far\n")
        assert 400 <= outcome.usage.wall_ms < 900
        assert 0 < outcome.usage.cpu_ms < 1000


def test_each_limit_is_the_one_asked_for(run: Runner) -> None:
    def limit(code: str, **limits: float) -> Limit | None:
        return run("python", code, limits=limits).limit

    assert limit("x = bytearray(100 * 2**20)", memory_mb=64) == Limit.MEMORY
    assert limit("x = bytearray(100 * 2**20)", memory_mb=200) is None
    assert limit("print('x' * 99)", output_bytes=100) is None
    assert limit("print('x' * 100)", output_bytes=100) == Limit.OUTPUT
    assert limit("result = 'x' * 98", result_bytes=100) is None
    assert limit("result = 'x' * 99", result_bytes=100) == Limit.RESULT
    assert limit("for n in range(3): open(str(n), 'w').close()", files=3) is None
    assert limit("for n in range(4): open(str(n), 'w').close()", files=3) == Limit.FILES
    assert limit("open('x', 'wb').write(bytes(100))", file_bytes=100) is None
    assert limit("open('x', 'wb').write(bytes(101))", file_bytes=100) == Limit.FILES
    assert limit("def f(n): return n and f(n - 1)\nf(100)", recursion=200) is None
    assert limit("def f(n): return n and f(n - 1)\nf(300)", recursion=200) == Limit.RECURSION
    assert limit("#" * 10, code_bytes=10) is None
    assert limit("é" * 6, code_bytes=10) == Limit.CODE_SIZE
    kept = run("python", "print('x' * 500)", limits={"output_bytes": 100})
    assert (len(kept.stdout), kept.usage.output_bytes) == (100, 501)


def test_files_given_count_and_may_not_contradict_each_other(run: Runner) -> None:
    two = (CodeFile(path="a", content=b"12"), CodeFile(path="b", content=b"34"))
    assert run("python", "", files=two, limits={"file_bytes": 3}).limit == Limit.FILES
    assert run("python", "", files=two, limits={"files": 1}).limit == Limit.FILES
    clash = (CodeFile(path="a", content=b""), CodeFile(path="a/b", content=b""))
    assert run("python", "", files=clash).limit == Limit.FILES
    assert run("python", "", files=two, limits={"files": 2, "file_bytes": 4}).status == RunStatus.COMPLETED


def test_a_run_may_not_ask_for_more_than_is_allowed_here(run: Runner) -> None:
    outcome = run("python", "", limits={"memory_mb": 1024})
    assert outcome.limit == Limit.MEMORY
    assert outcome.error is not None
    assert "MILLRACE_SANDBOX_MEMORY_MB" in outcome.error.message


@pytest.mark.parametrize(
    "wrong",
    [
        {"language": "bash"},
        {"code": "\ud800"},
        {"limits": {"wall_seconds": 61}},
        {"limits": {"colour": 1}},
        {"files": [{"path": "../x", "content": ""}]},
        {"files": [{"path": "/x", "content": ""}]},
        {"files": [{"path": "x", "content": "no base64!"}]},
        {"seed": -1},
        {"network": True},
    ],
)
def test_a_request_that_makes_no_sense_is_no_request(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        CodeRequest.model_validate({"language": "python", "code": ""} | wrong)


def test_requests_and_outcomes_survive_json(run: Runner) -> None:
    request = CodeRequest(
        language="python",
        code="open('x', 'wb').write(b'\\xff')",
        files=(CodeFile(path="a", content=b"\x00\xff"),),
        limits=Limits(wall_seconds=1),
    )
    assert CodeRequest.model_validate(json.loads(request.model_dump_json())) == request
    outcome = run("python", request.code, files=request.files)
    assert CodeOutcome.model_validate(json.loads(outcome.model_dump_json())) == outcome
    assert json.loads(outcome.model_dump_json())["artifacts"] == [{"path": "x", "content": "/w=="}]
