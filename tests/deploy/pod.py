"""What manifests, by kind, make of the server's pod."""

from __future__ import annotations

from pathlib import PurePosixPath


def pod_of(kinds: dict) -> dict:
    return kinds["Deployment"]["spec"]["template"]


def container_of(kinds: dict) -> dict:
    (container,) = pod_of(kinds)["spec"]["containers"]
    return container


def selects(selector: dict, labels: dict) -> bool:
    return selector.items() <= labels.items()


def env_of(kinds: dict) -> dict[str, str]:
    """The environment of the server: of the ConfigMap and its own."""
    container = container_of(kinds)
    (source,) = container["envFrom"]
    assert source == {"configMapRef": {"name": kinds["ConfigMap"]["metadata"]["name"]}}
    own = {entry["name"]: entry["value"] for entry in container.get("env", [])}
    return kinds["ConfigMap"]["data"] | own


def mount_of(kinds: dict, path: str) -> dict | None:
    """The volume that holds a path of the server's container."""
    volumes = {volume["name"]: volume for volume in pod_of(kinds)["spec"].get("volumes", [])}
    for mount in container_of(kinds).get("volumeMounts", []):
        if PurePosixPath(path).is_relative_to(mount["mountPath"]):
            assert mount["readOnly"]
            return volumes[mount["name"]]
    return None


# What the secrets hold that the server's options name.
_KEYS = {"pixpool-tls": ("tls.crt", "tls.key"), "pixpool-tokens": ("tokens",)}


def files_of(kinds: dict) -> dict[str, str]:
    """Path in the server's container -> the secret that it comes from."""
    volumes = {volume["name"]: volume for volume in pod_of(kinds)["spec"].get("volumes", [])}
    found = {}
    for mount in container_of(kinds).get("volumeMounts", []):
        secret = volumes[mount["name"]].get("secret", {}).get("secretName")
        for key in _KEYS.get(secret, ()):
            found[f"{mount['mountPath']}/{key}"] = secret
    return found
