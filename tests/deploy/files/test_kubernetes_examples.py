"""The examples of what stands before the servers in Kubernetes fit what is rendered."""

from __future__ import annotations

import re

from deploy_files import ROOT, load, load_all
from overlays import FOLDER, by_kind, render

RENDERED = render()
SERVICE = by_kind(RENDERED["locked"])["Service"]
EXAMPLES = FOLDER / "examples"
HEALTH = "grpc.health.v1.Health"


def services_of_the_api() -> set[str]:
    found = {HEALTH}
    for proto in (ROOT / "proto").rglob("*.proto"):
        text = proto.read_text()
        package = re.search(r"^package ([\w.]+);", text, re.M)[1]
        found |= {f"{package}.{name}" for name in re.findall(r"^service (\w+) \{", text, re.M)}
    return found


def port_named(name: str) -> dict:
    (port,) = (port for port in SERVICE["spec"]["ports"] if port["name"] == name)
    return port


def in_cluster(name: str) -> bool:
    """Whether a name is the service's in its namespace."""
    own = f"{SERVICE['metadata']['name']}.{SERVICE['metadata']['namespace']}.svc"
    return name in {own, f"{own}.cluster.local"}


def test_the_gateway_leads_to_the_service_and_lets_the_api_through():
    gateway, route, policy = load_all(EXAMPLES / "gateway.yaml")
    for part in (gateway, route, policy):
        assert part["metadata"]["namespace"] == SERVICE["metadata"]["namespace"]
    (listener,) = gateway["spec"]["listeners"]
    assert route["spec"]["parentRefs"] == [
        {"name": gateway["metadata"]["name"], "sectionName": listener["name"]}
    ]
    assert route["spec"]["hostnames"] == [listener["hostname"]]
    (rule,) = route["spec"]["rules"]
    assert {match["method"]["service"] for match in rule["matches"]} == services_of_the_api()
    grpc = port_named("grpc")
    assert rule["backendRefs"] == [{"name": SERVICE["metadata"]["name"], "port": grpc["port"]}]
    (target,) = policy["spec"]["targetRefs"]
    assert (target["name"], target["sectionName"]) == (SERVICE["metadata"]["name"], grpc["name"])
    assert in_cluster(policy["spec"]["validation"]["hostname"])


def test_the_ingress_leads_to_the_service_and_lets_the_api_through():
    ingress = load(EXAMPLES / "ingress.yaml")
    (rule,) = ingress["spec"]["rules"]
    assert ingress["spec"]["tls"][0]["hosts"] == [rule["host"]]
    assert {path["path"] for path in rule["http"]["paths"]} == {
        f"/{name}/" for name in services_of_the_api()
    }
    for path in rule["http"]["paths"]:
        backend = path["backend"]["service"]
        assert backend["name"] == SERVICE["metadata"]["name"]
        assert port_named(backend["port"]["name"])
    settings = {
        name.rpartition("/")[2]: value for name, value in ingress["metadata"]["annotations"].items()
    }
    assert settings["backend-protocol"] == "GRPCS" and in_cluster(settings["proxy-ssl-name"])


def test_the_certificate_is_for_the_names_that_the_examples_ask_for():
    certificate = load(EXAMPLES / "certificate.yaml")["spec"]
    assert certificate["secretName"] == "pixpool-tls"
    assert all(in_cluster(name) for name in certificate["dnsNames"])
    policy = load_all(EXAMPLES / "gateway.yaml")[2]
    assert policy["spec"]["validation"]["hostname"] in certificate["dnsNames"]
