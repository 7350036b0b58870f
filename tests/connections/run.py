"""Idle connections by the thousand: what each costs, and whether others are answered meanwhile.

    python3 tests/connections/run.py --evenkeel target/release/evenkeel [--each N] [--p99-ms N] [--report FILE.md]

One worker serves all. Each connection exchanges 64 KiB first and then waits. Asserted are

  * the memory that the program has resident for each: 12 KiB for a WebSocket, 32 KiB for one over TLS, 4 KiB for an HTTP
    connection between two requests;
  * the slowest of a hundred announces while N WebSockets and N HTTP connections wait together;
  * that at 95 % of the open files the longest idle ones make room, and nobody who comes is refused.

The last line is always `N passed, N failed`, and the exit status is 1 if anything failed.
"""

import argparse
import json
import re
import resource
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "clients"))

from children import Child, Failure, kill_all, tail, wait_until  # noqa: E402

CONFIG = """\
[server]
port = 0
workers = 1
addresses = ["127.0.0.1"]

[tls]
port = 0
certificate_file = "chain.pem"
key_file = "key.pem"

[admin]
address = "127.0.0.1:0"

[limits]
head_timeout_secs = 120
idle_timeout_secs = 3600
websocket_idle_timeout_secs = 3600
"""
EXCHANGED_BYTES = 64 * 1024
# The program's reserve for everything else.
FILES_RESERVED = 256
UPGRADE = (
    b"GET /announce HTTP/1.1\r\nHost: tracker\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class Tracker:
    def __init__(self, program, folder, files):
        self.folder = folder
        (folder / "evenkeel.toml").write_text(CONFIG)
        make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=localhost"
        subprocess.run([*make.split(), "-keyout", "key.pem", "-out", "chain.pem"], cwd=folder, check=True, capture_output=True)
        self.log = folder / "evenkeel.log"
        limit = ["prlimit", f"--nofile={files}:{files}"]
        self.child = Child("evenkeel", [*limit, program, "--state-dir", folder / "state"], self.log, folder, grace_secs=5)
        wait_until("the tracker is ready", lambda: None if "capacity" in self.log.read_text() else "not yet", 30, [self.child])
        banner = self.log.read_text()
        self.port = int(re.search(r"http://127\.0\.0\.1:(\d+)/announce", banner)[1])
        self.tls_port = int(re.search(r"https://127\.0\.0\.1:(\d+)/announce", banner)[1])
        self.metrics_url = re.search(r"http://\S+/metrics", banner)[0]
        self.tls = ssl.create_default_context()
        self.tls.check_hostname = False
        self.tls.verify_mode = ssl.CERT_NONE

    def metric(self, name):
        with urllib.request.urlopen(self.metrics_url, timeout=10) as answer:
            return float(re.search(rf"^evenkeel_{name} (\S+)$", answer.read().decode(), re.M)[1])

    def resident(self):
        return self.metric("memory_bytes")

    def dial(self, secure=False):
        one = socket.create_connection(("127.0.0.1", self.tls_port if secure else self.port), 60)
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self.tls.wrap_socket(one) if secure else one

    def websocket(self, number, secure=False):
        """A WebSocket that has announced once in a large message and once in a small one."""
        one = self.dial(secure)
        one.sendall(UPGRADE)
        head(one)
        for padding in (EXCHANGED_BYTES - 1024, 0):
            message = {
                "action": "announce",
                "info_hash": f"{number // 50:020}",
                "peer_id": f"{number:020}",
                "left": 1,
                "numwant": 0,
                "offers": [],
                "padding": "x" * padding,
            }
            one.sendall(frame(json.dumps(message).encode()))
            _, length = read(one, 2)
            read(one, int.from_bytes(read(one, 2), "big") if length == 126 else length)
        return one

    def keep_alive(self, number):
        """An HTTP connection that has carried many announces, some of them together."""
        one = self.dial()
        request = announce(number)
        one.sendall(request)
        length = answer(one)
        for _ in range(EXCHANGED_BYTES // (len(request) + length) // 16 + 1):
            one.sendall(request * 16)
            # Nobody else announces: the answers are of one length.
            read(one, length * 16)
        return one


def announce(number):
    return (
        f"GET /announce?info_hash={number // 50:020}&peer_id={number:020}&port={1024 + number}&left=1&compact=1 HTTP/1.1\r\n"
        "Host: tracker\r\n\r\n"
    ).encode()


def frame(payload):
    # Masked with zeros, which leaves the payload as it is.
    size = bytes([0x80 | len(payload)]) if len(payload) < 126 else bytes([0x80 | 126]) + len(payload).to_bytes(2, "big")
    return b"\x81" + size + bytes(4) + payload


def read(one, length):
    got = b""
    while len(got) < length:
        more = one.recv(length - len(got))
        if not more:
            raise Failure(f"the connection ended after {got!r}")
        got += more
    return got


def head(one):
    got = b""
    while not got.endswith(b"\r\n\r\n"):
        got += read(one, 1)
    return got


def answer(one):
    """Reads an answer; says how long it was."""
    got = head(one)
    length = int(re.search(rb"Content-Length: (\d+)", got)[1])
    read(one, length)
    return len(got) + length


def settled(tracker):
    """What is resident when it does not grow any more."""
    before = tracker.resident()
    for _ in range(50):
        time.sleep(0.2)
        now = tracker.resident()
        if now == before:
            return now
        before = now
    return before


def memory(tracker, open_one, each, limit_kib):
    # What the program needs once is there after the first ones.
    for one in [open_one(10**6 + number) for number in range(50)]:
        one.close()
    before = settled(tracker)
    held = [open_one(number) for number in range(each)]
    kib = (settled(tracker) - before) / each / 1024
    for one in held:
        one.close()
    wait_until("all are gone", lambda: None if tracker.metric("http_connections") == 0 else "not yet", 60)
    return f"{kib:.1f} KiB each", kib <= limit_kib


def latency(tracker, each, p99_ms):
    held = [tracker.websocket(number) for number in range(each)]
    held += [tracker.keep_alive(number) for number in range(each)]
    took = []
    for number in range(2000):
        # Half of them on a connection of their own.
        began = time.monotonic()
        one = tracker.dial() if number % 2 else held[-1 - number % each]
        one.sendall(announce(number))
        answer(one)
        took.append((time.monotonic() - began) * 1000)
        if number % 2:
            one.close()
    p99 = sorted(took)[len(took) * 99 // 100]
    return held, (f"p99 {p99:.1f} ms, median {sorted(took)[len(took) // 2]:.2f} ms", p99 <= p99_ms)


def pressure(tracker, held, each):
    """Newcomers until many of the HTTP connections had to make room: half, or as many as this program has files for."""
    room = int(tracker.metric("http_connections_limit")) * 95 // 100
    excess = min(each // 2, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - room - 200)
    newcomers = []
    for number in range(room - len(held) + excess):
        one = tracker.dial()
        one.sendall(announce(number))
        answer(one)
        newcomers.append(one)
    ended, refused = tracker.metric("http_connections_ended_idle_total"), tracker.metric("http_connections_refused_total")
    sockets = tracker.metric("webtorrent_sockets")
    text = f"{len(newcomers)} came, {ended:.0f} made room, {refused:.0f} refused, {sockets:.0f} WebSockets stay"
    return text, excess - 20 <= ended <= excess + 20 and refused == 0 and sockets == each


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--evenkeel", required=True, type=Path, help="the program under test")
    parser.add_argument("--each", type=int, default=500, help="connections of each kind")
    parser.add_argument("--p99-ms", type=float, default=1000, help="the slowest of a hundred announces")
    parser.add_argument("--report", type=Path, help="a table in Markdown")
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    each, rows = options.each, []

    def note(name, limit, result):
        text, is_good = result
        rows.append((name, limit, text, is_good))
        print(f"{'ok     ' if is_good else 'FAILED '} {name}: {text} ({limit})", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        log = folder / "evenkeel.log"
        try:
            if not shutil.which("openssl"):
                raise Failure("openssl is not installed (tests/connections/install.sh)")
            # 95 % of what is left for connections is a little more than all that will wait.
            tracker = Tracker(options.evenkeel.resolve(), folder, min(hard, FILES_RESERVED * 2 + each * 5 // 2))
            kinds = [
                ("an idle WebSocket", tracker.websocket, 12),
                ("an idle WebSocket over TLS", lambda number: tracker.websocket(number, secure=True), 32),
                ("an idle HTTP connection", tracker.keep_alive, 4),
            ]
            for name, open_one, limit in kinds:
                note(name, f"at most {limit} KiB", memory(tracker, open_one, each, limit))
            held, result = latency(tracker, each, options.p99_ms)
            note(f"announces beside {each} of both", f"p99 at most {options.p99_ms:g} ms", result)
            note("at 95 % of the open files", "the longest idle make room, nobody is refused", pressure(tracker, held, each))
        except (Failure, OSError, ValueError, TypeError) as error:
            note("to come so far", "no failure", (repr(error), False))
        finally:
            kill_all()
        if not all(row[-1] for row in rows):
            print(tail(log) if log.exists() else "no log")
    if options.report:
        table = "".join(f"| {name} | {text} | {limit} | {'yes' if good else '**no**'} |\n" for name, limit, text, good in rows)
        options.report.write_text(f"| what | measured | must be | holds |\n|---|---|---|---|\n{table}")
    failed = sum(not row[-1] for row in rows)
    print(f"{len(rows) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
