"""The crates that are in the released binary, as cargo tree resolves its features. Used by release/sbom and release/notices."""

import json
import subprocess

TARGET = "x86_64-unknown-linux-musl"


def cargo(*words):
    """What cargo prints."""
    return subprocess.run(["cargo", *words], check=True, stdout=subprocess.PIPE, text=True).stdout


def crates():
    """(packages in order of name and version, the program's own, edges by id); build and test dependencies are not in it."""
    tree = cargo("tree", "--locked", "--edges", "normal", "--prefix", "none", "--target", TARGET, "--package", "hook-runner")
    inside = {(line.split()[0], line.split()[1].removeprefix("v")) for line in tree.splitlines() if line.strip()}
    data = json.loads(cargo("metadata", "--locked", "--format-version", "1", "--filter-platform", TARGET))
    chosen = [package for package in data["packages"] if (package["name"], package["version"]) in inside]
    chosen.sort(key=lambda package: (package["name"], package["version"]))
    edges = {
        node["id"]: sorted(dep["pkg"] for dep in node["deps"] if any(kind["kind"] is None for kind in dep["dep_kinds"]))
        for node in data["resolve"]["nodes"]
    }
    root = next(package for package in chosen if package["name"] == "hook-runner")
    return [package for package in chosen if package is not root], root, edges
