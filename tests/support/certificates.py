"""Certificates for tests, made by the command openssl.

    python certificates.py OUT

writes those that the unit tests of server/tls read.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

EC = ("ec", "-pkeyopt", "ec_paramgen_curve:P-256")
CONFIG = """
[req]
distinguished_name = dn
x509_extensions = ca
[dn]
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[server]
subjectAltName = DNS:localhost, IP:127.0.0.1, IP:::1
extendedKeyUsage = serverAuth
[named server]
subjectAltName = DNS:pixpool.example.com
extendedKeyUsage = serverAuth
[client]
extendedKeyUsage = clientAuth
"""


def openssl(*arguments: str | Path) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


class Pair(NamedTuple):
    certificate: Path
    key: Path


class Authority:
    """One who signs, with its files in a folder of its own."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._config = folder / f"{name}.cnf"
        self._config.write_text(CONFIG)
        self._own = Pair(folder / f"{name}.pem", folder / f"{name}.key")
        openssl(
            *("req", "-x509", "-config", self._config, "-newkey", *EC, "-nodes", "-days", "30"),
            *("-subj", f"/CN={name}", "-out", self._own.certificate, "-keyout", self._own.key),
        )

    @property
    def certificate(self) -> Path:
        return self._own.certificate

    def with_long_names(self, file: Path, count: int) -> Path:
        """Writes a file with this and `count` more authorities, whose names take 1,000 bytes."""
        names = "".join(f"/OU={letter * 60}" for letter in "abcdefghijklmn")
        texts = [self.certificate.read_text()]
        for i in range(count):
            openssl(
                *("req", "-x509", "-config", self._config, "-key", self._own.key, "-days", "30"),
                *("-subj", f"/CN=number {i:06}{names}", "-out", file),
            )
            texts.append(file.read_text())
        file.write_text("".join(texts))
        return file

    def issue(self, name: str, kind: str, *, days: int = 30, key: tuple[str, ...] = EC) -> Pair:
        """NAME.pem and NAME.key for a "server" on loopback, a "named server" elsewhere or a
        "client"; with -1 days it has expired.
        """
        pair = Pair(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        request = self.folder / f"{name}.csr"
        openssl(
            *("req", "-config", self._config, "-newkey", *key, "-nodes", "-subj", f"/CN={name}"),
            *("-out", request, "-keyout", pair.key),
        )
        openssl(
            *("x509", "-req", "-in", request, "-CA", self._own.certificate),
            *("-CAkey", self._own.key, "-CAcreateserial", "-days", str(days)),
            *("-extfile", self._config, "-extensions", kind, "-out", pair.certificate),
        )
        return pair


def main(out: Path) -> None:
    authority = Authority(out)
    server = authority.issue("server", "server")
    authority.issue("other", "server")
    authority.issue("expired", "server", days=-1)
    authority.issue("short", "server", key=("rsa:1024",))
    Authority(out, "other_ca")
    authority.with_long_names(out / "many.pem", 62)
    openssl("pkey", "-in", server.key, "-aes128", "-passout", "pass:x", "-out", out / "locked.key")
    openssl("x509", "-in", server.certificate, "-outform", "der", "-out", out / "server.der")
    chain = server.certificate.read_text() + authority.certificate.read_text()
    (out / "chain.pem").write_text(chain)
    (out / "cut.pem").write_text(chain[: len(chain) * 3 // 4])
    (out / "empty.pem").write_text("# nothing yet\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
