"""Where untrusted code runs there is no way out, no right, and nothing to find."""

from __future__ import annotations

from typing import Any

from infra.template.compiler import Template
from tests.infra.template.conftest import Compile
from tests.infra.template.reading import functions, listed, properties, spelled

SANDBOX = "CodeDashsandboxLambdaFunction"
INTERFACES = {
    "ec2:CreateNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:DeleteNetworkInterface",
    "ec2:AssignPrivateIpAddresses",
    "ec2:UnassignPrivateIpAddresses",
}


def statements(template: Template, role: str) -> dict[str, dict[str, Any]]:
    """A role's statements by their ids."""
    [policy] = properties(template, "AWS::IAM::Role")[role]["Policies"]
    return {one["Sid"]: one for one in policy["PolicyDocument"]["Statement"]}


def test_only_the_sandbox_is_in_the_network_that_leads_nowhere(dev: Template) -> None:
    placed = {
        logical: found["VpcConfig"]
        for logical, found in properties(dev, "AWS::Lambda::Function").items()
        if "VpcConfig" in found
    }
    assert set(placed) == {SANDBOX}
    assert [spelled(one) for one in placed[SANDBOX]["SecurityGroupIds"]] == ["<CodeSandboxSecurityGroup.GroupId>"]
    subnets = [spelled(one).strip("<>") for one in placed[SANDBOX]["SubnetIds"]]
    made = properties(dev, "AWS::EC2::Subnet")
    assert set(subnets) == set(made)
    assert len(subnets) == 2
    assert all(one["MapPublicIpOnLaunch"] is False for one in made.values())
    assert len({str(one["AvailabilityZone"]) for one in made.values()}) == 2


def test_nothing_leads_out_of_it(dev: Template) -> None:
    kinds = {kind for kind in (one["Type"] for one in dev.body["Resources"].values()) if kind.startswith("AWS::EC2::")}
    # No gateway, no NAT, no endpoint, no peering, and no route but the one within that every table has.
    assert kinds == {
        "AWS::EC2::VPC",
        "AWS::EC2::Subnet",
        "AWS::EC2::RouteTable",
        "AWS::EC2::SubnetRouteTableAssociation",
        "AWS::EC2::NetworkAcl",
        "AWS::EC2::SubnetNetworkAclAssociation",
        "AWS::EC2::SecurityGroup",
    }
    [group] = properties(dev, "AWS::EC2::SecurityGroup").values()
    assert "SecurityGroupIngress" not in group
    [rule] = group["SecurityGroupEgress"]
    assert (rule["CidrIp"], rule["IpProtocol"]) == ("255.255.255.255/32", "icmp")
    for kind in ("SubnetRouteTableAssociation", "SubnetNetworkAclAssociation"):
        tied = {spelled(one["SubnetId"]) for one in properties(dev, f"AWS::EC2::{kind}").values()}
        assert tied == {"<CodeSandboxSubnetA>", "<CodeSandboxSubnetB>"}


def test_its_role_writes_a_log_and_denies_the_code_what_lambda_needs(dev: Template) -> None:
    role = spelled(properties(dev, "AWS::Lambda::Function")[SANDBOX]["Role"]).strip("<>").removesuffix(".Arn")
    said = statements(dev, role)
    assert set(said) == {"Log", "LetLambdaAttachIt", "ButNotTheCode"}
    assert set(said["Log"]["Action"]) == {"logs:CreateLogStream", "logs:PutLogEvents"}
    assert spelled(said["Log"]["Resource"]) == "<CodeDashsandboxLogGroup.Arn>"
    assert set(said["LetLambdaAttachIt"]["Action"]) == INTERFACES
    deny = said["ButNotTheCode"]
    assert (deny["Effect"], set(deny["Action"]), deny["Resource"]) == ("Deny", INTERFACES, "*")
    [source] = listed(deny["Condition"]["ArnEquals"]["lambda:SourceFunctionArn"])
    name = properties(dev, "AWS::Lambda::Function")[SANDBOX]["FunctionName"]
    assert spelled(source) == f"arn:<AWS::Partition>:lambda:<AWS::Region>:<AWS::AccountId>:function:{name}"


def test_only_the_worker_may_call_it_and_nothing_else_but_it(dev: Template) -> None:
    calls = {
        (role, spelled(resource))
        for role, made in properties(dev, "AWS::IAM::Role").items()
        for policy in made["Policies"]
        for one in policy["PolicyDocument"]["Statement"]
        for action in listed(one["Action"])
        if action.startswith("lambda:")
        for resource in listed(one["Resource"])
    }
    assert calls == {("CodeExecWorkerRole", f"<{SANDBOX}.Arn>")}
    assert functions(dev)[SANDBOX] == "code-sandbox"
    assert not [
        one for one in properties(dev, "AWS::Lambda::Permission").values() if SANDBOX in str(one["FunctionName"])
    ]


def test_it_is_told_nothing_of_ours_and_lives_as_long_as_the_longest_run(compile: Compile) -> None:  # noqa: A002
    told = {
        "MILLRACE_STORAGE": "s3:theirs",
        "MILLRACE_STORAGE_SECRET": "canary-" + "x" * 40,
        "MILLRACE_STORAGE_URL": "https://canary",
        "MILLRACE_DOORBELL": "sqs:https://canary/x",
        "MILLRACE_SUPABASE_KEY": "canary",
    }
    made = properties(compile(env=told), "AWS::Lambda::Function")[SANDBOX]
    given = {name: value for name, value in made["Environment"]["Variables"].items() if value != ""}
    assert given.pop("MILLRACE_METRICS_NAMESPACE") == "Millrace"
    assert given == {"MILLRACE_SANDBOX_PARALLEL": "1", "MILLRACE_SANDBOX_WARM": "1"}
    assert made["Timeout"] == 60 + 5


def test_how_many_may_run_at_once_is_a_setting_of_the_stage(compile: Compile) -> None:  # noqa: A002
    made = properties(compile(reserved_concurrency={"code-sandbox": 7}), "AWS::Lambda::Function")[SANDBOX]
    assert made["ReservedConcurrentExecutions"] == 7
