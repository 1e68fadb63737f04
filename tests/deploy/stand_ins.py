"""Stand-ins for Docker, kind and a cluster, for the commands of docs/first-deployment.md: what they
are told is checked as far as files can tell, kubectl and helm themselves render and make secrets,
and what they would start is started on this machine: the real server with the environment and the
secrets that it would have there, and the real edge.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import socketserver
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import yaml

from deploy_files import ROOT, load, load_all
from edge import Edge
from overlays import by_kind
from pod import container_of, env_of, mount_of, pod_of
from server_process import ServerProcess

ASK = """\
import json, socket, sys
with socket.socket(socket.AF_UNIX) as connection:
    connection.connect(sys.argv[1])
    with connection.makefile("rw") as file:
        print(json.dumps(sys.argv[2:]), file=file, flush=True)
        answer = json.loads(file.readline() or '[1, "", "the test is over"]')
print(answer[1], end="")
print(answer[2], end="", file=sys.stderr)
sys.exit(answer[0])
"""
# In a shell, in place of the programs; the working folder goes along.
PRELUDE = "".join(
    f'{name}() {{ "$PYTHON" "$STAND_INS/ask.py" "$STAND_INS/socket" "$PWD" {name} "$@"; }}\n'
    for name in ("git", "docker", "kind", "kubectl", "helm")
)
OK = (0, "", "")


def memory_bytes(quantity: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(Mi|Gi)", quantity).groups()
    return int(number) << {"Mi": 20, "Gi": 30}[unit]


def options_of(arguments: list[str], with_value: set[str]) -> tuple[dict[str, list], list[str]]:
    """Options until the first word that is none, and the rest."""
    found: dict[str, list] = {}
    rest = list(arguments)
    while rest and rest[0].startswith("-"):
        name, equals, value = rest.pop(0).partition("=")
        found.setdefault(name, []).append(
            value if equals else rest.pop(0) if name in with_value else True
        )
    return found, rest


class Machine:
    """What the commands act on. `edge_port` and `pod_port` are where the guide's ports are."""

    def __init__(
        self, folder: Path, bin_dir: Path, models: Path, api_load, envoy: str, ports
    ) -> None:
        self.folder, self.bin, self.models = folder, bin_dir, models
        self.load_script, self.envoy = api_load, envoy
        self.edge_port, self.pod_port = ports
        self.images: set[str] = set()
        self.node_images: set[str] | None = None
        self.objects: list[dict] = []
        self.server: ServerProcess | None = None
        self.edge: Edge | None = None
        self.pod: ServerProcess | None = None
        self.seen: list[str] = []
        self.metrics = ""
        (folder / "ask.py").write_text(ASK)
        machine = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                cwd, *words = json.loads(self.rfile.readline())
                machine.seen.append(" ".join(words[:2]))
                try:
                    answer = getattr(machine, words[0])(Path(cwd), words[1:])
                except Exception as error:
                    answer = (70, "", f"{' '.join(words)}: {type(error).__name__}: {error}\n")
                self.wfile.write(json.dumps(answer).encode() + b"\n")

        self._listener = socketserver.ThreadingUnixStreamServer(str(folder / "socket"), Handler)
        self._listener.daemon_threads = True
        self._over = threading.Event()
        threading.Thread(target=self._listener.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._over.set()
        self._listener.shutdown()
        self._listener.server_close()
        self._down()
        if self.pod:
            self.pod.stop()

    def _serve(self, name: str, environment: dict[str, str], files: dict[str, Path], port: int = 0):
        """The server, as a container would have it; `files` has what is mounted where."""
        own = {"PIXPOOL_LISTEN", "PIXPOOL_HTTP_LISTEN", "PIXPOOL_MODELS_DIR"}
        assert own <= environment.keys()
        for variable, value in environment.items():
            if value in files:
                environment[variable] = str(files[value])
            assert variable in own or not value.startswith("/") or value in files, (
                f"{variable}: nothing is mounted at {value}"
            )
        pairs = [f"{k}={v}" for k, v in environment.items() if k not in own]
        server = ServerProcess(
            self.bin / "pixpool-server",
            self.models,
            self.folder / f"{name}.log",
            target=f"127.0.0.1:{port}" if port else None,
            wrapper=("env", *pairs),
        )
        server.wait_ready()
        return server

    # git and docker.

    def git(self, cwd: Path, words: list[str]):
        """The clone is there already."""
        assert words == ["clone", "https://github.com/pixpool/pixpool"]
        assert (cwd / "pixpool").is_dir()
        return OK

    def docker(self, cwd: Path, words: list[str]):
        return getattr(self, f"_docker_{words[0]}")(cwd, words[1:])

    def _docker_build(self, cwd: Path, words: list[str]):
        options, (context,) = options_of(words, {"-t", "--target", "-f"})
        assert options.keys() == {"-t"} and (cwd / context / "Dockerfile").is_file()
        self.images.update(options["-t"])
        return OK

    def _docker_run(self, cwd: Path, words: list[str]):
        with_value = {"--network", "--user", "--volume", "--workdir", "--env", "--entrypoint"}
        options, (image, *arguments) = options_of(words, with_value)
        assert image in self.images, f"{image} is not built"
        assert options["--network"] == ["host"]
        ((source, target, mode),) = (each.split(":") for each in options["--volume"])
        assert options["--workdir"] == [target] and mode == "ro"
        (entry,) = options["--entrypoint"]
        assert entry == "/opt/pixpool/bin/pixpool"
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PIXPOOL_")}
        environment |= dict(each.split("=", 1) for each in options["--env"])
        done = subprocess.run(
            [self.bin / "pixpool", *arguments],
            cwd=source,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        return done.returncode, done.stdout, done.stderr

    def _docker_compose(self, cwd: Path, words: list[str]):
        options, (verb, *rest) = options_of(words, {"-f", "--profile"})
        (file,) = options["-f"]
        compose = load(cwd / file)
        if verb == "down":
            assert rest == ["--volumes"]
            self._down()
            return OK
        assert (verb, rest) == ("up", ["-d"])
        chosen = set(options.get("--profile", []))
        services = {
            name: service
            for name, service in compose["services"].items()
            if not service.get("profiles") or chosen & set(service["profiles"])
        }
        secrets = {
            name: Path(os.path.normpath(cwd / Path(file).parent / _default(secret["file"])))
            for name, secret in compose["secrets"].items()
        }
        for service in services.values():
            for path in self._mounted(service, secrets).values():
                assert path.stat().st_mode & 0o004, f"{path} cannot be read in a container"
            for volume in service.get("volumes", []):
                source = volume.split(":")[0]
                assert not source.startswith(".") or (cwd / Path(file).parent / source).exists()
        if self.server is None:
            self._up(services, secrets)
        if "load" in services:
            self._load(services["load"], secrets)
        return OK

    def _mounted(self, service: dict, secrets: dict[str, Path]) -> dict[str, Path]:
        return {
            each["target"] if isinstance(each, dict) else f"/run/secrets/{each}": secrets[
                each["source"] if isinstance(each, dict) else each
            ]
            for each in service.get("secrets", [])
        }

    def _up(self, services: dict, secrets: dict[str, Path]) -> None:
        pixpool, edge = services["pixpool"], services["envoy"]
        assert pixpool["image"] in self.images
        environment = {name: str(value) for name, value in pixpool["environment"].items()}
        models = re.search(r"PIXPOOL_MODELS_DIR=(\S+)", (ROOT / "Dockerfile").read_text())[1]
        assert environment["PIXPOOL_MODELS_DIR"] == models, "the image has its models elsewhere"
        self.server = self._serve("compose", environment, self._mounted(pixpool, secrets))
        assert edge["ports"] == ["127.0.0.1:50051:50051"], "the port of the guide"
        tls = self.folder / "tls"
        tls.mkdir()
        for target, source in self._mounted(edge, secrets).items():
            shutil.copy(source, tls / Path(target).name)
        self.edge = Edge(self.envoy, [self.server], tls, tls=tls, port=self.edge_port)

    def _load(self, service: dict, secrets: dict[str, Path]) -> None:
        """Some seconds of the load, with what its command names, at the edge."""
        files = self._mounted(service, secrets)
        options, rest = options_of(
            service["command"], {"--target", "--rate", "--ca", "--token-file"}
        )
        assert not rest and options["--target"] == ["envoy:50051"]
        channel = self.load_script.connect(
            self.edge.target, *(str(files[options[name][0]]) for name in ("--ca", "--token-file"))
        )
        codes = self.load_script.run(channel, 10, 3, threading.Event())
        assert codes["OK"] > 3 and codes.keys() == {"OK"}, codes
        self.metrics = self.server.get("/metrics")[1]

    def _down(self) -> None:
        for running in (self.edge, self.server):
            if running:
                running.stop()
        self.edge = self.server = None

    # kind, kubectl and helm.

    def kind(self, cwd: Path, words: list[str]):
        if words == ["create", "cluster"]:
            self.node_images = set()
        elif words == ["delete", "cluster"]:
            self._delete()
        else:
            assert words[:2] == ["load", "docker-image"]
            assert words[2] in self.images, f"{words[2]} is not built"
            self.node_images.add(words[2])
        return OK

    def _delete(self) -> None:
        self.objects = []
        if self.pod:
            assert self.pod.stop() == 0
        self.pod = None

    def _apply(self, parts: list[dict]) -> None:
        spaces = {
            part["metadata"]["name"]
            for part in [*self.objects, *parts]
            if part["kind"] == "Namespace"
        }
        for part in parts:
            if part["kind"] != "Namespace":
                assert part["metadata"].get("namespace", "pixpool") in spaces, "no such namespace"
        self.objects += parts

    def kubectl(self, cwd: Path, words: list[str]):
        assert self.node_images is not None, "no cluster"
        options, (verb, *rest) = options_of(words, {"-n"})
        if verb == "apply" and rest[0] == "-f":
            self._apply(load_all(cwd / rest[1]))
            return OK
        if verb in {"apply", "delete"} and rest[0] == "-k":
            parts = list(yaml.safe_load_all(_run(cwd, "kubectl", "kustomize", rest[1])))
            if verb == "apply":
                self._apply([part for part in parts if part["kind"] != "Namespace"])
            else:
                self._delete()
            return OK
        assert options["-n"] == ["pixpool"]
        if verb == "create":
            made = _run(cwd, "kubectl", *words, "--dry-run=client", "-o", "yaml")
            self._apply(list(yaml.safe_load_all(made)))
            return OK
        if verb == "rollout":
            assert rest[:2] == ["status", "deployment/pixpool"]
            self._roll_out()
            return OK
        assert verb == "port-forward" and rest == ["service/pixpool", f"{self.pod_port}:50051"]
        ports = {
            port["port"]
            for part in self.objects
            if part["kind"] == "Service"
            for port in part["spec"]["ports"]
        }
        assert 50051 in ports and self.pod
        self._over.wait()
        return OK

    def helm(self, cwd: Path, words: list[str]):
        assert words[0] == "install"
        parts = [
            part for part in yaml.safe_load_all(_run(cwd, "helm", "template", *words[1:])) if part
        ]
        assert "--create-namespace" in words
        space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "pixpool"}}
        self._apply([space, *parts])
        return OK

    def _roll_out(self) -> None:
        """Starts the pod that the objects describe, and asks its probe."""
        kinds = by_kind(
            yaml.safe_dump_all(p for p in self.objects if p["kind"] not in {"Secret", "Namespace"})
        )
        container = container_of(kinds)
        assert container["image"] in self.node_images, f"{container['image']} is on no node"
        environment = env_of(kinds)
        assert mount_of(kinds, environment["PIXPOOL_MODELS_DIR"]) is None, "the image's models"
        # What the container's limit would say.
        memory = memory_bytes(container["resources"]["limits"]["memory"])
        environment["PIXPOOL_MAX_MEMORY"] = str(memory)
        self.pod = self._serve("pod", environment, self._secret_files(kinds), self.pod_port)
        path = container["readinessProbe"]["httpGet"]["path"]
        with urllib.request.urlopen(f"http://{self.pod.http}{path}", timeout=10) as reply:
            assert reply.status == 200

    def _secret_files(self, kinds: dict) -> dict[str, Path]:
        secrets = {p["metadata"]["name"]: p for p in self.objects if p["kind"] == "Secret"}
        volumes = {volume["name"]: volume for volume in pod_of(kinds)["spec"]["volumes"]}
        files = {}
        for mount in container_of(kinds)["volumeMounts"]:
            secret = secrets[volumes[mount["name"]]["secret"]["secretName"]]
            content = {k: base64.b64decode(v) for k, v in secret.get("data", {}).items()}
            content |= {k: v.encode() for k, v in secret.get("stringData", {}).items()}
            for key, value in content.items():
                path = self.folder / f"{len(self.seen)}-{mount['name']}-{key}"
                path.write_bytes(value)
                files[f"{mount['mountPath']}/{key}"] = path
        return files


def _default(text: str) -> str:
    """Compose's ${NAME:-default} where the variable is not set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def _run(cwd: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def shell(script: str, cwd: Path, machine: Machine) -> subprocess.CompletedProcess[str]:
    """Runs a script with the stand-ins. Files take what it prints: a forwarded port outlives it
    and would keep a pipe open.
    """
    environment = os.environ | {"PYTHON": sys.executable, "STAND_INS": str(machine.folder)}
    printed = [machine.folder / name for name in ("stdout", "stderr")]
    command = ["bash", "-euo", "pipefail", "-c", PRELUDE + script]
    with printed[0].open("w") as out, printed[1].open("w") as err:
        done = subprocess.run(
            command, cwd=cwd, env=environment, stdout=out, stderr=err, timeout=300, check=False
        )
    texts = (path.read_text() for path in printed)
    return subprocess.CompletedProcess(command, done.returncode, *texts)
