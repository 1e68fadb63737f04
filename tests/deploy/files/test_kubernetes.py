"""The Kubernetes manifests as they are applied are consistent with one another."""

from __future__ import annotations

import json

import pytest

from deploy_files import DASHBOARD, GRACE_MARGIN_S, RULES, load, load_all
from overlays import COMPOSITIONS, FOLDER, by_kind, render
from pod import container_of, env_of, files_of, mount_of, pod_of, selects

RENDERED = render()
# Compositions whose server has TLS, and those that have monitoring and an autoscaler.
LOCKED = {"kind", "locked", "models-init"}
MONITORED = COMPOSITIONS.keys() - {"kind"}


@pytest.fixture(scope="module", params=COMPOSITIONS)
def name(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def kinds(name) -> dict:
    """The manifests of a composition, by kind."""
    return by_kind(RENDERED[name])


def test_selectors_find_the_pods(kinds):
    labels = pod_of(kinds)["metadata"]["labels"]
    assert selects(kinds["Deployment"]["spec"]["selector"]["matchLabels"], labels)
    assert selects(kinds["Service"]["spec"]["selector"], labels)
    assert selects(kinds["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"], labels)
    assert selects(kinds["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"], labels)


def test_clients_need_not_be_servers(kinds):
    """Kustomize's labels also reach into the peers of a network policy, if they are let."""
    peer = kinds["NetworkPolicy"]["spec"]["ingress"][0]["from"][0]
    assert peer["podSelector"]["matchLabels"] == {"pixpool/client": "true"}


def test_the_service_is_headless_and_ports_agree(kinds):
    assert kinds["Service"]["spec"]["clusterIP"] == "None"
    container = container_of(kinds)
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert {port["targetPort"] for port in kinds["Service"]["spec"]["ports"]} == set(ports)
    options = env_of(kinds)
    assert options["PIXPOOL_LISTEN"] == f"0.0.0.0:{ports['grpc']}"
    assert options["PIXPOOL_HTTP_LISTEN"] == f"0.0.0.0:{ports['metrics']}"


def test_the_pod_may_live_as_long_as_the_server_drains(kinds):
    options = env_of(kinds)
    drain_s = (
        int(options["PIXPOOL_DRAIN_DELAY_MS"]) + int(options["PIXPOOL_DRAIN_TIMEOUT_MS"])
    ) / 1000
    assert pod_of(kinds)["spec"]["terminationGracePeriodSeconds"] >= drain_s + GRACE_MARGIN_S


def test_the_pod_is_restricted(kinds):
    spec = pod_of(kinds)["spec"]
    assert spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    for container in [*spec["containers"], *spec.get("initContainers", [])]:
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] and not context["allowPrivilegeEscalation"]
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"].keys() >= {"cpu", "memory"}
    enforced = kinds["Namespace"]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
    assert enforced == "restricted"
    assert kinds["NetworkPolicy"]["spec"]["egress"] == []


def test_threads_follow_a_cpu_limit_and_memory_is_guaranteed(kinds):
    resources = container_of(kinds)["resources"]
    assert (
        resources["limits"] == resources["requests"]
        and {"cpu", "memory"} <= resources["limits"].keys()
    )


# Probes, TLS and tokens.


def test_probes_ask_what_answers(kinds, name):
    """Kubernetes' own gRPC probes speak plain text only. Those whose failure ends the container ask
    whether it lives: a server without a model is not ready, and no restart changes that."""
    container = container_of(kinds)
    for probe, path in (
        ("startupProbe", "/livez"),
        ("readinessProbe", "/readyz"),
        ("livenessProbe", "/livez"),
    ):
        if name in LOCKED:
            assert container[probe]["httpGet"] == {"path": path, "port": "metrics"}
            assert "grpc" not in container[probe]
        else:
            service = path if path == "/livez" else "pixpool.v1.FeatureService"
            assert container[probe]["grpc"] == {"port": 50051, "service": service}
    readiness = container["readinessProbe"]
    notice_s = (
        readiness["periodSeconds"] * readiness["failureThreshold"] + readiness["timeoutSeconds"]
    )
    assert int(env_of(kinds)["PIXPOOL_DRAIN_DELAY_MS"]) >= 1000 * notice_s


def test_secrets_are_mounted_where_the_options_look_and_readable(kinds, name):
    options, files = env_of(kinds), files_of(kinds)
    found = {
        option: files.get(options.get(option))
        for option in ("PIXPOOL_TLS_CERT", "PIXPOOL_TLS_KEY", "PIXPOOL_TOKENS")
    }
    if name in LOCKED:
        assert found == {
            "PIXPOOL_TLS_CERT": "pixpool-tls",
            "PIXPOOL_TLS_KEY": "pixpool-tls",
            "PIXPOOL_TOKENS": "pixpool-tokens",
        }
    else:
        assert not any(found.values())
    spec = pod_of(kinds)["spec"]
    for volume in spec.get("volumes", []):
        if "secret" in volume:
            assert volume["secret"]["defaultMode"] == 0o440
            assert spec["securityContext"]["fsGroup"] == spec["securityContext"]["runAsGroup"]


def test_the_service_tells_what_its_port_speaks(kinds, name):
    (port,) = (port for port in kinds["Service"]["spec"]["ports"] if port["name"] == "grpc")
    assert port["appProtocol"] == ("https" if name in LOCKED else "kubernetes.io/h2c")


# Models.


def test_models_come_from_the_image_or_from_where_a_component_says(kinds, name):
    folder = env_of(kinds)["PIXPOOL_MODELS_DIR"]
    volume = mount_of(kinds, folder)
    if name == "models-pvc":
        claim = volume["persistentVolumeClaim"]
        assert claim["readOnly"]
        assert claim["claimName"] == kinds["PersistentVolumeClaim"]["metadata"]["name"]
    elif name == "models-image":
        assert volume["image"]["reference"].endswith(":1.0")
    elif name == "models-init":
        (copies,) = pod_of(kinds)["spec"]["initContainers"]
        (target,) = copies["volumeMounts"]
        assert target["name"] == volume["name"] and "emptyDir" in volume
        assert copies["command"][-1] == target["mountPath"]
    else:
        assert volume is None and folder == "/models", "the image has its own there"


def test_the_pod_that_fills_the_claim_mounts_it():
    (claim,) = load_all(FOLDER / "components" / "models-pvc" / "claim.yaml")
    (pod,) = load_all(FOLDER / "components" / "models-pvc" / "fill-models.yaml")
    (volume,) = pod["spec"]["volumes"]
    assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]


# Devices and replicas.


def test_the_gpu_overlay_asks_for_a_gpu_and_says_so_to_the_server(kinds, name):
    container = container_of(kinds)
    gpu = COMPOSITIONS[name][0] == "gpu"
    assert ("nvidia.com/gpu" in container["resources"]["limits"]) == gpu
    assert (env_of(kinds).get("PIXPOOL_DEVICE") == "cuda") == gpu
    assert container["image"].endswith("-cuda") == gpu


def test_the_autoscaler_goes_down_where_there_is_no_adapter(kinds, name):
    """One metric that cannot be read keeps an autoscaler from taking replicas away, whatever the
    others say (kubernetes#99514): by default it looks at what every cluster has.
    """
    if name == "kind":
        assert "HorizontalPodAutoscaler" not in kinds
        return
    spec = kinds["HorizontalPodAutoscaler"]["spec"]
    assert spec["scaleTargetRef"]["name"] == kinds["Deployment"]["metadata"]["name"]
    *others, cores = spec["metrics"]
    assert cores["type"] == "Resource" and cores["resource"]["name"] == "cpu"
    if "queue-autoscaling" not in COMPOSITIONS[name]:
        assert not others
        return
    (queue,) = others
    values = load(FOLDER / "components" / "queue-autoscaling" / "adapter-values.yaml")
    assert queue["pods"]["metric"]["name"] in {
        rule["name"]["as"] for rule in values["rules"]["custom"]
    }


# Monitoring.


def test_kube_prometheus_stack_finds_it_as_it_is_installed(kinds, name):
    """Its Prometheus takes objects that are labelled with the name of the release, and its Grafana
    the ConfigMaps that are labelled as dashboards, from any namespace.
    """
    if name not in MONITORED:
        assert not {"ServiceMonitor", "PrometheusRule", "Dashboard"} & kinds.keys()
        return
    for kind in ("ServiceMonitor", "PrometheusRule"):
        assert kinds[kind]["metadata"]["labels"]["release"] == "kube-prometheus-stack"
    service, monitor = kinds["Service"], kinds["ServiceMonitor"]["spec"]
    assert selects(monitor["selector"]["matchLabels"], service["metadata"]["labels"])
    assert monitor["endpoints"][0]["port"] in {port["name"] for port in service["spec"]["ports"]}
    job = service["metadata"]["labels"][monitor["jobLabel"]]
    assert job == "pixpool", "the job of the alerts"
    groups = [group for path in RULES for group in load(path)["groups"]]
    assert kinds["PrometheusRule"]["spec"]["groups"] == groups
    dashboard = kinds["Dashboard"]
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    (text,) = dashboard["data"].values()
    assert json.loads(text) == json.loads(DASHBOARD.read_text())
    # `kubectl apply` keeps what it applied in an annotation; all of them have 256 KiB.
    assert len(json.dumps(dashboard)) < 200_000
