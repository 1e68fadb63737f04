"""deploy/make_secrets: what it makes fits together, and nothing is overwritten."""

from __future__ import annotations

import hashlib
import shutil
import subprocess

import pytest

from deploy_files import DEPLOY, load
from overlays import FOLDER

if shutil.which("openssl") is None:
    pytest.skip("openssl is not installed (Debian: openssl)", allow_module_level=True)


def make(*arguments, **more) -> subprocess.CompletedProcess[str]:
    command = [DEPLOY / "make_secrets", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, **more)


@pytest.fixture(scope="module", name="made")
def made_fixture(tmp_path_factory):
    folder = tmp_path_factory.mktemp("here") / "deep" / "secrets"
    done = make(folder, "images.example.com")
    assert done.returncode == 0, done.stderr
    return folder


def test_the_certificate_is_signed_for_every_name_that_is_called(made):
    certificate = load(FOLDER / "examples" / "certificate.yaml")["spec"]
    names = ["localhost", "envoy", "images.example.com", *certificate["dnsNames"]]
    for name in names:
        command = ["openssl", "verify", "-CAfile", made / "ca.crt", "-verify_hostname", name]
        done = subprocess.run([*command, made / "tls.crt"], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_digest_is_the_tokens(made):
    token = (made / "token").read_text().strip()
    assert len(token) == 64
    assert (made / "tokens").read_text() == f"first {hashlib.sha256(token.encode()).hexdigest()}\n"


def test_strangers_on_the_machine_read_nothing_and_containers_do(made):
    assert made.stat().st_mode & 0o777 == 0o700
    modes = {path.name: path.stat().st_mode & 0o777 for path in made.iterdir()}
    assert modes.pop("ca.key") == 0o600
    assert modes.keys() == {"ca.crt", "tls.crt", "tls.key", "token", "tokens"}
    assert set(modes.values()) == {0o644}


def test_what_is_there_stays(made):
    before = (made / "token").read_text()
    done = make(made)
    assert done.returncode == 1 and "is there already" in done.stderr
    assert (made / "token").read_text() == before
    assert make().returncode == 2
