"""The real clients, one small class each, all with the same few verbs.

Everything by which a client could find another one without the tracker is switched off (DHT, peer exchange, local
discovery), and so is what only costs time in a closed network (port mapping, uTP). Each client is bound to an address
of its own, because several of them tell peers apart by their IP alone.
"""

import importlib.metadata
import json
import signal
import subprocess
import sys
from pathlib import Path

from children import Child, Failure, tail, wait_until

# What peers ask each other for at once.
BLOCK_BYTES = 16 * 1024


class Client:
    """What a transfer may ask of a client. A client has one torrent in its lifetime."""

    label = ""
    # The authority that is trusted over https, in a file.
    trusted = None

    def __init__(self, role, address, port, folder):
        self.name = f"{role} {self.label}"
        self.address, self.port, self.folder = address, port, folder
        self.data = folder / "data"
        self.data.mkdir(parents=True)
        self.log = folder / "log"

    @classmethod
    def version(cls):
        """The version of the installed program."""
        raise NotImplementedError

    def start(self, torrent_path, announce):
        """Starts the client with this torrent (which has this announce URL) and its data folder: it seeds what is
        there and downloads what is not."""
        raise NotImplementedError

    def check(self):
        """Fails if the client is no longer running or has seen something that must not happen."""

    def confirm_start(self, is_leecher):
        """Fails unless the client itself, as far as it says, was given what it needed by the tracker."""

    def confirm_complete(self, is_leecher):
        """Fails unless the client itself, as far as it says, knows of the finished transfer."""

    def leave(self):
        """Makes the client tell the tracker that it stopped, as its user would."""
        raise NotImplementedError

    def sent_bytes(self, size):
        """What it tells the tracker that it sent when it leaves, if one peer has fetched a file of this size from it."""
        return size

    def tail(self):
        return tail(self.log)

    def close(self):
        """Ends the client, whatever its state."""


class Aria2(Client):
    """Tells the tracker that it stopped when it is interrupted, and then ends."""

    label = "aria2"
    child = None

    @classmethod
    def version(cls):
        return _first_line("aria2c", "--version").split()[-1]

    def start(self, torrent_path, announce):
        command = [
            "aria2c", "--no-conf", f"--dir={self.data}", f"--log={self.log}", "--log-level=info",
            "--summary-interval=0", "--show-console-readout=false", "--console-log-level=error",
            f"--interface={self.address}", f"--listen-port={self.port}", f"--dht-listen-port={self.port}",
            "--bt-enable-lpd=false", "--enable-peer-exchange=false", "--enable-dht6=false",
            # aria2's UDP tracker client is a part of its DHT and does not exist without it. It has no entry point
            # there, and private torrents stay out of it anyway.
            f"--enable-dht={'true' if announce.startswith('udp:') else 'false'}",
            # The check of what is there makes a seeder of a complete file; ratio 0 means to seed until told to end.
            f"--ca-certificate={self.trusted}",
            "--check-integrity=true", "--seed-ratio=0.0", "--file-allocation=none",
            torrent_path,
        ]  # fmt: skip
        self.child = Child(self.name, command, self.folder / "console", self.folder)

    def check(self):
        self.child.check()

    def leave(self):
        self.child.signal(signal.SIGINT)
        wait_until(f"{self.name} ends on SIGINT", lambda: None if self.child.exited() else "still running", 15)

    def close(self):
        if self.child:
            self.child.kill()


class Transmission(Client):
    """Driven by transmission-remote: on SIGTERM the daemon says goodbye over UDP only, on `--stop` always."""

    label = "transmission"
    child = None
    RPC_PORT = 9091
    # The head of the message that a block is in, which it counts as sent, too.
    OVERHEAD_BYTES = 13

    @classmethod
    def version(cls):
        return _first_line("transmission-daemon", "--version").split()[1]

    def start(self, torrent_path, announce):
        settings = {
            "bind-address-ipv4": self.address,
            "peer-port": self.port,
            "peer-port-random-on-start": False,
            "rpc-bind-address": self.address,
            "rpc-port": self.RPC_PORT,
            "rpc-whitelist-enabled": False,
            "dht-enabled": False,
            "lpd-enabled": False,
            "pex-enabled": False,
            "utp-enabled": False,
            "port-forwarding-enabled": False,
            "download-dir": str(self.data),
            "incomplete-dir-enabled": False,
            "rename-partial-files": False,
            "watch-dir-enabled": False,
            "message-level": 2,
        }
        (self.folder / "settings.json").write_text(json.dumps(settings))
        command = ["transmission-daemon", "--foreground", "--config-dir", self.folder, "--logfile", self.log]
        # Killed at once it would leave a file in /tmp behind, whatever TMPDIR says.
        self.child = Child(self.name, command, self.folder / "console", self.folder, grace_secs=3)
        wait_until(f"{self.name} answers over RPC", lambda: self._remote("--session-info")[1], 15, [self])
        answer, problem = self._remote("--add", torrent_path)
        if problem or "success" not in answer:
            raise Failure(f"{self.name} did not take the torrent: {problem or answer}")

    def check(self):
        self.child.check()

    def confirm_complete(self, is_leecher):
        def missing():
            answer, problem = self._remote("--torrent", "1", "--info")
            return problem or (None if "Percent Done: 100%" in answer else answer)

        wait_until(f"{self.name} says 100 %", missing, 10, [self])

    def leave(self):
        _, problem = self._remote("--torrent", "1", "--stop")
        if problem:
            raise Failure(f"{self.name} did not stop the torrent: {problem}")

    def sent_bytes(self, size):
        return size + self.OVERHEAD_BYTES * -(-size // BLOCK_BYTES)

    def close(self):
        if self.child:
            self.child.kill()

    def _remote(self, *words):
        """What transmission-remote printed, and a text if it failed."""
        command = ["transmission-remote", f"{self.address}:{self.RPC_PORT}", *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
        return done.stdout, (done.stdout + done.stderr).strip() or "failed" if done.returncode else None


class Libtorrent(Client):
    """A session of the Python bindings, which tells us what it thinks of the tracker's answers."""

    label = "libtorrent"
    child = None

    @classmethod
    def version(cls):
        return importlib.metadata.version("libtorrent")

    def start(self, torrent_path, announce):
        program = Path(__file__).with_name("libtorrent_session.py")
        # What OpenSSL trusts, and nothing else.
        trust = ["env", f"SSL_CERT_FILE={self.trusted}", "SSL_CERT_DIR="]
        command = [*trust, sys.executable, program, self.address, self.port, torrent_path, self.data]
        self.child = Child(self.name, command, self.log, self.folder)

    def check(self):
        """An error or a warning from the tracker fails the transfer."""
        self.child.check()
        for alert in self._alerts():
            if alert["what"] in ("tracker_error", "tracker_warning", "scrape_failed", "listen_failed", "torrent_error"):
                raise Failure(f"{self.name}: {alert['what']}: {alert['message']}")

    def confirm_start(self, is_leecher):
        """The tracker's first answer to the leecher holds the seeder and nobody else; to the seeder, nobody."""
        reply = self._wait_for("tracker_reply")
        if reply["num_peers"] != int(is_leecher):
            raise Failure(f"{self.name} was given {reply['num_peers']} peers at first, not {int(is_leecher)}")

    def confirm_complete(self, is_leecher):
        self._wait_for("torrent_finished")
        self.child.signal(signal.SIGUSR1)
        scraped = self._wait_for("scrape_reply")
        if (scraped["complete"], scraped["incomplete"]) != (2, 0):
            raise Failure(f"{self.name}: its own scrape says {scraped['message']}")

    def leave(self):
        self.child.signal(signal.SIGINT)

    def sent_bytes(self, size):
        """Its own word: a block whose peer hangs up before the session has noticed that it is sent is never counted."""
        sent = self._wait_for("left")["uploaded"]
        if not size - BLOCK_BYTES <= sent <= size:
            raise Failure(f"{self.name} counts {sent} bytes as sent, of a file of {size}")
        return sent

    def close(self):
        if self.child:
            self.child.kill()

    def _wait_for(self, what):
        def first():
            return next((alert for alert in self._alerts() if alert["what"] == what), None)

        wait_until(f"{self.name}: {what}", lambda: None if first() else "not seen", 20, [self])
        return first()

    def _alerts(self):
        """The alerts so far: whole lines of the log that are JSON."""
        text = self.log.read_text(errors="replace") if self.log.is_file() else ""
        lines = text[: text.rfind("\n") + 1].splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]


def _first_line(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    return (done.stdout or done.stderr).splitlines()[0]
