"""Queues lose nothing quietly, and only who should can write to them."""

from __future__ import annotations

import pytest

from infra.template.compiler import Template
from shared.storage import BUCKETS
from tests.infra.template.reading import functions, properties, spelled

FED = {
    "WorkflowRunQueue": "workflow-run",
    "StorageEventsQueue": "storage-intake",
    "OcrQueue": "ocr-worker",
    "CodeQueue": "code-exec-worker",
}


@pytest.mark.parametrize("queue", FED)
def test_what_fails_five_times_is_kept_for_two_weeks(dev: Template, queue: str) -> None:
    queues = properties(dev, "AWS::SQS::Queue")
    redrive = queues[queue]["RedrivePolicy"]
    assert redrive["maxReceiveCount"] == 5
    dead = queues[spelled(redrive["deadLetterTargetArn"]).strip("<>").removesuffix(".Arn")]
    assert dead["QueueName"] == queues[queue]["QueueName"] + "-dead"
    assert dead["MessageRetentionPeriod"] == 14 * 86_400
    allowed = dead["RedriveAllowPolicy"]
    assert allowed["redrivePermission"] == "byQueue"
    name = queues[queue]["QueueName"]
    assert [spelled(arn) for arn in allowed["sourceQueueArns"]] == [
        f"arn:<AWS::Partition>:sqs:<AWS::Region>:<AWS::AccountId>:{name}"
    ]


@pytest.mark.parametrize("queue", FED)
def test_a_message_is_hidden_six_times_as_long_as_its_function_may_take(dev: Template, queue: str) -> None:
    timeouts = {
        key: properties(dev, "AWS::Lambda::Function")[logical]["Timeout"] for logical, key in functions(dev).items()
    }
    settings = properties(dev, "AWS::SQS::Queue")[queue]
    assert settings["VisibilityTimeout"] == 6 * timeouts[FED[queue]]
    assert settings["MessageRetentionPeriod"] > 5 * settings["VisibilityTimeout"], "else it never becomes a dead letter"


def test_workers_are_bounded_and_report_what_failed_message_by_message(dev: Template, other: Template) -> None:
    def mapped(template: Template) -> dict[str, int]:
        keys = functions(template)
        found = {}
        for mapping in properties(template, "AWS::Lambda::EventSourceMapping").values():
            queue = spelled(mapping["EventSourceArn"]).strip("<>").removesuffix(".Arn")
            assert keys[spelled(mapping["FunctionName"]).strip("<>").removesuffix(".Arn")] == FED[queue]
            assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
            assert mapping["Enabled"] is True
            found[queue] = mapping["ScalingConfig"]["MaximumConcurrency"]
        return found

    assert mapped(dev) == {"WorkflowRunQueue": 20, "StorageEventsQueue": 2, "OcrQueue": 10, "CodeQueue": 10}
    # the environment goes before the stage
    assert mapped(other) == {"WorkflowRunQueue": 50, "StorageEventsQueue": 7, "OcrQueue": 10, "CodeQueue": 10}


def test_every_queue_is_encrypted_and_reached_over_tls_only(dev: Template) -> None:
    queues = properties(dev, "AWS::SQS::Queue")
    assert len(queues) == 2 * len(FED)
    assert all(settings["SqsManagedSseEnabled"] is True for settings in queues.values())
    closed = {
        spelled(queue).strip("<>")
        for policy in properties(dev, "AWS::SQS::QueuePolicy").values()
        for queue in policy["Queues"]
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Deny"
        and statement["Principal"] == "*"
        and statement["Action"] == "sqs:*"
        and statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    }
    assert closed == set(queues)


def test_only_s3_may_write_to_the_queue_of_stored_files_and_only_for_our_buckets(dev: Template) -> None:
    allowed = [
        (policy["Queues"], statement)
        for policy in properties(dev, "AWS::SQS::QueuePolicy").values()
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Allow"
    ]
    [(queues, statement)] = allowed
    assert queues == [{"Ref": "StorageEventsQueue"}]
    assert statement["Principal"] == {"Service": "s3.amazonaws.com"}
    assert statement["Action"] == "sqs:SendMessage"
    assert spelled(statement["Resource"]) == "<StorageEventsQueue.Arn>"
    condition = statement["Condition"]
    assert condition["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    assert {spelled(arn) for arn in condition["ArnEquals"]["aws:SourceArn"]} == {
        f"arn:<AWS::Partition>:s3:::millrace-dev-<AWS::AccountId>-{bucket}" for bucket in BUCKETS
    }


def test_the_tick_is_called_each_minute(dev: Template) -> None:
    [rule] = properties(dev, "AWS::Events::Rule").values()
    assert (rule["ScheduleExpression"], rule["State"]) == ("rate(1 minute)", "ENABLED")
    [target] = rule["Targets"]
    assert functions(dev)[spelled(target["Arn"]).strip("<>").removesuffix(".Arn")] == "schedule-tick"
