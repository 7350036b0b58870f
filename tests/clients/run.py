"""Real BitTorrent clients, introduced to one another by the tracker alone, complete a transfer; and a real tracker that
is not ours is probed.

    tests/clients/install.sh                                      installs the clients (once)
    python3 tests/clients/run.py --check                          names what is missing
    python3 tests/clients/run.py --evenkeel target/release/evenkeel [--times N] [--only NAME ...]
                                     [--resume FILE.json] [--report FILE.md]
    python3 tests/clients/run.py --list                           names the transfers

Each transfer starts the tracker, a seeder and a leecher, each on an address of its own, inside a network namespace that
this program makes for itself (no root needed where user namespaces are allowed): ports cannot clash, and there is no
way out by which a client could learn of another one from anybody else. The torrent is private and new, and DHT, peer
exchange and local discovery are off. A transfer passes when

  * the SHA-256 of the leecher's file is that of the seeder's,
  * scrapes over HTTP and UDP, over IPv4 and IPv6, agree at each step: 0 complete / 0 incomplete before, 1/0 with the
    seeder, 2/0 and one download after the transfer, 1/0 when the leecher has left and 0/0 when both have,
  * the clients which say what they think of the tracker's answers (libtorrent's alerts) say the right things.

A private transfer (accounts.py) is one between two users with torrents of their own. It passes when the file is there, and the
books show its size as what one of them sent and the other one got.

A probe passes when `evenkeel probe` finds of that tracker what is true of it, line by line.

A client that is not installed is a failure, never a skip. Failures print the tails of all logs. The last line is
always `N passed, N failed`, and the exit status is 1 if anything failed.

The files: run.py (command line, namespace, report), transfers.py (what is run and what is asserted), probes.py (the
same for probes), accounts.py (the same with users and books), clients.py (one class per client), tracker.py (the program under test), scrape.py and torrentfile.py
(a stranger's scrape and torrents), children.py (processes and deadlines).
"""

import argparse
import dataclasses
import datetime
import hashlib
import importlib.util
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
from pathlib import Path

import children
import scrape
from accounts import PRIVATE_TRANSFERS
from probes import PROBES
from tracker import ADDRESSES
from transfers import LEECHER, SEEDER, TRANSFERS, Result, run

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
VENV_PYTHON = ROOT / "target" / "clients-venv" / "bin" / "python"
INSIDE = "CLIENTS_INSIDE_NAMESPACE"
RUNS = [*TRANSFERS, *PRIVATE_TRANSFERS, *PROBES]

PROGRAMS = {
    "aria2c": "Debian package aria2",
    "transmission-daemon": "Debian package transmission-daemon",
    "transmission-remote": "Debian package transmission-cli",
    "opentracker": "Debian package opentracker",
    "openssl": "Debian package openssl",
    "ip": "Debian package iproute2",
    "unshare": "Debian package util-linux",
    "setpriv": "Debian package util-linux",
}


def main():
    options = parse_arguments()
    # Some shells of ordinary users do not look where Debian keeps `ip`.
    os.environ["PATH"] = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    if options.list:
        print("\n".join(transfer.name for transfer in RUNS))
        return 0

    if not has_libtorrent() and VENV_PYTHON.exists() and Path(sys.prefix) != VENV_PYTHON.parents[1]:
        os.execv(VENV_PYTHON, [VENV_PYTHON, *sys.argv])
    missing = missing_parts()
    for line in missing:
        print(f"missing: {line}")
    if options.check:
        print("some clients are missing: tests/clients/install.sh installs them" if missing else "everything is there")
        return 1 if missing else 0

    chosen = [transfer for transfer in RUNS if not options.only or transfer.name in options.only]
    if missing:
        return finish(0, len(chosen) * options.times)
    if INSIDE not in os.environ:
        problem = enter_namespace()
        print(f"no network namespace: {problem}")
        return finish(0, len(chosen) * options.times)
    return run_all(chosen, options)


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--evenkeel", type=Path, metavar="PATH", help="the program to test")
    parser.add_argument("--times", type=int, default=1, metavar="N", help="how often each transfer is run in a row")
    parser.add_argument("--only", nargs="+", choices=[t.name for t in RUNS], metavar="NAME")
    parser.add_argument("--resume", type=Path, metavar="FILE.json", help="keep results here, and go on from there")
    parser.add_argument("--report", type=Path, metavar="FILE.md", help="write a Markdown table of the results")
    parser.add_argument("--list", action="store_true", help="name the transfers")
    parser.add_argument("--check", action="store_true", help="name each missing program, and what to install")
    options = parser.parse_args()
    if options.list or options.check:
        return options
    if not options.evenkeel:
        parser.error("--evenkeel PATH is needed")
    options.evenkeel = options.evenkeel.resolve()
    if not os.access(options.evenkeel, os.X_OK) or options.evenkeel.is_dir():
        parser.error(f"{options.evenkeel} is not a program")
    if options.times < 1:
        parser.error("--times starts at 1")
    return options


def has_libtorrent():
    return importlib.util.find_spec("libtorrent") is not None


def missing_parts():
    missing = [f"{program} ({source})" for program, source in PROGRAMS.items() if not shutil.which(program)]
    if not has_libtorrent():
        missing.append("the Python module libtorrent (PyPI package libtorrent, in target/clients-venv)")
    return missing


def enter_namespace():
    """Starts this program anew inside a network namespace; returns only if that is not possible, and says why."""
    unshare = ["unshare", "--net"] + ([] if os.geteuid() == 0 else ["--map-root-user"])
    probe = subprocess.run([*unshare, "true"], capture_output=True, text=True, check=False)
    if probe.returncode:
        return probe.stderr.strip()
    os.environ[INSIDE] = "1"
    os.execvp("unshare", [*unshare, sys.executable, *sys.argv])


def set_up_network():
    """The loopback interface with the addresses of the tracker, both clients and the scraping stranger. None of them
    looks like loopback: Transmission never dials 127.0.0.0/8 or ::1."""
    commands = [["link", "set", "lo", "up"]]
    for addresses in (ADDRESSES, SEEDER, LEECHER, scrape.FROM):
        commands.append(["addr", "add", f"{addresses[4]}/24", "dev", "lo"])
        commands.append(["addr", "add", f"{addresses[6]}/64", "dev", "lo", "nodad"])
    for command in commands:
        subprocess.run(["ip", *command], check=True)


def run_all(chosen, options):
    # An exception instead of sudden death, so that the children are ended too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    results = {transfer: [] for transfer in chosen}
    earlier = recall(options) if options.resume else {}
    try:
        set_up_network()
        for transfer in chosen:
            results[transfer] = earlier.get(transfer.name, [])[: options.times]
            while len(results[transfer]) < options.times:
                result = run(transfer, options.evenkeel)
                results[transfer].append(result)
                print(describe(transfer, result), flush=True)
                if options.resume:
                    remember(options, results)
    finally:
        children.kill_all()
    if options.report:
        options.report.write_text(report(results, options.evenkeel))
    failed = sum(bool(result.failure) for runs in results.values() for result in runs)
    return finish(sum(map(len, results.values())) - failed, failed)


def recall(options):
    """The runs that were done with this very program, by the transfer's name."""
    if not options.resume.is_file():
        return {}
    kept = json.loads(options.resume.read_text())
    if kept["program"] != fingerprint(options.evenkeel):
        return {}
    return {name: [Result(**facts) for facts in runs] for name, runs in kept["runs"].items()}


def remember(options, results):
    runs = {transfer.name: [dataclasses.asdict(result) for result in runs] for transfer, runs in results.items()}
    kept = {"program": fingerprint(options.evenkeel), "runs": runs}
    # In one step, so that a kill in between leaves the old state.
    new = options.resume.with_suffix(".new")
    new.write_text(json.dumps(kept))
    new.replace(options.resume)


def fingerprint(program):
    return hashlib.sha256(program.read_bytes()).hexdigest()


def describe(transfer, result):
    if result.failure:
        return f"FAIL {transfer.name:<30} {result.seconds:6.1f} s  {result.failure}\n{result.evidence}"
    line = f"ok   {transfer.name:<30} {result.seconds:6.1f} s"
    if result.download_seconds is None:
        return line
    return f"{line}  (file complete after {result.download_seconds:.1f} s)"


def finish(passed, failed):
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


def report(results, program):
    """The results as Markdown: what was run, on what, and how long it took."""
    lines = [
        "# Transfers between real clients",
        "",
        f"* date: {datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC",
        f"* commit: {first_line('git', '-C', ROOT, 'rev-parse', '--short', 'HEAD')}",
        f"* program: {first_line(program, '--version')}",
        f"* machine: {cpu_model()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
        "",
        "Seconds are those of a whole run, from the start of the tracker to the last scrape after both clients left;",
        "download seconds are those from the start of the leecher to its complete file.",
        "",
        "| transfer | clients | runs | failures | median seconds | max seconds | median download seconds |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    for transfer, runs in results.items():
        seconds = [result.seconds for result in runs]
        downloads = [result.download_seconds for result in runs if result.download_seconds is not None]
        cells = [
            transfer.name,
            transfer.clients(),
            str(len(runs)),
            str(sum(bool(result.failure) for result in runs)),
            f"{statistics.median(seconds):.1f}",
            f"{max(seconds):.1f}",
            f"{statistics.median(downloads):.1f}" if downloads else "-",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def first_line(*command):
    try:
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True)
        return done.stdout.splitlines()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return "unknown"


def cpu_model():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


if __name__ == "__main__":
    sys.exit(main())
