"""The crates that are in the released binary, from cargo metadata. Used by release/sbom and release/notices."""

import json
import subprocess

TARGET = "x86_64-unknown-linux-musl"


def crates():
    """(packages in order of name and version, edges by id); build and test dependencies are not in the binary."""
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", TARGET]
    data = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    packages = {package["id"]: package for package in data["packages"]}
    edges = {
        node["id"]: sorted(dep["pkg"] for dep in node["deps"] if any(kind["kind"] is None for kind in dep["dep_kinds"]))
        for node in data["resolve"]["nodes"]
    }
    root = next(id for id, package in packages.items() if package["name"] == "hook-runner")
    reached, open_ids = set(), [root]
    while open_ids:
        one = open_ids.pop()
        if one not in reached:
            reached.add(one)
            open_ids += edges[one]
    chosen = sorted((packages[id] for id in reached), key=lambda package: (package["name"], package["version"]))
    return [package for package in chosen if package["id"] != root], packages[root], edges
