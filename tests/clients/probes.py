"""`evenkeel probe` against trackers that are not ours: the verdict that each deserves, no better and no worse.

A probe that praises everybody proves nothing, and one that only ever met our own tracker may hold our habits for the
protocol.
"""

import re
import secrets
import socket
import subprocess
from dataclasses import dataclass

from children import Child, Failure, tail, wait_until
from tracker import ADDRESSES

# Not the port of the transfers: the kernel may hold on to one that was just closed.
PORT = 7969
PROBE_SECS = 60


class Opentracker:
    """Debian's build: IPv4 only, and it serves nothing but what its whitelist names."""

    label = "opentracker"
    # It hands callers to themselves, which clients put up with; all else is as it should be.
    findings = [
        "ok    a seeder announces and is answered",
        "FAIL  a caller is handed itself",
        "ok    a leecher is handed the seeder",
        "FAIL  a caller is handed itself",
        "ok    counts in announces are right",
        "ok    numwant is obeyed",
        "ok    the scrape with three peers agrees",
        "ok    the scrape after all have left agrees",
    ]
    # It refuses in words over HTTP alone.
    refusals = {
        "udp": "FAIL  malformed answer: the announce reply is cut off",
        "http": "FAIL  the tracker refuses: Requested download is not authorized for use with this tracker.",
    }

    def __init__(self, folder, info_hash):
        folder.mkdir()
        # It looks a hash up by halving the list, so the list has to be sorted.
        listed = sorted([info_hash, *(secrets.token_hex(20) for _ in range(9))])
        (folder / "whitelist").write_text("\n".join(listed) + "\n")
        # It will not run as root, and there is nobody else in a namespace that an ordinary user has made: so it gets
        # one in which we have another number.
        as_other = ["unshare", "--user", "--map-user=1", "--map-group=1"]
        command = [*as_other, "opentracker", "-i", ADDRESSES[4], "-p", PORT, "-P", PORT, "-w", "whitelist"]
        self.child = Child(self.label, command, folder / "log", folder)

    @classmethod
    def version(cls):
        command = ["dpkg-query", "--show", "--showformat", "${Version}", "opentracker"]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout or "of unknown version"

    def wait_ready(self):
        wait_until(f"{self.label} listens", _refused, 15, [self.child])


@dataclass(frozen=True)
class Probe:
    name: str
    tracker: type

    def clients(self):
        """What takes part, for the report."""
        return f"evenkeel probe -> {self.tracker.label} {self.tracker.version()}"

    def scene(self, folder):
        return Scene(self, folder)


PROBES = [Probe("probe-opentracker", Opentracker)]


class Scene:
    """One tracker, and what the probe says of it."""

    def __init__(self, probe, folder):
        self.kind, self.folder, self.tracker, self.said = probe.tracker, folder, None, ""

    def play(self, program):
        info_hash = secrets.token_hex(20)
        self.tracker = self.kind(self.folder / "tracker", info_hash)
        self.tracker.wait_ready()
        self._expect(program, ["--info-hash", info_hash], dict.fromkeys(("udp", "http"), self.kind.findings))
        # A torrent that is not listed: the probe's own choice.
        refusals = {dialect: [refusal] for dialect, refusal in self.kind.refusals.items()}
        self._expect(program, [], refusals)

    def _expect(self, program, options, wanted):
        """Fails unless the probe finds this, dialect by dialect, and ends with the status that says so."""
        urls = [f"{dialect}://{ADDRESSES[4]}:{PORT}/announce" for dialect in wanted]
        command = [str(word) for word in (program, "probe", *options, *urls)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_SECS, check=False)
        self.said = done.stdout + done.stderr
        found = [re.sub(r" \([0-9.:]+\)$", "", line) for line in done.stdout.splitlines()]
        lines = []
        for url, findings in zip(urls, wanted.values()):
            lines += [f"{url} over IPv4", *(f"  {finding}" for finding in findings)]
        if found != [*lines, "The tracker does not work as it should."] or done.returncode != 1:
            raise Failure(f"the probe says something else (status {done.returncode})")

    def evidence(self):
        log = tail(self.tracker.child.log) if self.tracker else "    (not started)"
        return f"  --- evenkeel probe\n{self.said}\n  --- {self.kind.label}\n{log}"

    def close(self):
        if self.tracker:
            self.tracker.child.kill()


def _refused():
    try:
        socket.create_connection((ADDRESSES[4], PORT), timeout=2).close()
    except OSError as error:
        return repr(error)
    return None
