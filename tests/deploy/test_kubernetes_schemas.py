"""The Kubernetes manifests as they are applied, by the API's schemas and checkov's rules."""

from __future__ import annotations

import subprocess

import kubernetes_validate
import pytest

import charts
from deploy_files import load_all
from overlays import COMPOSITIONS, FOLDER, by_kind, render

RENDERED = render()


@pytest.mark.parametrize("name", COMPOSITIONS)
def test_valid_by_the_schemas(name):
    for part in by_kind(RENDERED[name]).values():
        # No schema of these is in the package.
        if "monitoring.coreos.com" not in part["apiVersion"]:
            kubernetes_validate.validate(part, kubernetes_validate.latest_version(), strict=True)


def test_what_only_the_chart_makes_is_valid():
    charts.need_helm()
    sets = ["tokens.callers.search=" + 64 * "0", "tls.certificate=c", "tls.key=k"]
    parts = charts.manifests(*sets, "ingress.enabled=true", values="kind")
    assert {"Secret", "Ingress", "Deployment"} <= {part["kind"] for part in parts}
    for part in parts:
        kubernetes_validate.validate(part, kubernetes_validate.latest_version(), strict=True)


def test_the_example_of_an_ingress_is_valid():
    """Of the Gateway API and cert-manager no schema is in the package."""
    (ingress,) = load_all(FOLDER / "examples" / "ingress.yaml")
    kubernetes_validate.validate(ingress, kubernetes_validate.latest_version(), strict=True)


def test_checkov_finds_nothing_that_is_not_explained(program, tmp_path):
    files = [tmp_path / f"{name}.yaml" for name in COMPOSITIONS]
    for name, file in zip(COMPOSITIONS, files, strict=True):
        file.write_text(RENDERED[name])
    command = [program("checkov", "PyPI, in an environment of its own"), "-f", *files]
    command += ["--config-file", FOLDER / "checkov.yaml"]
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0 and "Passed checks" in done.stdout, (
        done.stdout + done.stderr[-2000:]
    )
