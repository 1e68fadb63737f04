"""The Kubernetes manifests as they are applied are consistent with one another."""

from __future__ import annotations

import pytest

from deploy_files import GRACE_MARGIN_S, load
from overlays import FOLDER, OVERLAYS, by_kind, render

RENDERED = render()


@pytest.fixture(scope="module", params=OVERLAYS)
def kinds(request) -> dict:
    """The manifests of an overlay, by kind."""
    return by_kind(RENDERED[request.param])


def pod_of(kinds):
    return kinds["Deployment"]["spec"]["template"]


def test_selectors_find_the_pods(kinds):
    labels = pod_of(kinds)["metadata"]["labels"].items()
    assert kinds["Deployment"]["spec"]["selector"]["matchLabels"].items() <= labels
    assert kinds["Service"]["spec"]["selector"].items() <= labels
    assert kinds["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"].items() <= labels
    assert kinds["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"].items() <= labels
    service = kinds["Service"]["metadata"]
    assert (
        kinds["ServiceMonitor"]["spec"]["selector"]["matchLabels"].items()
        <= service["labels"].items()
    )
    assert service["name"] == "pixpool", "the job of the alerts"
    assert (
        kinds["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"]
        == kinds["Deployment"]["metadata"]["name"]
    )


def test_clients_need_not_be_servers(kinds):
    """Kustomize's labels also reach into the peers of a network policy, if they are let."""
    peer = kinds["NetworkPolicy"]["spec"]["ingress"][0]["from"][0]
    assert peer["podSelector"]["matchLabels"] == {"pixpool/client": "true"}


def test_the_service_is_headless_and_ports_agree(kinds):
    assert kinds["Service"]["spec"]["clusterIP"] == "None"
    (container,) = pod_of(kinds)["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert {port["targetPort"] for port in kinds["Service"]["spec"]["ports"]} == set(ports)
    options = kinds["ConfigMap"]["data"]
    assert options["PIXPOOL_LISTEN"] == f"0.0.0.0:{ports['grpc']}"
    assert options["PIXPOOL_HTTP_LISTEN"] == f"0.0.0.0:{ports['metrics']}"
    assert container["envFrom"] == [
        {"configMapRef": {"name": kinds["ConfigMap"]["metadata"]["name"]}}
    ]
    assert options["PIXPOOL_MODELS_DIR"] == container["volumeMounts"][0]["mountPath"]


def test_probes_ask_grpc_health(kinds):
    (container,) = pod_of(kinds)["spec"]["containers"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["grpc"]["port"] == 50051
    readiness = container["readinessProbe"]
    notice_s = (
        readiness["periodSeconds"] * readiness["failureThreshold"] + readiness["timeoutSeconds"]
    )
    assert int(kinds["ConfigMap"]["data"]["PIXPOOL_DRAIN_DELAY_MS"]) >= 1000 * notice_s


def test_the_pod_may_live_as_long_as_the_server_drains(kinds):
    options = kinds["ConfigMap"]["data"]
    drain_s = (
        int(options["PIXPOOL_DRAIN_DELAY_MS"]) + int(options["PIXPOOL_DRAIN_TIMEOUT_MS"])
    ) / 1000
    assert pod_of(kinds)["spec"]["terminationGracePeriodSeconds"] >= drain_s + GRACE_MARGIN_S


def test_the_pod_is_restricted(kinds):
    spec = pod_of(kinds)["spec"]
    (container,) = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    context = container["securityContext"]
    assert context["readOnlyRootFilesystem"] and not context["allowPrivilegeEscalation"]
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert (
        kinds["Namespace"]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
        == "restricted"
    )
    assert kinds["NetworkPolicy"]["spec"]["egress"] == []


def test_threads_follow_a_cpu_limit_and_memory_is_guaranteed(kinds):
    resources = pod_of(kinds)["spec"]["containers"][0]["resources"]
    assert (
        resources["limits"] == resources["requests"]
        and {"cpu", "memory"} <= resources["limits"].keys()
    )


def test_the_gpu_overlay_asks_for_a_gpu_and_says_so_to_the_server(kinds, request):
    (container,) = pod_of(kinds)["spec"]["containers"]
    gpu = request.node.callspec.params["kinds"] == "gpu"
    assert ("nvidia.com/gpu" in container["resources"]["limits"]) == gpu
    assert (kinds["ConfigMap"]["data"].get("PIXPOOL_DEVICE") == "cuda") == gpu
    assert container["image"].endswith("-cuda") == gpu


def test_the_autoscaler_looks_at_the_queue_then_at_the_cores(kinds):
    queue, cores = kinds["HorizontalPodAutoscaler"]["spec"]["metrics"]
    name = queue["pods"]["metric"]["name"]
    assert cores["resource"]["name"] == "cpu"
    adapter = load(FOLDER / "components" / "monitoring" / "adapter-values.yaml")["rules"]["custom"]
    assert name in {rule["name"]["as"] for rule in adapter}
