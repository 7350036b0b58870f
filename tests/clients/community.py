"""A community of real BitTorrent clients in one process: who waits how long for what it gets.

    python3 community.py PLAN.json

`evenkeel-lab swarm` starts it, beside a tracker that it has started, too, and judges what comes out: one JSON object on
standard output. Every client is a libtorrent session with an address of its own below 127.0.0.0/8. Seeders stay.
Leechers download one torrent after the other, each as somebody new, with a pause between, until the time is over.
Nobody hears of anybody but from the tracker: the torrents are private, and DHT, peer exchange, local discovery and uTP
are off.

Limits of rate hold on loopback because a filter puts every peer into the class of all: by default libtorrent spares
addresses of the own network, and never chokes them.
"""

import importlib.metadata
import json
import os
import random
import shutil
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import libtorrent as lt

import torrentfile

PORT = 6881
TICK_SECS = 0.5
LOOK_SECS = 5.0
# Nobody begins with others in step.
START_SECS = 5.0
PAUSE_MEAN_SECS = 3.0
# A session that is gone goes on saying so to the tracker for a while; nobody waits for it.
FAREWELL_SECS = 10.0


@dataclass
class Sums:
    """What a class did within the window."""

    secs: float = 0.0
    bytes: int = 0
    uploaded: int = 0
    downloads: int = 0
    looks: int = 0
    seeders_known: int = 0
    from_seeders: int = 0


@dataclass
class Seeder:
    session: object
    torrents: list


@dataclass
class Leecher:
    kind: str
    plan: dict
    # Of the next client that it is.
    number: int
    rng: random.Random
    begins: float
    session: object = None
    torrent: object = None
    folder: Path = None
    wishes: list = field(default_factory=list)
    seen: float = 0.0
    received: int = 0
    sent: int = 0


class Community:
    def __init__(self, plan, folder):
        self.plan, self.folder = plan, folder
        self.rng = random.Random(plan["seed"])
        self.sums = {kind: Sums() for kind in plan["leechers"]}
        self.gone = []
        self.download = plan["surge_download"] if plan["surge_secs"] else plan["download"]
        self.torrents = [self.publish(number) for number in range(plan["torrents"])]
        self.seeders = [self.seed(number) for number in range(plan["seeders"])]
        self.leechers = []
        for kind, of_kind in plan["leechers"].items():
            for number in range(of_kind["count"]):
                rng = random.Random(self.rng.random())
                self.leechers.append(Leecher(kind, of_kind, number, rng, rng.uniform(0, START_SECS)))

    def publish(self, number):
        """A torrent and its one file, which all seeders share."""
        content = self.rng.randbytes(self.plan["torrent_bytes"])
        torrent = torrentfile.of(f"{number}.bin", content)
        home = self.folder / "published"
        home.mkdir(exist_ok=True)
        (home / torrent.name).write_bytes(content)
        path = self.folder / f"{number}.torrent"
        torrent.write(path, self.plan["announce"])
        return lt.torrent_info(str(path))

    def seed(self, number):
        session = self.join(self.plan["seeders_net"], number, self.plan["seeder_upload"], 0)
        own = range(self.plan["torrents"])
        if self.plan["one_torrent_each"]:
            own = [number % self.plan["torrents"]]
        torrents = [self.add(session, torrent, self.folder / "published", True) for torrent in own]
        return Seeder(session, torrents)

    def join(self, net, number, upload, download):
        """A new client. `upload` 0 gives nothing: nobody is ever unchoked."""
        address = f"127.{self.plan['block']}.{net + number // 200}.{number % 200 + 1}"
        settings = {
            "listen_interfaces": f"{address}:{PORT}",
            "outgoing_interfaces": address,
            "enable_dht": False,
            "enable_lsd": False,
            "enable_upnp": False,
            "enable_natpmp": False,
            "enable_incoming_utp": False,
            "enable_outgoing_utp": False,
            # Disabled, both ways.
            "in_enc_policy": 2,
            "out_enc_policy": 2,
            "min_announce_interval": 5,
            "stop_tracker_timeout": 5,
            "upload_rate_limit": upload,
            "download_rate_limit": download,
            "unchoke_slots_limit": 8 if upload else 0,
            "aio_threads": 1,
            "hashing_threads": 1,
            "alert_mask": 0,
        }
        if not upload:
            settings |= {"allowed_fast_set_size": 0, "num_optimistic_unchoke_slots": 0}
        session = lt.session(settings)
        everybody = lt.ip_filter()
        everybody.add_rule("0.0.0.0", "255.255.255.255", 1 << lt.session.global_peer_class_id)
        session.set_peer_class_filter(everybody)
        return session

    def add(self, session, number, folder, is_complete):
        params = lt.add_torrent_params()
        params.ti = self.torrents[number]
        params.save_path = str(folder)
        flags = lt.torrent_flags
        params.flags &= ~(flags.auto_managed | flags.paused)
        params.flags |= flags.disable_dht | flags.disable_lsd | flags.disable_pex
        if is_complete:
            params.flags |= flags.seed_mode
        return session.add_torrent(params)

    def run(self):
        """Lives until the window is over."""
        began = time.monotonic()
        start, end = self.plan["warm_up_secs"], self.plan["warm_up_secs"] + self.plan["window_secs"]
        due, look_due, late, looks, seeded = 0.0, start, 0.0, [], None
        surge_end = self.plan["surge_secs"]
        while (now := time.monotonic() - began) < end:
            late = max(late, now - due)
            is_measured = now >= start
            if self.download != self.plan["download"] and now >= surge_end:
                self.end_surge()
            if is_measured and seeded is None:
                seeded = self.sent_by_seeders()
            for leecher in self.leechers:
                self.turn(leecher, now, self.sums[leecher.kind] if is_measured else None)
            if now >= look_due:
                look_due = now + LOOK_SECS
                looks.append(self.look())
            self.gone = [one for one in self.gone if now - one[0] < FAREWELL_SECS]
            due = max(due + TICK_SECS, now)
            time.sleep(max(0.0, due - (time.monotonic() - began)))
        window = now - start
        rationed = [share for share in looks if share is not None]
        capacity = self.plan["seeder_upload"] * len(self.seeders) * window
        return {
            "libtorrent": importlib.metadata.version("libtorrent"),
            "late_secs": late,
            "window_secs": window,
            "classes": {kind: vars(sums) for kind, sums in self.sums.items()},
            "utilisation": (self.sent_by_seeders() - seeded) / capacity,
            "rationed": sum(rationed) / len(rationed) if rationed else None,
        }

    def turn(self, leecher, now, sums):
        """What a leecher does in a tick: begins, goes on, or has all and leaves."""
        if leecher.session is None:
            if now >= leecher.begins:
                self.begin(leecher, now)
            return
        status = leecher.torrent.status()
        received, sent = status.total_payload_download, status.total_payload_upload
        if sums:
            sums.secs += now - leecher.seen
            sums.bytes += received - leecher.received
            sums.uploaded += sent - leecher.sent
        leecher.seen, leecher.received, leecher.sent = now, received, sent
        if status.is_seeding:
            if sums:
                sums.downloads += 1
            self.leave(leecher, now)

    def end_surge(self):
        self.download = self.plan["download"]
        for leecher in self.leechers:
            if leecher.session is not None:
                leecher.session.apply_settings({"download_rate_limit": self.download})

    def begin(self, leecher, now):
        if not leecher.wishes:
            leecher.wishes = list(range(self.plan["torrents"]))
            leecher.rng.shuffle(leecher.wishes)
        # Somebody new each time: at an address that no seeder remembers.
        leecher.session = self.join(leecher.plan["net"], leecher.number, leecher.plan["upload"], self.download)
        leecher.number += leecher.plan["count"]
        leecher.folder = Path(tempfile.mkdtemp(dir=self.folder))
        leecher.torrent = self.add(leecher.session, leecher.wishes.pop(), leecher.folder, False)
        leecher.seen, leecher.received, leecher.sent = now, 0, 0

    def leave(self, leecher, now):
        leecher.session.remove_torrent(leecher.torrent)
        self.gone.append((now, leecher.session))
        leecher.session = leecher.torrent = None
        shutil.rmtree(leecher.folder)
        leecher.begins = now + leecher.rng.expovariate(1 / PAUSE_MEAN_SECS)

    def look(self):
        """Notes whom leechers are connected to; answers which share of the seeders' records is rationed, if the tracker
        rations."""
        seeders = f"127.{self.plan['block']}.{self.plan['seeders_net']}."
        for leecher in self.leechers:
            if leecher.session is None:
                continue
            sums = self.sums[leecher.kind]
            peers = [peer for peer in leecher.torrent.get_peer_info() if peer.ip[0].startswith(seeders)]
            sums.looks += 1
            sums.seeders_known += len(peers)
            sums.from_seeders += sum(peer.payload_down_speed for peer in peers)
        url = self.plan["announce"].removesuffix("announce") + "stats.json"
        with urllib.request.urlopen(url, timeout=5) as answer:
            rationed = json.load(answer).get("reported", {}).get("seedersRationed")
        records = sum(len(seeder.torrents) for seeder in self.seeders)
        return None if rationed is None else rationed / records

    def sent_by_seeders(self):
        return sum(one.status().total_upload for seeder in self.seeders for one in seeder.torrents)


def main(path):
    plan = json.loads(Path(path).read_text())
    with tempfile.TemporaryDirectory(prefix="community-", ignore_cleanup_errors=True) as folder:
        print(json.dumps(Community(plan, Path(folder)).run()), flush=True)
        # Whoever is still there is not waited for.
        os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
