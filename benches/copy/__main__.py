"""The copy benchmark: hook-runner and its peers side by side in one interleaved run.

    python3 benches/copy [--only CASE[,CASE]…] [--rounds 7] [--cache DIR] [--binary PATH] [--before PATH] [--prepare] [--list]

Needs root (mounts, loop devices, drop_caches), FUSE, cargo, npm and the network for the first preparation. Prints Markdown:
what benches/RESULTS.md quotes. Progress goes to stderr.
"""

import argparse
import os
import platform
import signal
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True  # nothing is written into the checkout

import cases
from peers import OURS, ROOT, Peers
from volumes import Mounts


def main():
    arguments = parse()
    # Ended from outside, the mounts and loop devices are taken away as at any other end.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    if arguments.list:
        print("\n".join(cases.ALL))
        return
    if os.geteuid():
        raise SystemExit("root is needed: for mounts, loop devices and drop_caches")
    wanted = arguments.only.split(",") if arguments.only else list(cases.ALL)
    for name in wanted:
        if name not in cases.ALL:
            raise SystemExit(f"no case is called {name!r}; --list says which there are")

    cache = outside_the_checkout(arguments.cache)
    peers = Peers(cache, arguments.before)
    peers.install()
    peers.build_ours(arguments.binary)
    if arguments.prepare:
        cases.prepare(cache)
        return
    print(f"{time.strftime('%Y-%m-%d %H:%M')}, Linux {platform.release()}, {os.cpu_count()} processors, "
          f"{arguments.rounds} rounds  \n{peers.versions()}\n")
    for name in wanted:
        # Mounted for one case only, so that no case inherits another's caches and fragmentation.
        with Mounts(cache, peers.faultfs) as mounts:
            bench = cases.Bench(cache, peers, mounts, arguments.rounds, arguments.peers.split(",") if arguments.peers else None)
            print(cases.ALL[name](bench), flush=True)


def parse():
    parser = argparse.ArgumentParser(prog="python3 benches/copy", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--only", help="cases to run, comma-separated")
    parser.add_argument("--rounds", type=int, default=7, help="times each contender runs in a case (default 7)")
    parser.add_argument("--peers", help="peers to run beside hook-runner, comma-separated (default: all of the case)")
    parser.add_argument("--binary", help=f"the {OURS} to measure (default: build the static release)")
    parser.add_argument("--before", help=f"another {OURS}, measured in the same rounds")
    parser.add_argument("--cache", default=os.environ.get("BENCH_CACHE", "/var/tmp/hook-runner-bench"),
                        help="where peers, data and loop images are kept (default %(default)s)")
    parser.add_argument("--prepare", action="store_true", help="install the peers, build the data, measure nothing")
    parser.add_argument("--list", action="store_true", help="say which cases there are")
    return parser.parse_args()


def outside_the_checkout(directory):
    cache = Path(directory).resolve()
    if cache.is_relative_to(ROOT):
        raise SystemExit(f"{cache} is inside the checkout; give another with --cache")
    cache.mkdir(parents=True, exist_ok=True)
    return cache


main()
