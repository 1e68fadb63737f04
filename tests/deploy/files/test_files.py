"""What holds for every file of deploy/: it parses, its images have versions, its options exist."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from deploy_files import (
    DEPLOY,
    GRACE_MARGIN_S,
    ROOT,
    data_files,
    known_options,
    load,
    load_all,
)

TEXTS = [
    path for path in sorted(DEPLOY.rglob("*")) if path.is_file() and path.suffix not in {".pyc"}
]
DOCS = [ROOT / "docs" / "operations.md", ROOT / "docs" / "sizing.md", ROOT / "SECURITY.md"]


@pytest.mark.parametrize("path", data_files(), ids=lambda path: str(path.relative_to(DEPLOY)))
def test_parses(path):
    if path.suffix == ".json":
        json.loads(path.read_text(encoding="utf-8"))
    else:
        assert load_all(path)


def test_images_have_versions():
    pattern = re.compile(r"^\s*(?:-\s+)?image:[ \t]*([\w.]\S*)|^FROM (\S+)", re.M)
    images = [
        a or b for path in TEXTS for a, b in pattern.findall(path.read_text(encoding="utf-8"))
    ]
    assert len(images) >= 6
    for image in images:
        tag = image.rpartition("/")[2].partition(":")[2]
        assert re.search(r"\d+\.\d+", tag), f"{image} names no version"


def test_the_page_says_where_each_image_of_ours_comes_from():
    page = (DEPLOY / "README.md").read_text(encoding="utf-8")
    ours = re.compile(
        r"(?:image: |newName: |reference: )((?:ghcr\.io/pixpool|registry\.example\.com)/\S+)"
    )
    named = {image for path in data_files() for image in ours.findall(path.read_text())}
    named.add("ghcr.io/pixpool/pixpool:0.1.0-cuda")
    assert len(named) >= 3
    for image in named:
        assert f"| `{image}` |" in page, f"deploy/README.md does not say how to get {image}"


# Options.


# Variables of ours that the server does not read.
OTHER_VARIABLES = {
    "PIXPOOL_TORCH",
    "PIXPOOL_LOCK",
    "PIXPOOL_TARGET",
    "PIXPOOL_PYTHON",
    "PIXPOOL_PHOTO",
}
# Those that the command reads.
OTHER_VARIABLES |= {
    name
    for path in (ROOT / "client" / "cli").glob("*.cc")
    for name in re.findall(r'"(PIXPOOL_[A-Z_]+)"', path.read_text(encoding="utf-8"))
}


@pytest.mark.parametrize("path", [*TEXTS, *DOCS], ids=lambda path: str(path.relative_to(ROOT)))
def test_variables_and_flags_are_options_of_the_server(path):
    text = path.read_text(encoding="utf-8")
    options = known_options()
    for name in set(re.findall(r"\bPIXPOOL_[A-Z_]+[A-Z]\b", text)) - OTHER_VARIABLES:
        assert name.removeprefix("PIXPOOL_").lower().replace("_", "-") in options, (
            f"{name} is no option"
        )
    # Flags of other programs share the files; those that limit, drain or listen are ours.
    ours = (
        r"--((?:max|drain|default|listen|http-listen|models-dir|reply|decode|instances|threads"
        r"|precision)(?:-[a-z]+)*)\b"
    )
    for name in set(re.findall(ours, text)) - {
        "max-in-flight"
    }:  # "--max-in-flight-..." stands for three
        assert name in options, f"--{name} is no option"


# The clients' service configs.

CONFIGS = sorted((DEPLOY / "client").glob("*.json"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_the_service_config_names_services_and_methods_that_exist(path):
    found = set()
    for proto in (ROOT / "proto").rglob("*.proto"):
        text = proto.read_text()
        package = re.search(r"^package ([\w.]+);", text, re.M)[1]
        for name, body in re.findall(r"^service (\w+) \{(.*?)^\}", text, re.M | re.S):
            found |= {
                (f"{package}.{name}", method)
                for method in [None, *re.findall(r"\brpc (\w+)", body)]
            }
    config = json.loads(path.read_text())
    named = {
        (row["service"], row.get("method"))
        for method in config["methodConfig"]
        for row in method["name"]
    }
    assert named <= found


def test_behind_the_edge_only_the_health_check_is_missing():
    """It would show a client of the edge the health of whichever server it asked."""
    direct, edge = (
        json.loads((DEPLOY / "client" / name).read_text())
        for name in ("service_config.json", "service_config_edge.json")
    )
    assert direct.pop("healthCheckConfig")["serviceName"] == "pixpool.v1.FeatureService"
    assert direct == edge


def test_the_docs_say_which_service_config_is_whose():
    texts = [ROOT / "docs" / "operations.md", DEPLOY / "README.md"]
    for path in texts:
        text = path.read_text(encoding="utf-8")
        for config in CONFIGS:
            assert config.name in text, f"{path.name} does not name {config.name}"


def test_the_page_for_clients_states_the_limits_of_the_edge():
    edge = (DEPLOY / "envoy" / "envoy.yaml").read_text(encoding="utf-8")
    page = (ROOT / "docs" / "clients.md").read_text(encoding="utf-8")
    for setting, said in [
        (r"stream_idle_timeout: (\d+)s", r"nothing moves for ([\d,]+) s is cut"),
        (r"tokens_per_fill: (\d+)", r"takes ([\d,]+) calls a second"),
        (r"max_tokens: (\d+)", r"([\d,]+) at once\."),
        (r"max_request_headers_kb: (\d+)", r"Headers of a call have (\d+) KiB"),
        (r"max_headers_count: (\d+)", r"KiB and (\d+) entries\s+behind the edge"),
    ]:
        (found,) = re.findall(said, page)
        assert found.replace(",", "") == re.search(setting, edge)[1], said


# Compose.


def test_compose_mounts_what_is_there_and_opens_loopback_only():
    compose = load(DEPLOY / "compose" / "compose.yaml")
    for name, service in compose["services"].items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (DEPLOY / "compose" / source).exists(), f"{name}: {source}"
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), f"{name}: {port}"
    assert compose["services"]["pixpool"]["networks"] == ["inside"], (
        "the server's own port stays behind the edge"
    )


def test_the_edge_says_whose_a_call_is():
    edge = (DEPLOY / "envoy" / "envoy.yaml").read_text(encoding="utf-8")
    header = "pixpool-caller"
    assert re.search(rf"remove: {header}\n\s+- append:\n\s+header: {{key: {header},", edge), (
        "what clients send goes before the edge's own word comes"
    )
    (keys,) = load(DEPLOY / "envoy" / "api_keys.yaml")["http_filters"]
    assert keys["typed_config"]["forwarding"]["header"] == header
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert f"`--caller-header {header}`" in page


def test_compose_gives_each_service_the_secrets_that_it_names():
    compose = load(DEPLOY / "compose" / "compose.yaml")
    for name, service in compose["services"].items():
        given = {
            each["target"] if isinstance(each, dict) else f"/run/secrets/{each}"
            for each in service.get("secrets", [])
        }
        sources = {
            each["source"] if isinstance(each, dict) else each
            for each in service.get("secrets", [])
        }
        assert sources <= compose["secrets"].keys(), name
        asked = " ".join(
            [
                *map(str, service.get("command", [])),
                *map(str, service.get("environment", {}).values()),
            ]
        )
        assert set(re.findall(r"/run/secrets/[a-z]+", asked)) <= given, name
    edge = (DEPLOY / "envoy" / "envoy.yaml").read_text(encoding="utf-8")
    assert {each["target"] for each in compose["services"]["envoy"]["secrets"]} == set(
        re.findall(r"filename: (/etc/envoy/tls/tls\.\w+)", edge)
    )
    # One who looks at the command line or the environment sees no token.
    assert "tokens" in compose["services"]["pixpool"]["secrets"]


# KServe.


def test_kserve_runtime_and_service_fit():
    runtime = load(DEPLOY / "kserve" / "serving-runtime.yaml")
    service = load(DEPLOY / "kserve" / "inference-service.yaml")
    predictor = service["spec"]["predictor"]
    assert predictor["model"]["runtime"] == runtime["metadata"]["name"]
    supported = {(row["name"], row["version"]) for row in runtime["spec"]["supportedModelFormats"]}
    assert (
        predictor["model"]["modelFormat"]["name"],
        predictor["model"]["modelFormat"]["version"],
    ) in supported
    (container,) = runtime["spec"]["containers"]
    assert container["name"] == "kserve-container"
    options = {row["name"]: row["value"] for row in container["env"]}
    assert options["PIXPOOL_MODELS_DIR"] == "/mnt/models"
    drain_s = (
        int(options["PIXPOOL_DRAIN_DELAY_MS"]) + int(options["PIXPOOL_DRAIN_TIMEOUT_MS"])
    ) / 1000
    assert predictor["terminationGracePeriodSeconds"] >= drain_s + GRACE_MARGIN_S


# Scripts.


def test_the_scripts_run_on_this_python():
    """They use the standard library only."""
    for script in (
        DEPLOY / "grafana" / "make_dashboard.py",
        DEPLOY / "kubernetes" / "components" / "monitoring" / "make_rules.py",
    ):
        run = "import runpy, sys; sys.path.insert(0, sys.argv[1]); runpy.run_path(sys.argv[2])"
        subprocess.run([sys.executable, "-S", "-c", run, script.parent, script], check=True)
