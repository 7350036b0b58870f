"""Private transfers: two users, each with a torrent of their own, move a file, and the books say so.

The commands are those of the README: users are made, the torrent is added as a file, and comes back with the announce
URL of each. Afterwards the books show the file's size as what one of them sent and the other one got, and nothing else; where a
client is known to count more or less than that, what it counts.
"""

import json
import os
import random
import re
import subprocess
import time
from dataclasses import dataclass

import torrentfile
from children import Failure, wait_until
from clients import Libtorrent, Transmission
from tracker import ADDRESSES, PORT, Tracker
from transfers import LARGEST_BYTES, LEECHER, SEEDER, SMALLEST_BYTES, TRANSFER_SECS, Side, ports

CONFIG = """
[access]
preset = "private"
"""


@dataclass(frozen=True)
class PrivateTransfer:
    name: str
    client: type
    dialect: str

    def clients(self):
        """The clients with their versions, for the report."""
        return " -> ".join([f"{self.client.label} {self.client.version()}"] * 2)

    def scene(self, folder):
        return Scene(self, folder)


PRIVATE_TRANSFERS = [
    PrivateTransfer("private-libtorrent-http", Libtorrent, "http"),
    PrivateTransfer("private-libtorrent-udp", Libtorrent, "udp"),
    PrivateTransfer("private-transmission-http", Transmission, "http"),
]


class Scene:
    """The tracker, its books, and the clients of Ann, who seeds, and Bob."""

    def __init__(self, transfer, folder):
        self.folder, self.dialect, self.program, self.tracker = folder, transfer.dialect, None, None
        side = Side(transfer.client, transfer.dialect)
        self.ann = side.client("ann", SEEDER[4], next(ports), folder / "ann")
        self.bob = side.client("bob", LEECHER[4], next(ports), folder / "bob")

    def play(self, program):
        """The transfer from no user to the last word of the books; returns the seconds that Bob took to his file."""
        self.program = program
        torrent = torrentfile.make(random.randint(SMALLEST_BYTES, LARGEST_BYTES))
        config = CONFIG + f'[server]\npublic_url = "http://{ADDRESSES[4]}:{PORT}"\nport = {PORT}\n'
        self.tracker = Tracker(program, self.folder / "tracker", torrent.info_hash, config)
        self.tracker.wait_ready()
        film = self.folder / "film.torrent"
        torrent.write(film, "http://elsewhere.example/announce")
        keys = [user["passkey"] for user in self._ask("user", "add", "ann", "bob")]
        self._ask("torrent", "add", film)

        (self.ann.data / torrent.name).write_bytes(torrent.content)
        self._start(self.ann, torrent, keys[0])
        self._wait_for("Ann to seed", "torrent", lambda shown: (shown["stats"] or {}).get("seeders") == 1)
        began = time.monotonic()
        self._start(self.bob, torrent, keys[1])
        wait_until(
            "Bob's file has the SHA-256 of Ann's",
            lambda: None if torrent.is_in(self.bob.data) else "it has not",
            TRANSFER_SECS,
            [self.tracker, self.ann, self.bob],
        )
        download_seconds = time.monotonic() - began
        self._wait_for("Bob's completion", "torrent", lambda shown: shown["stats"]["completed"] == 1)
        self.bob.leave()
        self.ann.leave()
        size = len(torrent.content)
        sent = self.ann.sent_bytes(size)
        self._wait_for(f"Ann's books to show {sent}", "user", lambda shown: _moved(shown) == (sent, 0, 0), 1)
        self._wait_for(f"Bob's books to show {size}", "user", lambda shown: _moved(shown) == (0, size, 1), 2)
        return download_seconds

    def _start(self, client, torrent, passkey):
        path = client.folder / "own.torrent"
        self._run("torrent", "download", "1", "--passkey", passkey, "--out", path)
        own = torrentfile.decode(path.read_bytes())
        announce = own[b"announce"].decode()
        if torrentfile.encode(own[b"info"]) != torrent.info or passkey not in announce:
            raise Failure(f"{path} is not the torrent with an announce URL of its own: {announce}")
        if self.dialect == "udp":
            # The same URL over UDP, which carries its path behind the announce (BEP 41).
            announce = announce.replace("http:", "udp:")
            torrent.write(path, announce)
        client.start(path, announce)

    def _wait_for(self, what, kind, holds, number=1):
        def missing():
            shown = self._ask(kind, "show", number)
            return None if holds(shown) else json.dumps(shown)

        wait_until(what, missing, 20, [self.tracker])

    def _ask(self, *words):
        return json.loads(self._run(*words, "--json"))

    def _run(self, *words):
        log = self.tracker.child.log.read_text(errors="replace")
        token = re.search(r"^ +token +(\S+)", log, re.MULTILINE).group(1)
        done = subprocess.run(
            [str(word) for word in (self.program, *words)],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            cwd=self.folder,
            env={**os.environ, "EVENKEEL_TOKEN": token},
        )
        if done.returncode:
            raise Failure(f"evenkeel {words[0]} {words[1]}: {done.stderr.strip()}")
        return done.stdout

    def evidence(self):
        """The tails of the logs of all who took part."""
        parts = [("evenkeel", self.tracker)] if self.tracker else []
        parts += [(client.name, client) for client in (self.ann, self.bob)]
        return "\n".join(f"  --- {name}\n{part.tail()}" for name, part in parts)

    def close(self):
        for part in (self.bob, self.ann, self.tracker):
            if part:
                part.close()


def _moved(user):
    totals = user["totals"]
    return totals["uploaded"], totals["downloaded"], totals["snatches"]
