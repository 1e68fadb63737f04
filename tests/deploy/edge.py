"""Envoy with the shipped configuration, for tests."""

from __future__ import annotations

import json
import re
import subprocess
import time
import urllib.request
from pathlib import Path

from deploy_files import DEPLOY, load
from server_process import free_port


class Edge:
    """Envoy with the shipped configuration, on free ports, in front of servers on this machine: in
    plain text, or in TLS with the files of the folder `tls`.
    """

    def __init__(
        self,
        binary: str,
        servers: list,
        folder,
        tls: Path | None = None,
        tracing: dict | None = None,
        collector: str = "",
        http_filters: list[dict] | None = None,
        port: int = 0,
    ) -> None:
        self.target = f"localhost:{port or free_port()}"
        self.metrics = f"127.0.0.1:{free_port()}"
        admin = free_port()
        config = load(DEPLOY / "envoy" / "envoy.yaml")
        listener, metrics = config["static_resources"]["listeners"]
        _set_port(listener["address"], self.target)
        _set_port(metrics["address"], self.metrics)
        transport_socket = listener["filter_chains"][0].pop("transport_socket")
        if tls:
            shown = json.dumps(transport_socket).replace("/etc/envoy/tls", str(tls))
            listener["filter_chains"][0]["transport_socket"] = json.loads(shown)
        if http_filters:
            filters = listener["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"]
            (mutation,) = (i for i, each in enumerate(filters) if "header_mutation" in each["name"])
            filters[mutation + 1 : mutation + 1] = http_filters
        pixpool, to_admin = config["static_resources"]["clusters"]
        if tracing:
            manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
            manager.update(tracing["connection_manager"])
            (endpoint,) = tracing["cluster"]["load_assignment"]["endpoints"][0]["lb_endpoints"]
            endpoint["endpoint"]["address"]["socket_address"] = _address(collector)
            config["static_resources"]["clusters"].append(tracing["cluster"])
        pixpool["load_assignment"]["endpoints"][0]["lb_endpoints"] = [
            {"endpoint": {"address": {"socket_address": _address(server.target)}}}
            for server in servers
        ]
        to_admin["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"][
            "socket_address"
        ]["port_value"] = admin
        config["admin"]["address"]["socket_address"]["port_value"] = admin
        path = folder / "envoy.json"
        path.write_text(json.dumps(config))
        self.log = (folder / "log").open("w+")
        self.process = subprocess.Popen(
            [
                binary,
                "-c",
                str(path),
                "--disable-hot-restart",
                "--concurrency",
                "1",
                "--log-level",
                "warning",
            ],
            stdout=self.log,
            stderr=self.log,
        )
        self.wait_healthy(len(servers))

    def get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://{self.metrics}{path}", timeout=5) as reply:
            return reply.read().decode()

    def figure(self, pattern: str) -> int:
        found = re.search(rf"^{pattern} (\d+)$", self.get("/stats/prometheus"), re.M)
        return int(found[1]) if found else 0

    def wait_healthy(self, servers: int) -> None:
        end = time.monotonic() + 20
        while True:
            try:
                if (
                    self.figure(r'envoy_cluster_membership_healthy\{envoy_cluster_name="pixpool"\}')
                    == servers
                ):
                    return
            except OSError:
                pass
            assert self.process.poll() is None and time.monotonic() < end, self.text()
            time.sleep(0.1)

    def text(self) -> str:
        self.log.seek(0)
        return self.log.read()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(20)
        self.log.close()


def _address(target: str) -> dict:
    host, port = target.rsplit(":", 1)
    return {"address": host, "port_value": int(port)}


def _set_port(address: dict, target: str) -> None:
    address["socket_address"] = _address("127.0.0.1:" + target.rsplit(":", 1)[1])
