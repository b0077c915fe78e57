#!/usr/bin/env python3
"""Makes an image of a few files, as an OCI archive that any engine imports: no builder, no base image, no privileges.

    archive.py OUT.tar NAME --entrypoint CMD [--user UID] FILE[=PATH]…

FILE lands at PATH in the image, at its own path without one. Links are followed. The same files make the same archive.
"""

import argparse
import hashlib
import io
import json
import os
import platform
import sys
import tarfile


def add(archive, name, data, mode=0o644):
    """Adds one file that belongs to nobody and has no date."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), mode
    archive.addfile(entry, io.BytesIO(data))


def layer(files):
    """The one layer: every file under its path, readable by any user."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for file in sorted(files):
            source, _, path = file.partition("=")
            with open(source, "rb") as content:
                executable = os.access(source, os.X_OK)
                add(archive, (path or source).lstrip("/"), content.read(), 0o755 if executable else 0o644)
    return buffer.getvalue()


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("out")
    arguments.add_argument("name")
    arguments.add_argument("--entrypoint", required=True)
    arguments.add_argument("--user", default="65532:65532")
    arguments.add_argument("files", nargs="+")
    given = arguments.parse_args()

    machine = platform.machine()
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}.get(machine)
    if architecture is None:
        sys.exit(f"archive.py: no image is made on {machine}")
    blobs = {}

    def keep(data, kind):
        digest = hashlib.sha256(data).hexdigest()
        blobs[digest] = data
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(data)}

    content = keep(layer(given.files), "layer.v1.tar")
    config = keep(json.dumps({
        "architecture": architecture, "os": "linux",
        "config": {"Entrypoint": [given.entrypoint], "User": given.user},
        "rootfs": {"type": "layers", "diff_ids": [content["digest"]]},
    }).encode(), "config.v1+json")
    manifest = keep(json.dumps({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config, "layers": [content],
    }).encode(), "manifest.v1+json")
    manifest["annotations"] = {
        "io.containerd.image.name": given.name,
        "org.opencontainers.image.ref.name": given.name.rpartition(":")[2],
    }
    with tarfile.open(given.out + ".new", "w") as archive:
        add(archive, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        add(archive, "index.json", json.dumps({"schemaVersion": 2, "manifests": [manifest]}).encode())
        for digest, data in blobs.items():
            add(archive, f"blobs/sha256/{digest}", data)
    os.replace(given.out + ".new", given.out)


main()
