#!/usr/bin/env python3
"""Says which files a Python is made of, as archive.py takes them: FILE=PATH on each line.

    python.py

Run by the interpreter of a virtual environment: the image has it as /python/bin/python3, its standard library around it, the
packages of the environment in /site-packages (for PYTHONPATH), and every shared library that any of them is linked with, where the
loader looks for it.
"""

import os
import re
import subprocess
import sys
import sysconfig

# Nothing of these is imported by what runs in the image.
STANDARD = {"test", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "site-packages", "dist-packages", "__pycache__"}
PACKAGES = {"pip", "setuptools", "pkg_resources", "_distutils_hack", "__pycache__"}


def files(folder, below, without):
    """Every file of a folder, and where it goes."""
    for here, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in without and not name.startswith(("config-", "pip-", "setuptools-"))]
        for name in names:
            if not name.endswith((".a", ".pyc", ".pth")) and not name.startswith("_tkinter."):
                file = os.path.join(here, name)
                yield file, os.path.join(below, os.path.relpath(file, folder))


def linked(file):
    """The shared libraries of a program or library, the loader included; what the kernel brings has no file."""
    said = subprocess.run(["ldd", file], capture_output=True, text=True, check=False).stdout
    return re.findall(r"(?:=> |^\s+)(/\S+) \(0x", said, flags=re.MULTILINE)


def main():
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    everything = {"/python/bin/python3": os.path.realpath(sys.executable)}
    for file, path in files(sysconfig.get_path("stdlib"), f"/python/lib/{version}", STANDARD):
        everything[path] = file
    for file, path in files(sysconfig.get_path("platlib"), "/site-packages", PACKAGES):
        everything[path] = file
    programs = [file for path, file in everything.items() if ".so" in os.path.basename(file) or path == "/python/bin/python3"]
    for file in programs:
        for library in linked(file):
            everything.setdefault(library, library)
    for path, file in sorted(everything.items()):
        print(f"{file}={path}")


main()
