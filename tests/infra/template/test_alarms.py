"""Whatever goes wrong for long wakes somebody up, and logs are there to read and end some day."""

from __future__ import annotations

from typing import Any

import pytest

from infra.template.compiler import Template
from tests.infra.template.reading import functions, properties, spelled


def alarms(template: Template) -> dict[tuple[str, str], dict[str, Any]]:
    """By metric and what it is of."""
    found = {}
    for alarm in properties(template, "AWS::CloudWatch::Alarm").values():
        [dimension] = alarm["Dimensions"]
        found[alarm["MetricName"], spelled(dimension["Value"])] = alarm
    return found


@pytest.mark.parametrize("metric", ["Errors", "Throttles"])
def test_each_function_s_errors_and_throttles_are_heard(dev: Template, metric: str) -> None:
    for logical in functions(dev):
        alarm = alarms(dev)[metric, f"<{logical}>"]
        assert alarm["Namespace"] == "AWS/Lambda"
        assert alarm["Dimensions"][0]["Name"] == "FunctionName"
        assert (alarm["Statistic"], alarm["Threshold"]) == ("Sum", 0)


@pytest.mark.parametrize(
    "queue", ["WorkflowRunDeadLetters", "StorageEventsDeadLetters", "OcrDeadLetters", "CodeDeadLetters"]
)
def test_the_first_dead_letter_is_heard(dev: Template, queue: str) -> None:
    alarm = alarms(dev)["ApproximateNumberOfMessagesVisible", f"<{queue}.QueueName>"]
    assert (alarm["Threshold"], alarm["ComparisonOperator"]) == (0, "GreaterThanThreshold")
    assert alarm["EvaluationPeriods"] == 1


def test_messages_that_nobody_takes_are_heard_later_than_a_healthy_one_can_wait(dev: Template) -> None:
    runs = alarms(dev)["ApproximateAgeOfOldestMessage", "<WorkflowRunQueue.QueueName>"]
    assert 900 + 900 < runs["Threshold"] <= 3600, "a delay of 15 minutes, then a worker that drives for 15"
    files = alarms(dev)["ApproximateAgeOfOldestMessage", "<StorageEventsQueue.QueueName>"]
    assert files["Threshold"] == 600


def test_a_tick_that_is_late_or_absent_is_heard(dev: Template, other: Template) -> None:
    alarm = alarms(dev)["TickInterval", "<ScheduleDashtickLambdaFunction>"]
    assert alarm["TreatMissingData"] == "breaching", "no tick, no metric"
    assert 60_000 < alarm["Threshold"] <= 300_000, "milliseconds between ticks, one a minute"
    assert alarm["Namespace"] == "Millrace"
    assert alarms(other)["TickInterval", "<ScheduleDashtickLambdaFunction>"]["Namespace"] == "Other"
    [told] = {
        function["Environment"]["Variables"]["MILLRACE_METRICS_NAMESPACE"]
        for function in properties(other, "AWS::Lambda::Function").values()
    }
    assert told == "Other"


def test_answers_500_are_heard(dev: Template) -> None:
    assert alarms(dev)["5xx", "<HttpApi>"]["Namespace"] == "AWS/ApiGateway"


def test_alarms_go_to_the_stage_s_topic_if_it_has_one(dev: Template, prod: Template) -> None:
    assert properties(dev, "AWS::SNS::Topic") == {}
    assert {tuple(alarm["AlarmActions"]) for alarm in alarms(dev).values()} == {()}
    [topic] = properties(prod, "AWS::SNS::Topic")
    for alarm in alarms(prod).values():
        assert alarm["AlarmActions"] == alarm["OKActions"] == [{"Ref": topic}]
        assert alarm["AlarmDescription"]
    assert alarms(prod).keys() == alarms(dev).keys()


def test_alarms_can_be_published_to_an_encrypted_topic(prod: Template) -> None:
    topic = properties(prod, "AWS::SNS::Topic")["AlarmTopic"]
    key = properties(prod, "AWS::KMS::Key")[spelled(topic["KmsMasterKeyId"]).strip("<>")]
    [publishing] = [one for one in key["KeyPolicy"]["Statement"] if "Service" in one["Principal"]]
    assert publishing["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert set(publishing["Action"]) == {"kms:Decrypt", "kms:GenerateDataKey"}
    [policy] = properties(prod, "AWS::SNS::TopicPolicy").values()
    effects = {(one["Effect"], spelled_principal(one["Principal"])) for one in policy["PolicyDocument"]["Statement"]}
    assert effects == {("Allow", "cloudwatch.amazonaws.com"), ("Deny", "*")}


def spelled_principal(principal: Any) -> str:
    return principal if isinstance(principal, str) else str(principal["Service"])


def test_every_log_ends_some_day(dev: Template, prod: Template) -> None:
    for template, days in ((dev, 30), (prod, 90)):
        groups = properties(template, "AWS::Logs::LogGroup")
        assert len(groups) == len(functions(template)) + 1, "one each, and the API's"
        assert {group["RetentionInDays"] for group in groups.values()} == {days}
