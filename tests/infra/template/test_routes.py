"""What the HTTP API lets through: which addresses, how much, from whose pages, and what is written down of it."""

from __future__ import annotations

import json

from infra.local.serverless import read
from infra.local.stack import ROOT
from infra.template.compiler import Template
from tests.infra.template.reading import functions, properties, spelled


def test_every_route_of_serverless_yml_leads_to_its_function(dev: Template) -> None:
    integrations = properties(dev, "AWS::ApiGatewayV2::Integration")
    keys = functions(dev)
    led = {}
    for route in properties(dev, "AWS::ApiGatewayV2::Route").values():
        assert route["ApiId"] == {"Ref": "HttpApi"}
        integration = integrations[spelled(route["Target"]).removeprefix("integrations/<").removesuffix(">")]
        assert integration["IntegrationType"] == "AWS_PROXY"
        assert integration["PayloadFormatVersion"] == "2.0", "what the functions read"
        led[route["RouteKey"]] = keys[spelled(integration["IntegrationUri"]).strip("<>").removesuffix(".Arn")]
    service = read(ROOT / "serverless.yml", env={})
    assert led == {f"ANY {route.path}": f.name for f in service.functions.values() for route in f.routes}


def test_the_api_may_call_the_functions_that_it_leads_to_and_nobody_else(dev: Template) -> None:
    allowed = {
        (spelled(one["FunctionName"]), one["Principal"], spelled(one["SourceArn"]))
        for one in properties(dev, "AWS::Lambda::Permission").values()
    }
    ours = "arn:<AWS::Partition>:execute-api:<AWS::Region>:<AWS::AccountId>:<HttpApi>/*"
    assert {source for _, principal, source in allowed if principal == "apigateway.amazonaws.com"} == {ours}
    assert {principal for _, principal, _ in allowed} == {"apigateway.amazonaws.com", "events.amazonaws.com"}
    serving = {
        one["IntegrationUri"]["Fn::GetAtt"][0] for one in properties(dev, "AWS::ApiGatewayV2::Integration").values()
    }
    assert len(allowed) == len(serving) + 1, "and the tick by its schedule"


def test_requests_are_throttled_as_the_stage_says(dev: Template, prod: Template) -> None:
    def throttle(template: Template) -> tuple[int, int]:
        [stage] = properties(template, "AWS::ApiGatewayV2::Stage").values()
        settings = stage["DefaultRouteSettings"]
        return settings["ThrottlingRateLimit"], settings["ThrottlingBurstLimit"]

    assert throttle(dev) == (100, 200)
    assert throttle(prod) == (500, 1000)


def test_pages_of_the_stage_s_sites_may_call_and_send_no_cookies(dev: Template) -> None:
    cors = properties(dev, "AWS::ApiGatewayV2::Api")["HttpApi"]["CorsConfiguration"]
    assert cors["AllowOrigins"] == ["*"]
    assert not cors.get("AllowCredentials"), "tokens go in a header"
    assert set(cors["AllowMethods"]) == {"GET", "POST", "PUT", "PATCH", "DELETE"}
    assert {"Authorization", "Content-Type", "Idempotency-Key"} <= set(cors["AllowHeaders"])


def test_the_access_log_says_the_route_and_never_the_path_of_a_webhook(dev: Template) -> None:
    [stage] = properties(dev, "AWS::ApiGatewayV2::Stage").values()
    fields = json.loads(stage["AccessLogSettings"]["Format"])
    assert fields["route"] == "$context.routeKey"
    assert "$context.path" not in fields.values()
    assert spelled(stage["AccessLogSettings"]["DestinationArn"]) == "<HttpApiLogGroup.Arn>"
