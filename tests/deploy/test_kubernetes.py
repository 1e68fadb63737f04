"""The Kubernetes manifests as they are applied: valid by the API's schemas, and consistent with one
another.
"""

from __future__ import annotations

import subprocess
import sys

import pytest
import yaml

from deploy_files import DEPLOY, load

FOLDER = DEPLOY / "kubernetes"
GRACE_MARGIN_S = 5


OVERLAYS = ["cpu", "gpu"]


@pytest.fixture(scope="module")
def files(program, tmp_path_factory) -> dict:
    """Overlay -> the file of its manifests, as they would be applied."""
    folder = tmp_path_factory.mktemp("rendered")
    for name in OVERLAYS:
        done = subprocess.run(
            [program("kubectl", "kubernetes.io"), "kustomize", str(FOLDER / "overlays" / name)],
            capture_output=True,
            text=True,
            check=False,
        )
        if 'unknown field "components"' in done.stderr:
            pytest.skip("kubectl is too old for kustomize components; 1.21 or later has them")
        assert done.returncode == 0, done.stderr
        (folder / f"{name}.yaml").write_text(done.stdout)
    return {name: folder / f"{name}.yaml" for name in OVERLAYS}


@pytest.fixture(scope="module", params=OVERLAYS)
def rendered(request, files):
    """The file of an overlay's manifests, and the manifests by kind."""
    path = files[request.param]
    return path, {part["kind"]: part for part in yaml.safe_load_all(path.read_text())}


def pod_of(kinds):
    return kinds["Deployment"]["spec"]["template"]


def test_valid_by_the_schemas(rendered):
    validate = pytest.importorskip(
        "kubernetes_validate", reason="kubernetes-validate is not installed (PyPI)"
    )
    for part in rendered[1].values():
        # The package holds no schema of the monitoring operator's kinds.
        if "monitoring.coreos.com" not in part["apiVersion"]:
            validate.validate(part, validate.latest_version(), strict=True)


def test_checkov_finds_nothing_that_is_not_explained(files, program):
    command = [program("checkov", "PyPI, in an environment of its own"), "-f", *files.values()]
    command += ["--config-file", FOLDER / "checkov.yaml"]
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0 and "Passed checks" in done.stdout, (
        done.stdout + done.stderr[-2000:]
    )


def test_selectors_find_the_pods(rendered):
    kinds = rendered[1]
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


def test_clients_need_not_be_servers(rendered):
    """Kustomize's labels also reach into the peers of a network policy, if they are let."""
    peer = rendered[1]["NetworkPolicy"]["spec"]["ingress"][0]["from"][0]
    assert peer["podSelector"]["matchLabels"] == {"pixpool/client": "true"}


def test_the_service_is_headless_and_ports_agree(rendered):
    kinds = rendered[1]
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


def test_probes_ask_grpc_health(rendered):
    (container,) = pod_of(rendered[1])["spec"]["containers"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["grpc"]["port"] == 50051
    readiness = container["readinessProbe"]
    notice_s = (
        readiness["periodSeconds"] * readiness["failureThreshold"] + readiness["timeoutSeconds"]
    )
    assert int(rendered[1]["ConfigMap"]["data"]["PIXPOOL_DRAIN_DELAY_MS"]) >= 1000 * notice_s


def test_the_pod_may_live_as_long_as_the_server_drains(rendered):
    options = rendered[1]["ConfigMap"]["data"]
    drain_s = (
        int(options["PIXPOOL_DRAIN_DELAY_MS"]) + int(options["PIXPOOL_DRAIN_TIMEOUT_MS"])
    ) / 1000
    assert pod_of(rendered[1])["spec"]["terminationGracePeriodSeconds"] >= drain_s + GRACE_MARGIN_S


def test_the_pod_is_restricted(rendered):
    spec = pod_of(rendered[1])["spec"]
    (container,) = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    context = container["securityContext"]
    assert context["readOnlyRootFilesystem"] and not context["allowPrivilegeEscalation"]
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert (
        rendered[1]["Namespace"]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
        == "restricted"
    )
    assert rendered[1]["NetworkPolicy"]["spec"]["egress"] == []


def test_threads_follow_a_cpu_limit_and_memory_is_guaranteed(rendered):
    resources = pod_of(rendered[1])["spec"]["containers"][0]["resources"]
    assert (
        resources["limits"] == resources["requests"]
        and {"cpu", "memory"} <= resources["limits"].keys()
    )


def test_the_gpu_overlay_asks_for_a_gpu_and_says_so_to_the_server(rendered):
    path, kinds = rendered
    (container,) = pod_of(kinds)["spec"]["containers"]
    gpu = path.stem == "gpu"
    assert ("nvidia.com/gpu" in container["resources"]["limits"]) == gpu
    assert (kinds["ConfigMap"]["data"].get("PIXPOOL_DEVICE") == "cuda") == gpu
    assert container["image"].endswith("-cuda") == gpu


def test_the_autoscaler_looks_at_the_queue_then_at_the_cores(rendered):
    queue, cores = rendered[1]["HorizontalPodAutoscaler"]["spec"]["metrics"]
    name = queue["pods"]["metric"]["name"]
    assert cores["resource"]["name"] == "cpu"
    adapter = load(FOLDER / "components" / "monitoring" / "adapter-values.yaml")["rules"]["custom"]
    assert name in {rule["name"]["as"] for rule in adapter}


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


def test_the_scripts_run_on_this_python():
    """They use the standard library only."""
    for script in (
        DEPLOY / "grafana" / "make_dashboard.py",
        FOLDER / "components" / "monitoring" / "make_rules.py",
    ):
        code = "import runpy, sys; sys.path.insert(0, sys.argv[1]); runpy.run_path(sys.argv[2])"
        subprocess.run([sys.executable, "-S", "-c", code, script.parent, script], check=True)
