"""Queues deliver bells at once and as SQS would: batches, partial failures, visibility, dead letters, delays."""

from __future__ import annotations

import json
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.local.queues import MAX_MESSAGE_BYTES, BellSocket, MessageTooLargeError, Queue, failed_items
from infra.local.runtime import Function
from shared import records
from shared.doorbell import SocketDoorbell
from tests.infra.local.conftest import Workbench, until

RECORDED = json.loads((Path(__file__).parents[2] / "events" / "sqs_bells.json").read_text())

#: Appends each event it gets to a file, one line each, and fails the records whose body holds "bad".
KEEPER = """
    import json
    def handler(event, context):
        with open({path!r}, "a") as file:
            file.write(json.dumps(event) + "\\n")
        failed = [r["messageId"] for r in event["Records"] if "bad" in r["body"]]
        return {{"batchItemFailures": [{{"itemIdentifier": id}} for id in failed]}}
"""


class Kept:
    """What a function wrote down."""

    def __init__(self, bench: Workbench, tmp_path: Path) -> None:
        self.path = tmp_path / "events"
        self.function: Function = bench.function(KEEPER.format(path=str(self.path)))

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.path.read_text().splitlines()] if self.path.exists() else []

    @property
    def bodies(self) -> list[Any]:
        return [json.loads(record["body"]) for event in self.events for record in event["Records"]]


@pytest.fixture
def kept(bench: Workbench, tmp_path: Path) -> Kept:
    return Kept(bench, tmp_path)


@pytest.fixture
def bells(bench: Workbench, tmp_path: Path) -> Iterator[Callable[[Queue], SocketDoorbell]]:
    """Gives a queue its socket; a doorbell as the functions have it."""
    sockets: list[BellSocket] = []
    doorbell = SocketDoorbell(tmp_path)

    def listen(queue: Queue) -> SocketDoorbell:
        sockets.append(bench.do(lambda: BellSocket(tmp_path, queue.name, queue.ring)))
        return doorbell

    yield listen
    doorbell.close()
    for one in sockets:
        bench.do(one.close)


def test_a_bell_becomes_the_event_that_sqs_sends(
    bench: Workbench, kept: Kept, bells: Callable[[Queue], SocketDoorbell]
) -> None:
    queue = bench.queue("workflow-run")
    bench.mapping(queue, kept.function)
    id_ = str(uuid.uuid4())
    bells(queue).ring("workflow-run", [id_])
    until(lambda: kept.events)
    (event,) = kept.events
    (record,) = event["Records"]
    assert set(record) == set(RECORDED["Records"][0])
    assert set(record["attributes"]) == set(RECORDED["Records"][0]["attributes"])
    assert records.bells(event) == ({record["messageId"]: id_}, [])
    assert record["attributes"]["ApproximateReceiveCount"] == "1"
    assert record["eventSourceARN"].endswith(":workflow-run")
    until(lambda: not len(queue))


def test_a_bell_reaches_a_waiting_process_within_milliseconds(
    bench: Workbench, bells: Callable[[Queue], SocketDoorbell], tmp_path: Path
) -> None:
    path = str(tmp_path / "heard")
    function = bench.function(
        f"import time\ndef handler(event, context):\n    open({path!r}, 'a').write(f'{{time.time()}}\\n')"
    )
    queue = bench.queue()
    bench.mapping(queue, function)
    doorbell = bells(queue)
    delays = []
    for n in range(30):
        rung = time.time()
        doorbell.ring("bells", [str(n)])
        until(lambda: Path(path).exists() and len(Path(path).read_text().splitlines()) > n)  # noqa: B023
        delays.append(float(Path(path).read_text().splitlines()[-1]) - rung)
    assert sorted(delays)[15] < 0.01, delays  # alone on a machine: 0.4 ms


def test_a_burst_of_bells_loses_none(bench: Workbench, bells: Callable[[Queue], SocketDoorbell]) -> None:
    queue = bench.queue()
    doorbell = bells(queue)
    doorbell.ring("bells", [str(n) for n in range(300)])
    assert not doorbell.missed
    until(lambda: len(queue) == 300)


def test_what_waits_goes_together_up_to_the_batch_size(bench: Workbench, kept: Kept) -> None:
    queue = bench.queue()
    mapping = bench.mapping(queue, kept.function, batch_size=10, concurrency=1)
    bench.do(lambda: [queue.ring(f"{n}") for n in range(25)])
    until(lambda: len(kept.bodies) == 25)
    assert [len(event["Records"]) for event in kept.events] == [10, 10, 5]
    assert [body["id"] for body in kept.bodies] == [str(n) for n in range(25)]
    until(lambda: mapping.running == 0)


def test_a_bell_for_an_id_that_waits_already_is_not_queued_twice(bench: Workbench, kept: Kept) -> None:
    queue = bench.queue()
    bench.do(lambda: [queue.ring(id_) for id_ in ("a", "b", "a", "a", "b")])
    assert len(queue) == 2
    bench.mapping(queue, kept.function)
    bench.do(lambda: queue.ring("c"))
    until(lambda: len(kept.bodies) == 3)
    bench.do(lambda: queue.ring("a"))  # being handled or done is not waiting
    until(lambda: len(kept.bodies) == 4)


def test_a_failed_record_comes_again_after_the_visibility_timeout_and_the_others_do_not(
    bench: Workbench, kept: Kept
) -> None:
    queue = bench.queue(visibility_seconds=0.2)
    bench.mapping(queue, kept.function, batch_size=3, concurrency=1)
    bench.do(lambda: [queue.send(json.dumps(body)) for body in ("good", "bad", "fine")])
    began = time.monotonic()
    until(lambda: len(kept.events) == 2)
    assert time.monotonic() - began >= 0.2
    assert [record["body"] for record in kept.events[0]["Records"]] == ['"good"', '"bad"', '"fine"']
    (again,) = kept.events[1]["Records"]
    assert again["body"] == '"bad"'
    assert again["messageId"] == kept.events[0]["Records"][1]["messageId"]
    assert again["attributes"]["ApproximateReceiveCount"] == "2"


def test_what_fails_too_often_lies_in_the_dead_letter_queue(bench: Workbench, kept: Kept) -> None:
    dead = bench.queue("dead")
    queue = bench.queue(visibility_seconds=0.01, dead_letter="dead", max_receives=3)
    queue.dead_letter = dead
    bench.mapping(queue, kept.function)
    bench.do(lambda: queue.send('"bad"'))
    until(lambda: len(dead) == 1)
    assert len(kept.events) == 3
    assert not len(queue)
    assert dead.visible[0].body == '"bad"'


def test_a_batch_fails_whole_when_the_function_does(bench: Workbench) -> None:
    function = bench.function("def handler(event, context): raise OSError('database gone')")
    dead = bench.queue("dead")
    queue = bench.queue(visibility_seconds=0.01, dead_letter="dead", max_receives=2)
    queue.dead_letter = dead
    bench.mapping(queue, function, batch_size=5)
    bench.do(lambda: [queue.ring(id_) for id_ in "abcde"])
    until(lambda: len(dead) == 5)
    assert "OSError: database gone" in bench.log("requests")


def test_a_delayed_bell_comes_when_it_is_due_and_never_early(bench: Workbench, tmp_path: Path) -> None:
    path = str(tmp_path / "heard")
    function = bench.function(
        f"""
        import json, time
        def handler(event, context):
            with open({path!r}, "a") as file:
                for record in event["Records"]:
                    file.write(json.loads(record["body"])["id"] + f" {{time.time()}}\\n")
        """
    )
    queue = bench.queue()
    bench.mapping(queue, function)
    bench.do(lambda: queue.ring("warm"))
    until(lambda: Path(path).exists())
    began = time.time()
    bench.do(lambda: [queue.ring(str(delay), delay) for delay in (0.3, 0.1, 0.2)])
    until(lambda: len(Path(path).read_text().splitlines()) == 4)
    heard = [line.split() for line in Path(path).read_text().splitlines()[1:]]
    assert [id_ for id_, _ in heard] == ["0.1", "0.2", "0.3"]
    for id_, when in heard:
        assert float(id_) - 0.002 <= float(when) - began < float(id_) + 1


def test_only_so_many_batches_run_at_a_time(bench: Workbench, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    function = bench.function(
        f"import os, time\ndef handler(event, context):\n    while not os.path.exists({str(gate)!r}): time.sleep(0.01)",
        concurrency=4,
        timeout=30.0,
    )
    queue = bench.queue()
    mapping = bench.mapping(queue, function, batch_size=1, concurrency=2)
    bench.do(lambda: [queue.ring(str(n)) for n in range(6)])
    until(lambda: sum(worker.invocation is not None for worker in function.workers) == 2)
    time.sleep(0.3)
    assert (mapping.running, len(function.workers), len(queue.visible)) == (2, 2, 4)
    gate.touch()
    until(lambda: not len(queue))


def test_noise_on_the_socket_is_counted_and_the_next_bell_heard(bench: Workbench, kept: Kept, tmp_path: Path) -> None:
    queue = bench.queue()
    bench.mapping(queue, kept.function)
    bell = bench.do(lambda: BellSocket(tmp_path, "bells", queue.ring))
    noise = [b"", b"\xff", b"[]", b"{}", b'{"id": 1, "delay": "x"}', b'"id"', b"[" * 5000]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        for datagram in noise:
            sender.sendto(datagram, str(tmp_path / "bells.sock"))
        sender.sendto(b'{"id": "good"}', str(tmp_path / "bells.sock"))
    until(lambda: kept.bodies == [{"id": "good"}])
    assert bell.malformed == len(noise)
    bench.do(bell.close)
    assert not (tmp_path / "bells.sock").exists()


def test_a_socket_that_a_killed_stack_left_is_taken_over(
    bench: Workbench, bells: Callable[[Queue], SocketDoorbell], tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as left:
        left.bind(str(tmp_path / "bells.sock"))
    queue = bench.queue()
    bells(queue).ring("bells", ["x"])
    until(lambda: len(queue) == 1)


def test_a_message_over_the_quota_is_refused(bench: Workbench) -> None:
    queue = bench.queue()
    bench.do(lambda: queue.send("x" * MAX_MESSAGE_BYTES))
    with pytest.raises(MessageTooLargeError):
        bench.do(lambda: queue.send("x" * (MAX_MESSAGE_BYTES + 1)))
    with pytest.raises(MessageTooLargeError):
        bench.do(lambda: queue.send("ü" * (MAX_MESSAGE_BYTES // 2 + 1)))


# What a function may answer -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [None, {}, {"batchItemFailures": []}, {"batchItemFailures": None}])
def test_these_answers_mean_that_all_were_handled(answer: Any) -> None:
    assert failed_items(json.dumps(answer).encode(), {"a"}) == (frozenset(), None)


@pytest.mark.parametrize(
    "answer",
    [
        [],
        "x",
        {"batchItemFailures": {}},
        {"batchItemFailures": [{}]},
        {"batchItemFailures": [{"itemIdentifier": ""}]},
        {"batchItemFailures": [{"itemIdentifier": None}]},
        {"batchItemFailures": [{"itemIdentifier": "unknown"}]},
        {"batchItemFailures": ["a"]},
    ],
)
def test_these_answers_mean_that_all_failed(answer: Any) -> None:
    failed, error = failed_items(json.dumps(answer).encode(), {"a"})
    assert failed is None
    assert error is not None


@given(payload=st.binary(max_size=60))
def test_an_answer_that_cannot_be_read_fails_the_batch_and_never_the_stack(payload: bytes) -> None:
    failed, error = failed_items(payload, {"a"})
    assert (failed is None) == (error is not None)


@given(failing=st.sets(st.sampled_from("abc")))
def test_exactly_the_named_records_failed(failing: set[str]) -> None:
    answer = {"batchItemFailures": [{"itemIdentifier": id_} for id_ in failing]}
    assert failed_items(json.dumps(answer).encode(), set("abc")) == (frozenset(failing), None)
