"""The memory of the network's passes: bounded while they run, given back afterwards, and refused
where it could never be had. bench/memory is the long form.
"""

from __future__ import annotations

import concurrent.futures
import pathlib
import random
import re
import subprocess
import time

import grpc
import numpy as np
import pytest

from api import field_paths, reason
from server_memory import MIB, MemoryCgroup, status_bytes

pytestmark = pytest.mark.endurance

# What docs/sizing.md calls 1.75 GiB: one pass of 2048 x 2048 pixels fits, two do not.
LIMIT = 1792 * MIB
LARGE = 2048
THREE_LAYERS = ("gem:layer=stage2", "gem:layer=stage4", "gem")
ROOT = pathlib.Path(__file__).resolve().parents[2]
PICTURE = np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8)


def extract(client, *heads, timeout=120, **options):
    return client.extract(
        [PICTURE], heads, timeout=timeout, input_options=client.pb.InputOptions(**options)
    )


def together(client, calls: int, **options) -> list[str]:
    """The codes of calls that are sent at the same time."""

    def call(_: int) -> str:
        try:
            result = extract(client, **options).results[0]
        except grpc.RpcError as error:
            return error.code().name
        return "OK" if result.WhichOneof("outcome") == "features" else result.status.message

    with concurrent.futures.ThreadPoolExecutor(calls) as callers:
        return list(callers.map(call, range(calls)))


def gauge(server, name: str) -> float:
    (value,) = re.findall(rf"^{name} (\S+)$", server.get("/metrics")[1], re.MULTILINE)
    return float(value)


def await_resident(server, most: float, seconds: float = 40) -> None:
    end = time.monotonic() + seconds
    while (resident := status_bytes(server.process.pid, "VmRSS")) > most:
        assert time.monotonic() < end, f"{resident / MIB:.0f} MiB after {seconds} s"
        time.sleep(0.5)


@pytest.fixture
def memory_cgroup():
    """A cgroup of LIMIT bytes, or None where none can be made."""
    group = MemoryCgroup.make(LIMIT)
    yield group
    if group is not None:
        group.remove()


def test_large_inputs_at_once_fit_the_memory_and_it_comes_back(start_server, api, memory_cgroup):
    if memory_cgroup is None:
        server = start_server("--max-memory", str(LIMIT))
    else:
        server = start_server(wrapper=memory_cgroup.prefix())
    try:
        client = api.client(server.target)
        (plan,) = server.lines("memory")
        assert plan["bytes"] == LIMIT
        assert plan["network"] == gauge(server, "pixpool_network_memory_capacity_bytes")
        for _ in range(20):
            extract(client)
        idle = status_bytes(server.process.pid, "VmRSS")

        with concurrent.futures.ThreadPoolExecutor(1) as beside:
            large = beside.submit(together, client, 8, input_height_px=LARGE)
            waiting = 0.0
            usual = 0
            while not large.done():
                extract(client, timeout=5)  # goes on beside them
                usual += 1
                waiting = max(waiting, gauge(server, "pixpool_passes_waiting_for_memory"))
            codes = large.result()
        assert set(codes) <= {"OK", "UNAVAILABLE"} and "OK" in codes
        assert usual > 5
        assert waiting > 0, "they did not fit at once"
        assert status_bytes(server.process.pid, "VmHWM") < LIMIT
        assert server.process.poll() is None
        await_resident(server, 1.10 * idle)
        assert gauge(server, "pixpool_network_memory_bytes") == 0
    finally:
        assert server.stop() == 0


def priced(client, *heads, side: int) -> int:
    """What a pass is reckoned to take, by the refusal of a server that has not got it."""
    with pytest.raises(grpc.RpcError) as error:
        extract(client, *heads, input_height_px=side)
    return int(re.search(r"takes (\d+) bytes", error.value.details())[1])


def test_the_figures_of_the_sizing_guide_are_those_of_the_server(start_server, api):
    server = start_server("--max-memory", "420MiB")
    client = api.client(server.target)
    (plan,) = server.lines("memory")
    idle = status_bytes(server.process.pid, "VmRSS")
    in_flight = 3 * plan["max_in_flight_bytes"] + 3 * plan["max_in_flight_pixels"]
    assert plan["lowered"]
    # What is left are the models, and the usual pass of each instance.
    models = plan["bytes"] - plan["network"] - in_flight
    assert models == pytest.approx(idle, rel=0.15)

    guide = (ROOT / "docs" / "sizing.md").read_text(encoding="utf-8")
    low, high = re.search(r"idle and warm are (\d+) to (\d+) MiB", guide).groups()
    assert int(low) * 0.9 <= idle / MIB <= int(high) * 1.1
    rows = re.findall(r"^\| (\d+) x \1 \| ([\d,]+) \| ([\d,]+) \|$", guide, re.MULTILINE)
    assert [side for side, *_ in rows] == ["768", "1024", "2048"]
    for side, default_layer, three_layers in rows:
        for figure, heads in ((default_layer, ()), (three_layers, THREE_LAYERS)):
            expected = int(figure.replace(",", ""))
            got = priced(client, *heads, side=int(side)) / MIB
            assert got == pytest.approx(expected, rel=0.1), f"{side}, {heads}"


def test_models_take_what_the_sizing_guide_adds_up(start_server):
    """Its first example, and what each instance adds to it."""
    guide = (ROOT / "docs" / "sizing.md").read_text(encoding="utf-8")

    def figures(row: str) -> list[int]:
        (cells,) = re.findall(rf"^\| {row}[^|]* \|(.*) \|$", guide, re.MULTILINE)
        return [int(cell.replace(",", "")) for cell in re.findall(r"([\d,]+)(?= \||$)", cells)]

    (base, _), (usual, _) = figures("base"), figures("usual pass")
    for instances, memory in ((2, "1GiB"), (8, "4GiB")):
        server = start_server("--instances", str(instances), "--max-memory", memory)
        (plan,) = server.lines("memory")
        assert plan["models"] / MIB == pytest.approx(base + instances * usual, rel=0.15)
        assert plan["largest_pass"] / MIB == pytest.approx(figures("`largest_pass`")[0], rel=0.1)
        # Bytes in flight count three times, and a pixel takes three of them.
        in_flight = 3 * (plan["max_in_flight_bytes"] + plan["max_in_flight_pixels"])
        spent = plan["network"] + in_flight
        assert plan["models"] + spent == pytest.approx(plan["bytes"], abs=MIB)
        assert plan["lowered"] == (instances == 2)
        assert gauge(server, "pixpool_memory_limit_bytes") == plan["bytes"]
        most = figures("the most that the start takes")[0]
        assert status_bytes(server.process.pid, "VmHWM") / MIB == pytest.approx(most, rel=0.15)


def test_memory_of_other_layers_is_given_up_for_a_large_input(start_server, api):
    """What the model keeps for such requests is not missing where there is little."""
    server = start_server("--max-memory", str(LIMIT))
    client = api.client(server.target)
    for side in (288, 320, 352, 384, 416):
        extract(client, "gem:layer=stage2", "gem", input_height_px=side)
    assert gauge(server, "pixpool_network_memory_bytes") > 40 * MIB
    assert together(client, 2, input_height_px=LARGE) == ["OK", "OK"]
    assert status_bytes(server.process.pid, "VmHWM") < LIMIT


def test_a_pass_that_never_fits_is_refused_and_smaller_ones_are_not(start_server, api):
    server = start_server("--max-memory", "700MiB")
    client = api.client(server.target)
    with pytest.raises(grpc.RpcError) as error:
        extract(client, input_height_px=LARGE)
    assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert reason(error.value) == "LIMIT_EXCEEDED"
    assert field_paths(error.value) == ["input_options.input_height_px"]
    assert "--max-memory" in error.value.details()
    assert together(client, 4, input_height_px=512) == ["OK"] * 4

    # Without a crop the picture decides, and fails alone.
    whole = client.pb.InputOptions(resize=client.pb.RESIZE_MODE_NONE, crop=client.pb.CROP_MODE_NONE)
    tall = np.zeros((LARGE, 1500, 3), np.uint8)
    large, small = client.extract([tall, PICTURE], input_options=whole).results
    assert reason(large.status) == "LIMIT_EXCEEDED"
    assert field_paths(large.status) == ["images[0]"]
    assert small.WhichOneof("outcome") == "features"


def refusal_to_start(bin_dir, models_dir, mebibytes: int) -> str:
    """The last words of a server that has too little memory."""
    server = subprocess.run(
        [bin_dir / "pixpool-server", "--models-dir", models_dir]
        + ["--max-memory", f"{mebibytes}MiB", "--listen", "127.0.0.1:0", "--http-listen", ""],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert server.returncode == 1
    (line,) = [row for row in server.stderr.splitlines() if row.startswith("pixpool-server:")]
    return line


def test_memory_too_little_for_the_models_ends_the_start_and_says_what_would_do(
    bin_dir, models_dir, start_server, api
):
    line = refusal_to_start(bin_dir, models_dir, 200)
    assert "--max-memory" in line and "models take" in line
    least = int(re.search(r"; (\d+) MiB would do", line)[1])
    server = start_server("--max-memory", f"{least}MiB")
    assert extract(api.client(server.target)).results
    assert status_bytes(server.process.pid, "VmHWM") <= least * MIB, "nor does the start take more"
    assert "would do" in refusal_to_start(bin_dir, models_dir, int(least * 0.85))


def test_memory_levels_over_many_input_sizes(start_server, api):
    server = start_server()
    client = api.client(server.target)
    sides = random.Random(0)
    sizes = [(sides.randint(32, 256), sides.randint(32, 256)) for _ in range(400)]
    resident = []
    with concurrent.futures.ThreadPoolExecutor(4) as callers:
        for begin in (0, 200):
            list(
                callers.map(
                    lambda size: extract(client, input_height_px=size[0], input_width_px=size[1]),
                    sizes[begin : begin + 200],
                )
            )
            resident.append(status_bytes(server.process.pid, "VmRSS"))
    first, all_of_them = resident
    assert all_of_them <= 1.10 * first, [r / MIB for r in resident]
