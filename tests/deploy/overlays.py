"""The Kubernetes manifests as they would be applied."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
import yaml

from deploy_files import DEPLOY

FOLDER = DEPLOY / "kubernetes"
# How the shipped overlays are rendered, and the CPU's with components that it only names.
COMPOSITIONS = {
    "cpu": ("cpu",),
    "gpu": ("gpu",),
    "kind": ("kind",),
    "locked": ("cpu", "tls", "tokens", "queue-autoscaling"),
    "models-pvc": ("cpu", "models-pvc"),
    "models-image": ("cpu", "models-image"),
    "models-init": ("gpu", "models-init", "tls", "tokens"),
}


@functools.cache
def render() -> dict[str, str]:
    """Composition -> its manifests. A module that calls this at its head is skipped as a whole
    where no kubectl can render them.
    """
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed (kubernetes.io)", allow_module_level=True)
    return {name: kustomize(*parts) for name, parts in COMPOSITIONS.items()}


def kustomize(overlay: str, *components: str) -> str:
    """An overlay with components on top, as a user's own kustomization would have it."""
    with tempfile.TemporaryDirectory() as temporary:
        # Kustomize follows no link, and takes paths that are not absolute alone.
        here = Path(temporary).resolve()
        own = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [os.path.relpath(FOLDER / "overlays" / overlay, here)],
            "components": [
                os.path.relpath(FOLDER / "components" / name, here) for name in components
            ],
        }
        (here / "kustomization.yaml").write_text(yaml.safe_dump(own))
        done = subprocess.run(
            ["kubectl", "kustomize", here], capture_output=True, text=True, check=False
        )
    if 'unknown field "components"' in done.stderr:
        pytest.skip(
            "kubectl is too old for kustomize components; 1.21 or later has them",
            allow_module_level=True,
        )
    assert done.returncode == 0, done.stderr
    return done.stdout


def by_kind(manifests: str) -> dict[str, dict]:
    """Kind -> the one manifest of it. The dashboard's ConfigMap goes by "Dashboard"."""
    found = {}
    for part in yaml.safe_load_all(manifests):
        labels = part["metadata"].get("labels", {})
        kind = "Dashboard" if "grafana_dashboard" in labels else part["kind"]
        assert kind not in found, f"two of {kind}"
        found[kind] = part
    return found
