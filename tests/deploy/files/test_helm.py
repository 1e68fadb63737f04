"""The Helm chart: the same as the Kustomize overlays, its values documented and checked."""

from __future__ import annotations

import json
import re

import pytest
import yaml

import charts
import overlays
from charts import CHART, helm, manifests, template
from deploy_files import known_options, load, load_all
from pod import container_of, files_of, pod_of, selects

charts.need_helm()
KUSTOMIZED = overlays.render()
VALUES = (CHART / "values.yaml").read_text(encoding="utf-8")
DIGEST = "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"
# Labels that say who installed it.
HELMS = {
    "app.kubernetes.io/instance",
    "app.kubernetes.io/version",
    "app.kubernetes.io/managed-by",
    "helm.sh/chart",
}


def kinds_of(*sets: str, **more) -> dict[str, dict]:
    return overlays.by_kind(yaml.safe_dump_all(manifests(*sets, **more)))


def bare(part, config_map: str):
    """A manifest without what Helm and Kustomize each put there for themselves: labels of the
    release, a map's hash in its name or in an annotation.
    """
    if isinstance(part, list):
        return [bare(each, config_map) for each in part]
    if not isinstance(part, dict):
        return "pixpool" if part == config_map else part
    kept = {}
    for name, value in part.items():
        if name in HELMS or name in {"checksum/options", "helm.sh/resource-policy"}:
            continue
        value = bare(value, config_map)
        if name == "annotations" and not value:
            continue
        # Kustomize labels what comes from the base, the chart all of it; the namespace is -n's.
        if name == "metadata":
            value = {key: each for key, each in value.items() if key != "namespace"}
            value.get("labels", {}).pop("app.kubernetes.io/name", None)
            value = {key: each for key, each in value.items() if each != {}}
        kept[name] = value
    return kept


@pytest.mark.parametrize("name", charts.COMPOSITIONS)
def test_chart_and_overlay_are_the_same(name):
    values, *sets = charts.COMPOSITIONS[name]
    chart = kinds_of(*sets, values=values)
    overlay = overlays.by_kind(KUSTOMIZED[name])
    overlay.pop("Namespace")  # --create-namespace
    assert chart.keys() == overlay.keys()
    if name == "kind":
        assert chart["Deployment"]["spec"].pop("replicas") == 1  # Kubernetes' default
    for kind in chart:
        theirs = bare(overlay[kind], overlay["ConfigMap"]["metadata"]["name"])
        assert bare(chart[kind], "") == theirs, kind


def test_the_chart_passes_helms_own_checks():
    for values in ("", "kind", "cpu", "gpu"):
        chosen = ["-f", CHART / f"values-{values}.yaml"] if values else []
        done = helm("lint", "--strict", "--quiet", CHART, *chosen)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_version_is_the_projects():
    chart = load(CHART / "Chart.yaml")
    tag = container_of(overlays.by_kind(KUSTOMIZED["cpu"]))["image"].rpartition(":")[2]
    assert chart["version"] == chart["appVersion"] == tag


# Values.


def leaves(schema: dict, values, path: str = ""):
    """Each value that is no map of a user's own, with its schema."""
    for name, value in values.items():
        own = schema["properties"][name]
        here = f"{path}{name}"
        if (
            isinstance(value, dict)
            and "properties" in own
            and own.get("additionalProperties") is False
        ):
            yield from leaves(own, value, f"{here}.")
        else:
            yield here, own


def test_every_value_has_a_schema_and_the_schema_has_no_other():
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load(VALUES)
    assert len(list(leaves(schema, values))) > 40

    def names(part, given):
        """Paths of a schema, and of what values.yaml has for them."""
        for name, own in part["properties"].items():
            assert name in given or name == "global", f"values.yaml lacks {name}"
            if own.get("properties") and own.get("additionalProperties") is False and given[name]:
                names(own, given[name])

    names(schema, values)


def test_every_group_of_values_is_explained():
    for block in re.split(r"\n\n", VALUES)[1:]:
        lines = block.strip().splitlines()
        assert any(line.lstrip().startswith("#") for line in lines[:3]), block


def test_options_in_the_values_are_the_servers():
    for path in CHART.glob("values*.yaml"):
        named = (load(path).get("options") or {}).keys()
        assert named <= known_options(), path.name


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("replica=2", "replica"),
        ("replicas=0", "replicas"),
        ("resources.memory=lots", "memory"),
        ("image.digest=sha256:12", "digest"),
        ("options.listen=0.0.0.0:1", "listen"),
        ("options.tls-cert=/x", "tls-cert"),
        ("tokens.callers.search=secret", "callers"),
        ("tls.enable=true", "enable"),
        ("models.from=s3", "from"),
        ("autoscaling.cpu=170", "cpu"),
        ("route.hostname=https://x", "hostname"),
    ],
)
def test_wrong_values_are_refused_by_name(wrong, said):
    done = template(wrong)
    assert done.returncode != 0
    assert "schema" in done.stderr and said in done.stderr, done.stderr


def test_a_certificate_without_its_key_is_refused(tmp_path):
    (tmp_path / "tls.crt").write_text("c")
    done = template("tls.enabled=true", files=(f"tls.certificate={tmp_path / 'tls.crt'}",))
    assert done.returncode != 0 and "tls.key is missing" in done.stderr


# What only the chart can.


def test_secrets_by_values_are_what_the_pod_mounts(tmp_path):
    for name in ("tls.crt", "tls.key"):
        (tmp_path / name).write_text(f"{name}\nof two lines\n")
    done = manifests(
        f"tokens.callers.search={DIGEST} priority=bulk requests=64",
        f"tokens.callers.nightly[0]={DIGEST}",
        f"tokens.callers.nightly[1]={'0' * 64}",
        values="kind",
        files=(f"tls.certificate={tmp_path / 'tls.crt'}", f"tls.key={tmp_path / 'tls.key'}"),
    )
    secrets = {part["metadata"]["name"]: part for part in done if part["kind"] == "Secret"}
    kinds = overlays.by_kind(yaml.safe_dump_all(part for part in done if part["kind"] != "Secret"))
    assert set(files_of(kinds).values()) == secrets.keys()
    assert secrets["pixpool-tls"]["type"] == "kubernetes.io/tls"
    assert secrets["pixpool-tls"]["stringData"] == {
        name: f"{name}\nof two lines\n" for name in ("tls.crt", "tls.key")
    }
    assert secrets["pixpool-tokens"]["stringData"]["tokens"].splitlines() == [
        f"nightly {DIGEST}",
        f"nightly {'0' * 64}",
        f"search {DIGEST} priority=bulk requests=64",
    ]


def test_an_issuer_makes_the_secret_that_the_pod_mounts():
    kinds = kinds_of("tls.enabled=true", "tls.issuer.name=ours", "tls.issuer.kind=Issuer")
    spec = kinds["Certificate"]["spec"]
    (example,) = load_all(overlays.FOLDER / "examples" / "certificate.yaml")
    assert spec == example["spec"] | {"issuerRef": {"name": "ours", "kind": "Issuer"}}
    assert spec["secretName"] in files_of(kinds).values()


def test_route_and_ingress_are_the_examples():
    kinds = kinds_of(
        "route.enabled=true", "route.section=grpc", "ingress.enabled=true", values="kind"
    )
    _, route, policy = load_all(overlays.FOLDER / "examples" / "gateway.yaml")
    assert kinds["GRPCRoute"]["spec"] == route["spec"]
    assert kinds["BackendTLSPolicy"]["spec"] == policy["spec"]
    ingress = load(overlays.FOLDER / "examples" / "ingress.yaml")
    assert kinds["Ingress"]["spec"] == ingress["spec"]
    annotations = kinds["Ingress"]["metadata"]["annotations"]
    assert annotations.items() <= ingress["metadata"]["annotations"].items()
    plain = kinds_of("route.enabled=true", "ingress.enabled=true")
    assert "BackendTLSPolicy" not in plain
    protocol = "nginx.ingress.kubernetes.io/backend-protocol"
    assert plain["Ingress"]["metadata"]["annotations"][protocol] == "GRPC"


def test_two_releases_in_a_namespace_stay_apart():
    first, second = kinds_of(values="cpu"), kinds_of(values="cpu", release="other")
    names = {part["metadata"]["name"] for part in first.values()}
    assert not names & {part["metadata"]["name"] for part in second.values()}
    for one, other in ((first, second), (second, first)):
        labels = pod_of(other)["metadata"]["labels"]
        for kind in ("Service", "Deployment", "NetworkPolicy", "ServiceMonitor"):
            spec = one[kind]["spec"]
            selector = spec.get("selector") or spec["podSelector"]
            assert not selects(selector.get("matchLabels", selector), labels), kind


def test_options_reach_the_server_as_they_are():
    data = kinds_of(
        "options.max-in-flight-bytes=1073741824",
        "options.reflection=true",
        "options.default-model=resnet50",
        "options.drain-timeout-ms=90000",
    )
    options = data["ConfigMap"]["data"]
    assert options["PIXPOOL_MAX_IN_FLIGHT_BYTES"] == "1073741824"
    assert options["PIXPOOL_REFLECTION"] == "true"
    assert options["PIXPOOL_DEFAULT_MODEL"] == "resnet50"
    assert pod_of(data)["spec"]["terminationGracePeriodSeconds"] == 110


def test_a_change_of_an_option_is_a_rollout():
    one, other = (pod_of(kinds_of(*sets)) for sets in ((), ("options.reflection=true",)))
    assert one["metadata"]["annotations"] != other["metadata"]["annotations"]
