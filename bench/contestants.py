"""The servers that are compared: how each is started, called and read. All run at the same time;
one is loaded at a time.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import grpc
import numpy as np

from load import frame

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT / "client" / "python")]
PEERS = ROOT / "bench" / "peers"


def free_port() -> int:
    """A port with a free neighbour."""
    while True:
        with socket.socket() as a, socket.socket() as b:
            a.bind(("127.0.0.1", 0))
            port = a.getsockname()[1]
            try:
                b.bind(("127.0.0.1", port + 1))
                return port
            except OSError:
                continue


class Contestant:
    """A server process. Subclasses give `command`, `method`, `request` and `vector`."""

    name = ""
    settings = ""  # what makes it the best that was found
    method = ""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.target = f"127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        raise NotImplementedError

    def request(self, picture: bytes) -> bytes:
        raise NotImplementedError

    def vector(self, answer: bytes) -> np.ndarray:
        raise NotImplementedError

    def start(self) -> None:
        self.log = self.folder / f"{self.name}.log"
        with self.log.open("wb") as sink:
            self.process = subprocess.Popen(
                self.command(), stdout=sink, stderr=sink, start_new_session=True
            )

    def wait_ready(self, picture: bytes) -> np.ndarray:
        """The vector of a first picture, as soon as there is one."""
        deadline = time.monotonic() + 90
        while True:
            try:
                return self.call(picture)
            except grpc.RpcError as error:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(
                        f"{self.name} does not answer: {error}; see {self.log}"
                    ) from error
                time.sleep(0.2)

    def call(self, picture: bytes) -> np.ndarray:
        with grpc.insecure_channel(
            self.target, [("grpc.max_receive_message_length", -1)]
        ) as channel:
            return self.vector(channel.unary_unary(self.method)(self.request(picture), timeout=30))

    def body(self, picture: bytes, name: str) -> Path:
        path = self.folder / f"{self.name}-{name}.request"
        path.write_bytes(frame(self.request(picture)))
        return path

    def processes(self) -> list[int]:
        """The process and all that it started."""
        parents = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                try:
                    parents[int(entry.name)] = int(
                        (entry / "stat").read_text().rpartition(")")[2].split()[1]
                    )
                except OSError:
                    continue
        found = [self.process.pid]
        for pid in found:
            found += [child for child, parent in parents.items() if parent == pid]
        return found

    def cpu_seconds(self) -> float:
        ticks = 0
        for pid in self.processes():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def serving_seconds(self) -> float:
        """Processor time of the threads that neither decode nor run the model; subclasses that can
        tell them apart.
        """
        return float("nan")

    def resident_mb(self) -> float:
        pages = sum(
            int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self.processes()
        )
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def stop(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()


class Pixpool(Contestant):
    name = "pixpool"
    method = "/pixpool.v1.FeatureService/ExtractFeatures"

    def __init__(
        self,
        folder: Path,
        models: Path,
        model: str,
        flags: list[str],
        scaled: bool,
        name: str = "pixpool",
        binary: Path = ROOT / "build/release/bin/pixpool-server",
    ) -> None:
        super().__init__(folder)
        from api import Api

        self.name, self.binary = name, binary
        self.models, self.model, self.flags, self.scaled = models, model, flags, scaled
        self.settings = " ".join(flags) or "as it comes"
        api = Api(ROOT / "proto", folder)
        self.pb = api.pb

    def command(self) -> list[str]:
        return [
            str(self.binary),
            "--models-dir",
            str(self.models),
            "--listen",
            self.target,
            "--http-listen",
            "",
            "--default-model",
            self.model,
            "--log-level",
            "warning",
            *self.flags,
        ]

    def serving_seconds(self) -> float:
        """By thread names: `decode`, `instance-N`, and those of OpenVINO, which keep the process's
        name, do the work.
        """
        total = 0
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            name = (task / "comm").read_text().strip()
            if name not in ("decode", "pixpool-server") and not name.startswith("instance-"):
                total += int((task / "schedstat").read_text().split()[0])
        return total / 1e9

    def request(self, picture: bytes) -> bytes:
        message = self.pb.ExtractFeaturesRequest(
            images=[self.pb.Image(encoded=picture)],
            heads=[self.pb.Head(global_avg=self.pb.GlobalAvg())],
        )
        if self.scaled:
            message.input_options.decode = self.pb.DECODE_MODE_SCALED
        return message.SerializeToString()

    def vector(self, answer: bytes) -> np.ndarray:
        result = self.pb.ExtractFeaturesResponse.FromString(answer).results[0]
        if result.WhichOneof("outcome") != "features":
            raise RuntimeError(result.status.message)
        return np.asarray(result.features.head_results[0].values, np.float32)


class Peer(Contestant):
    """A Python server of bench/peers."""

    script = ""
    words = ""  # its settings, with a place for each number

    def __init__(
        self, folder: Path, bundle: Path, precision: str, settings: list[int], scaled: bool
    ) -> None:
        super().__init__(folder)
        self.bundle, self.precision, self.numbers, self.scaled = bundle, precision, settings, scaled
        self.settings = f"{precision}, {self.words.format(*settings)}"

    def command(self) -> list[str]:
        extra = ["scaled"] if self.scaled else []
        numbers = [str(n) for n in self.numbers]
        script = str(PEERS / self.script)
        return [
            sys.executable,
            script,
            str(self.port),
            str(self.bundle),
            self.precision,
            *numbers,
            *extra,
        ]


class Plain(Peer):
    name = "plain Python gRPC + OpenVINO"
    method = "/bench.Peer/Extract"
    script = "plain.py"
    words = "{} workers, {} streams of {} threads"

    def request(self, picture: bytes) -> bytes:
        return picture

    def vector(self, answer: bytes) -> np.ndarray:
        return np.frombuffer(answer, np.float32)


class WidePlain(Plain):
    """All cores on one picture: its best with one call in flight."""

    name = "the same, all cores a picture"


class Triton(Peer):
    name = "Triton (pytriton) + OpenVINO"
    method = "/inference.GRPCInferenceService/ModelInfer"
    script = "triton.py"
    words = "{} instances, batch {}, no delay"

    def request(self, picture: bytes) -> bytes:
        from tritonclient.grpc import service_pb2

        message = service_pb2.ModelInferRequest(model_name="backbone")
        message.inputs.add(name="image", datatype="BYTES", shape=[1, 1])
        message.outputs.add(name="embedding")
        message.raw_input_contents.append(len(picture).to_bytes(4, "little") + picture)
        return message.SerializeToString()

    def vector(self, answer: bytes) -> np.ndarray:
        from tritonclient.grpc import service_pb2

        return np.frombuffer(
            service_pb2.ModelInferResponse.FromString(answer).raw_output_contents[0], np.float32
        )
