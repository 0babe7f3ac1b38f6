"""A bell saves waiting; one that cannot be delivered is counted and never fails its caller.

First what every doorbell promises: one suite for the laptop's socket, for SQS (moto) and for the one that tests read.
Then what each adds.
"""

from __future__ import annotations

import json
import socket
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from botocore.stub import Stubber
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto.sqs.models import sqs_backends

import shared.settings
from shared import aws
from shared.doorbell import (
    MAX_DELAY_SECONDS,
    Doorbell,
    RecordingDoorbell,
    SilentDoorbell,
    SocketDoorbell,
    SqsDoorbell,
    doorbell,
)
from tests.aws import ACCOUNT, ENVIRONMENT, REGION, pretended

#: What a queue was told since it was asked last: ids and delays.
Heard = Callable[[str], list[tuple[str, float]]]

QUEUES = ("workflow-run", "storage-events")
PREFIX = f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/millrace-test"


@contextmanager
def by_socket() -> Iterator[tuple[Doorbell, Heard]]:
    with tempfile.TemporaryDirectory(prefix="bell") as name:
        listeners = {queue: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) for queue in QUEUES}
        for queue, listener in listeners.items():
            listener.bind(f"{name}/{queue}.sock")

        def heard(queue: str) -> list[tuple[str, float]]:
            found = []
            while True:
                try:
                    said = json.loads(listeners[queue].recv(4096))
                except BlockingIOError:
                    return found
                found.append((said["id"], said["delay"]))

        bell = SocketDoorbell(Path(name))
        yield bell, heard
        bell.close()
        for listener in listeners.values():
            listener.close()


@contextmanager
def by_sqs() -> Iterator[tuple[Doorbell, Heard]]:
    with pretended():
        for queue in QUEUES:
            aws.client("sqs").create_queue(QueueName=f"millrace-test-{queue}")

        def heard(queue: str) -> list[tuple[str, float]]:
            messages = sqs_backends[ACCOUNT][REGION].queues[f"millrace-test-{queue}"]._messages
            # A delayed message shows until when; SQS counts from when it took it.
            found = [
                (
                    json.loads(message.body)["id"],
                    round(max(0.0, message.delayed_until - message.sent_timestamp) / 1000),
                )
                for message in messages
            ]
            messages.clear()
            return found

        yield SqsDoorbell(PREFIX), heard


@contextmanager
def by_recording() -> Iterator[tuple[Doorbell, Heard]]:
    bell = RecordingDoorbell()

    def heard(queue: str) -> list[tuple[str, float]]:
        found = [(id_, delay) for rung, id_, delay in bell.rung if rung == queue]
        bell.rung = [told for told in bell.rung if told[0] != queue]
        return found

    yield bell, heard


@pytest.fixture(params=[by_socket, by_sqs, by_recording], ids=lambda make: make.__name__)
def rings(request: pytest.FixtureRequest) -> Iterator[tuple[Doorbell, Heard]]:
    """Each implementation of the port, and what its queues hear."""
    with request.param() as both:
        yield both


class TestContract:
    @pytest.mark.parametrize("count", [1, 10])
    def test_each_id_is_heard_once_at_its_queue(self, rings: tuple[Doorbell, Heard], count: int) -> None:
        bell, heard = rings
        ids = [str(uuid.uuid4()) for _ in range(count)]
        bell.ring("workflow-run", iter(ids))
        assert sorted(heard("workflow-run")) == sorted((id_, 0) for id_ in ids)
        assert heard("storage-events") == []

    def test_no_ids_ring_nothing(self, rings: tuple[Doorbell, Heard]) -> None:
        bell, heard = rings
        bell.ring("workflow-run", [])
        assert heard("workflow-run") == []

    @given(delay=st.floats(0, 5000))
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30)
    def test_a_wait_is_never_early_and_at_most_a_second_late(self, rings: tuple[Doorbell, Heard], delay: float) -> None:
        bell, heard = rings
        bell.ring("workflow-run", ["x"], delay)
        [(_, told)] = heard("workflow-run")
        wanted = min(delay, MAX_DELAY_SECONDS)
        assert wanted <= told <= wanted + 1

    def test_a_queue_that_is_not_there_fails_nobody(self, rings: tuple[Doorbell, Heard]) -> None:
        bell, _ = rings
        bell.ring("nobody", ["x", "y"])
        assert sum(getattr(bell, "missed", {"told": 2}).values()) == 2


# --- the socket -------------------------------------------------------------------------------------------------------


@pytest.fixture
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="bell") as name:  # short: a socket's path holds 107 bytes
        yield Path(name)


@pytest.fixture
def bell(directory: Path) -> Iterator[SocketDoorbell]:
    bell = SocketDoorbell(directory)
    yield bell
    bell.close()


def _listen(directory: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    listener.bind(str(directory / "q.sock"))
    return listener


def test_each_id_is_one_datagram(directory: Path, bell: SocketDoorbell) -> None:
    ids = [str(uuid.uuid4()) for _ in range(3)]
    with _listen(directory) as listener:
        bell.ring("q", ids, 1.5)
        assert [json.loads(listener.recv(4096)) for _ in ids] == [{"id": id_, "delay": 1.5} for id_ in ids]


def test_a_delay_is_at_most_what_a_queue_holds(directory: Path, bell: SocketDoorbell) -> None:
    with _listen(directory) as listener:
        bell.ring("q", ["x"], 10_000)
        assert json.loads(listener.recv(4096))["delay"] == MAX_DELAY_SECONDS


def test_nobody_there_is_counted(directory: Path, bell: SocketDoorbell) -> None:
    bell.ring("q", ["x"])
    _listen(directory).close()  # the socket's file stays behind
    bell.ring("q", ["x"])
    assert bell.missed == {"ENOENT": 1, "ECONNREFUSED": 1}


def test_a_full_buffer_is_counted_and_does_not_block(directory: Path, bell: SocketDoorbell) -> None:
    with _listen(directory):
        bell.ring("q", [str(n) for n in range(100_000)])
    assert bell.missed["EAGAIN"] > 0


# --- SQS --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def sqs() -> Iterator[SqsDoorbell]:
    with pretended():
        aws.client("sqs").create_queue(QueueName="millrace-test-q")
        yield SqsDoorbell(PREFIX)


def sent(number: int, first: int = 0, delay: int = 0) -> dict[str, Any]:
    """What SQS is asked to send for ids that are numbers."""
    return {
        "QueueUrl": f"{PREFIX}-q",
        "Entries": [
            {"Id": str(n), "MessageBody": json.dumps({"id": str(first + n)}), "DelaySeconds": delay}
            for n in range(number)
        ],
    }


def test_ten_bells_go_in_one_request(sqs: SqsDoorbell) -> None:
    with Stubber(aws.client("sqs")) as stubber:
        for first, number in [(0, 10), (10, 10), (20, 5)]:
            stubber.add_response("send_message_batch", {"Successful": [], "Failed": []}, sent(number, first, delay=2))
        sqs.ring("q", (str(n) for n in range(25)), 1.001)
        stubber.assert_no_pending_responses()
    assert sqs.missed == {}


def test_the_message_is_what_a_worker_reads(sqs: SqsDoorbell) -> None:
    sqs.ring("q", ["an-id"])
    [message] = aws.client("sqs").receive_message(QueueUrl=f"{PREFIX}-q")["Messages"]
    assert json.loads(message["Body"]) == {"id": "an-id"}


def test_bells_that_sqs_does_not_take_are_counted_and_the_others_ring(
    sqs: SqsDoorbell, caplog: pytest.LogCaptureFixture
) -> None:
    refused = [{"Id": str(n), "Code": "InternalError", "SenderFault": False} for n in range(3)]
    with Stubber(aws.client("sqs")) as stubber:
        stubber.add_response("send_message_batch", {"Successful": [], "Failed": refused}, sent(10))
        stubber.add_response("send_message_batch", {"Successful": [], "Failed": []}, sent(2, 10))
        sqs.ring("q", [str(n) for n in range(12)])
        stubber.assert_no_pending_responses()
    assert sqs.missed == {"InternalError": 3}


@pytest.mark.parametrize("code", ["AWS.SimpleQueueService.NonExistentQueue", "AccessDenied", "ThrottlingException"])
def test_a_queue_that_refuses_is_asked_once_and_all_its_bells_are_counted(sqs: SqsDoorbell, code: str) -> None:
    with Stubber(aws.client("sqs")) as stubber:
        stubber.add_client_error("send_message_batch", service_error_code=code, http_status_code=400)
        sqs.ring("q", [str(n) for n in range(25)])
    assert sqs.missed == {code: 25}


def test_an_sqs_that_does_not_answer_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound, not listening
        for name, value in ENVIRONMENT.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{nobody.getsockname()[1]}")
        aws.forget()
        bell = SqsDoorbell(PREFIX)
        with mock.patch("botocore.retries.standard.ExponentialBackoff.delay_amount", return_value=0):
            bell.ring("q", [str(n) for n in range(100)])
    assert bell.missed == {"EndpointConnectionError": 100}


def test_an_environment_without_aws_fails_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    aws.forget()
    bell = SqsDoorbell(PREFIX)
    bell.ring("q", ["x"])
    assert bell.missed == {"NoRegionError": 1}


# --- the process ------------------------------------------------------------------------------------------------------


def test_the_setting_chooses(monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
    def chosen(setting: str) -> Doorbell:
        doorbell.cache_clear()
        shared.settings.forget()
        monkeypatch.setenv("MILLRACE_DOORBELL", setting)
        return doorbell()

    assert isinstance(chosen(""), SilentDoorbell)
    assert isinstance(chosen("none"), SilentDoorbell)
    by_sqs = chosen(f"sqs:{PREFIX}")
    assert isinstance(by_sqs, SqsDoorbell)
    assert by_sqs.prefix == PREFIX
    by_socket = chosen(f"socket:{directory}")
    assert isinstance(by_socket, SocketDoorbell)
    by_socket.close()


@pytest.mark.parametrize("wrong", ["sqs", "sqs:", "sqs:millrace", f"sqs:{PREFIX}/", "sqs:https://a?b", "bell"])
def test_a_wrong_setting_is_refused(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.setenv("MILLRACE_DOORBELL", wrong)
    with pytest.raises(shared.settings.SettingsError, match="MILLRACE_DOORBELL"):
        doorbell()
