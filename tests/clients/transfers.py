"""The transfers, and how one is run.

A transfer proves one thing: a seeder and a leecher that know nothing but an announce URL find one another and move a
file. The tracker's counts are followed from the outside through the whole life of the swarm.
"""

import itertools
import random
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torrentfile
from children import Failure, wait_until
from clients import Aria2, Libtorrent, Transmission
from tracker import ADDRESSES, PORT, TLS_PORT, Tracker

SEEDER = {4: "10.77.0.2", 6: "fd77::2"}
LEECHER = {4: "10.77.0.3", 6: "fd77::3"}
SMALLEST_BYTES, LARGEST_BYTES = 3 << 20, 8 << 20
TRANSFER_SECS = 60

# The next run takes other ports, because the kernel may hold on to one that was just closed.
ports = itertools.cycle(range(20_000, 30_000))


@dataclass(frozen=True)
class Side:
    """Which client, and how it reaches the tracker."""

    client: type
    dialect: str
    family: int = 4

    @property
    def announce(self):
        address = ADDRESSES[self.family]
        port = TLS_PORT if self.dialect == "https" else PORT
        return f"{self.dialect}://{f'[{address}]' if self.family == 6 else address}:{port}/announce"


@dataclass(frozen=True)
class Transfer:
    name: str
    seeder: Side
    leecher: Side

    def clients(self):
        """The clients with their versions, for the report."""
        sides = [f"{side.client.label} {side.client.version()}" for side in (self.seeder, self.leecher)]
        return " -> ".join(sides)

    def scene(self, folder):
        return Scene(self, folder)


def _alike(name, *side):
    return Transfer(name, Side(*side), Side(*side))


TRANSFERS = [
    _alike("aria2-http-ipv4", Aria2, "http", 4),
    _alike("aria2-http-ipv6", Aria2, "http", 6),
    _alike("aria2-https-ipv4", Aria2, "https", 4),
    _alike("aria2-udp-ipv4", Aria2, "udp", 4),
    _alike("transmission-http-ipv4", Transmission, "http", 4),
    _alike("transmission-udp-ipv4", Transmission, "udp", 4),
    _alike("libtorrent-http-ipv4", Libtorrent, "http", 4),
    _alike("libtorrent-https-ipv6", Libtorrent, "https", 6),
    _alike("libtorrent-udp-ipv4", Libtorrent, "udp", 4),
    _alike("libtorrent-udp-ipv6", Libtorrent, "udp", 6),
    Transfer("libtorrent-udp-to-aria2-http", Side(Libtorrent, "udp"), Side(Aria2, "http")),
]


@dataclass
class Result:
    """How one run went: the seconds of all of it, those from the leecher's start to its complete file if there is one,
    and what failed."""

    seconds: float
    download_seconds: float | None = None
    failure: str | None = None
    evidence: str = ""


def run(transfer, program):
    """Runs one transfer, or one probe, with a new tracker, new clients and a new torrent."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="clients-", ignore_cleanup_errors=True) as folder:
        scene = transfer.scene(Path(folder))
        download_seconds, failure, evidence = None, None, ""
        try:
            download_seconds = scene.play(program)
        except Exception as error:  # whatever went wrong, the other transfers are still worth running
            failure = str(error) if isinstance(error, Failure) else repr(error)
            evidence = scene.evidence()
        finally:
            scene.close()
    return Result(time.monotonic() - started, download_seconds, failure, evidence)


class Scene:
    """The tracker, the torrent and the two clients of one run."""

    def __init__(self, transfer, folder):
        self.folder, self.tracker = folder, None
        self.seeder = self._client("seeder", transfer.seeder, SEEDER)
        self.leecher = self._client("leecher", transfer.leecher, LEECHER)
        self.sides = {self.seeder: transfer.seeder, self.leecher: transfer.leecher}

    def _client(self, role, side, addresses):
        return side.client(role, addresses[side.family], next(ports), self.folder / role)

    def play(self, program):
        """The transfer from the first scrape to the last; returns the seconds the leecher took to its file."""
        seeder, leecher = self.seeder, self.leecher
        torrent = torrentfile.make(random.randint(SMALLEST_BYTES, LARGEST_BYTES))
        self.tracker = tracker = Tracker(program, self.folder / "tracker", torrent.info_hash)
        tracker.wait_ready()
        tracker.expect("before anybody came", 0, 0, 0)

        (seeder.data / torrent.name).write_bytes(torrent.content)
        self._start(seeder, torrent)
        # A seeder that came with its file has not downloaded anything, and must not be counted as if it had.
        tracker.expect("with the seeder alone", 1, 0, 0, [seeder])
        seeder.confirm_start(is_leecher=False)

        began = time.monotonic()
        self._start(leecher, torrent)
        both = [tracker, seeder, leecher]
        wait_until(
            "the leecher's file has the SHA-256 of the seeder's",
            lambda: None if torrent.is_in(leecher.data) else "it has not",
            TRANSFER_SECS,
            both,
        )
        download_seconds = time.monotonic() - began
        leecher.confirm_start(is_leecher=True)
        tracker.expect("after the transfer", 2, 0, 1, [seeder, leecher])
        seeder.confirm_complete(is_leecher=False)
        leecher.confirm_complete(is_leecher=True)

        leecher.leave()
        tracker.expect("after the leecher left", 1, 0, 1, [seeder])
        seeder.leave()
        tracker.expect("after both left", 0, 0, None)
        return download_seconds

    def _start(self, client, torrent):
        path = client.folder / "transfer.torrent"
        announce = self.sides[client].announce
        torrent.write(path, announce)
        client.trusted = self.tracker.authority
        client.start(path, announce)

    def evidence(self):
        """The tails of the logs of all who took part."""
        parts = [("evenkeel", self.tracker)] if self.tracker else []
        parts += [(client.name, client) for client in (self.seeder, self.leecher)]
        return "\n".join(f"  --- {name}\n{part.tail()}" for name, part in parts)

    def close(self):
        # The tracker goes last: clients that are still there want to say goodbye to it.
        for part in (self.leecher, self.seeder, self.tracker):
            if part:
                part.close()
