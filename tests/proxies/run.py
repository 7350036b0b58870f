"""A real proxy in front of the tracker: nginx speaks to it with X-Forwarded-For, and with the PROXY protocol.

    tests/proxies/install.sh                                      installs nginx (once)
    python3 tests/proxies/run.py --evenkeel target/release/evenkeel

Clients have loopback addresses of their own (127.0.0.2 and so on), nginx speaks to the tracker from 127.0.0.1, and the
tracker trusts that address alone. Each check announces through nginx and asserts that peers are handed the addresses of
clients, never that of nginx, and never one that a client made up.

nginx that is not installed is a failure, never a skip. The last line is always `N passed, N failed`, and the exit status
is 1 if anything failed.
"""

import argparse
import base64
import http.client
import json
import os
import shutil
import socket
import sys
import tempfile
import traceback
from pathlib import Path
from urllib.parse import quote

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "clients"))

from children import Child, Failure, kill_all, tail, wait_until  # noqa: E402

os.environ["PATH"] += ":/usr/sbin:/sbin"

TRACKER = """\
[server]
port = {tracker}
addresses = ["127.0.0.1"]

[admin]
enabled = false

[proxy]
trusted_networks = ["127.0.0.1"]
protocol_on_http = true

[limits]
limit_local_addresses = true
peers_per_address_and_swarm_max = 2
"""

# The same nginx in three ways: as a proxy of HTTP that adds to X-Forwarded-For, as a second one in front of it (a chain),
# and as one of TCP that sends the PROXY protocol.
NGINX = """\
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
worker_processes 1;
error_log stderr;
pid {folder}/nginx.pid;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
    upstream tracker {{ server 127.0.0.1:{tracker}; keepalive 4; }}
    server {{
        listen 127.0.0.1:{plain};
        location / {{
            proxy_pass http://tracker;
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        }}
    }}
    server {{
        listen 127.0.0.1:{chain};
        location / {{
            proxy_pass http://127.0.0.1:{plain};
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        }}
    }}
}}
stream {{
    server {{
        listen 127.0.0.1:{stream};
        proxy_pass 127.0.0.1:{tracker};
        proxy_protocol on;
    }}
}}
"""

FORGED = {"X-Forwarded-For": "127.9.9.9", "X-Real-IP": "127.9.9.9", "Forwarded": "for=127.9.9.9", "CF-Connecting-IP": "127.9.9.9"}


class Rig:
    """The tracker and nginx, each on free ports."""

    def __init__(self, program, folder):
        names = ["tracker", "plain", "chain", "stream"]
        held = [socket.create_server(("127.0.0.1", 0)) for _ in names]
        self.ports = {name: one.getsockname()[1] for name, one in zip(names, held)}
        for one in held:
            one.close()
        (folder / "evenkeel.toml").write_text(TRACKER.format(**self.ports))
        (folder / "nginx.conf").write_text(NGINX.format(folder=folder, **self.ports))
        command = [program, "serve", "--config", folder / "evenkeel.toml", "--state-dir", folder / "state"]
        self.tracker = Child("evenkeel", command, folder / "evenkeel.log", folder, grace_secs=5)
        nginx = [shutil.which("nginx"), "-p", folder, "-e", "stderr", "-c", folder / "nginx.conf"]
        self.nginx = Child("nginx", nginx, folder / "nginx.log", folder, grace_secs=5)
        for way in names:
            wait_until(f"{way} answers", lambda: self.unhealthy(way), 15, [self.tracker, self.nginx])

    def unhealthy(self, way):
        try:
            status, _ = self.get(way, "/health", "127.0.0.1")
            return None if status == 200 else f"status {status}"
        except (OSError, http.client.HTTPException) as error:
            return str(error)

    def get(self, way, target, source, headers=()):
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[way], timeout=10, source_address=(source, 0))
        try:
            connection.request("GET", target, headers=dict(headers))
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def announce(self, way, torrent, source, port, headers=()):
        """Announces a leecher; answers the addresses and ports of the peers that it is handed."""
        target = f"/announce?info_hash={quote(torrent)}&peer_id=-XX0001-{port:012}&port={port}&left=1&compact=1"
        status, body = self.get(way, target, source, headers)
        want(200, status, "the status")
        start = body.index(b"5:peers") + len(b"5:peers")
        length, _, rest = body[start:].partition(b":")
        peers = rest[: int(length)]
        return {
            (socket.inet_ntoa(peers[at : at + 4]), int.from_bytes(peers[at + 4 : at + 6], "big"))
            for at in range(0, len(peers), 6)
        }


def want(expected, seen, what):
    if expected != seen:
        raise Failure(f"{what}: expected {expected}, got {seen}")


def check_clients_are_seen(rig, way, torrent):
    """Peers are handed the address of the client, whichever way it came."""
    for last in range(2, 12):
        rig.announce(way, torrent, f"127.0.0.{last}", 1000 + last)
    seen = rig.announce("tracker", torrent, "127.0.0.99", 1099)
    want({(f"127.0.0.{last}", 1000 + last) for last in range(2, 12)}, seen, "the peers")


def check_forged_headers_show_nothing(rig, way, torrent):
    """What a client writes into headers is nobody's address."""
    rig.announce(way, torrent, "127.0.0.2", 1002, FORGED)
    rig.announce(way, torrent, "127.0.0.3", 1003, {"X-Forwarded-For": "127.0.0.1"})
    rig.announce("tracker", torrent, "127.0.0.4", 1004, FORGED)
    seen = rig.announce(way, torrent, "127.0.0.5", 1005)
    want({("127.0.0.2", 1002), ("127.0.0.3", 1003), ("127.0.0.4", 1004)}, seen, "the peers")


def check_limits_are_the_clients(rig, way, torrent):
    """Two peers of an address, and no more: of the client's, not of the proxy's."""
    for last in (2, 3):
        for port in range(2001, 2006):
            rig.announce(way, torrent, f"127.0.0.{last}", port)
    want(4, len(rig.announce(way, torrent, "127.0.0.4", 2004)), "the number of peers")


def check_websockets_are_the_clients(rig, way, torrent):
    """WebTorrent peers count for the client, too."""
    sockets = [open_websocket(rig.ports[way], f"127.0.0.{last}") for last in (2, 2, 2, 3)]
    counts = [announce_over(one, torrent, number) for number, one in enumerate(sockets)]
    want([1, 2, 2, 3], counts, "the number of leechers after each socket")
    for one in sockets:
        one.close()


def open_websocket(port, source):
    one = socket.create_connection(("127.0.0.1", port), 10, (source, 0))
    key = base64.b64encode(bytes(16)).decode()
    head = (
        "GET /announce HTTP/1.1\r\nHost: tracker\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nX-Forwarded-For: 127.9.9.9\r\n\r\n"
    )
    one.sendall(head.encode())
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += read(one, 1)
    want(b"HTTP/1.1 101", answer[:12], "the answer to the upgrade")
    return one


def announce_over(one, torrent, number):
    message = {
        "action": "announce",
        "info_hash": torrent.decode("latin1"),
        "peer_id": f"-XX0001-{number:012}",
        "left": 1,
        "numwant": 0,
        "offers": [],
    }
    text = json.dumps(message).encode()
    # Masked with zeros, which leaves the text as it is.
    one.sendall(b"\x81" + bytes([0x80 | 126]) + len(text).to_bytes(2, "big") + bytes(4) + text)
    first, length = read(one, 2)
    want(0x81, first, "the kind of message")
    if length == 126:
        length = int.from_bytes(read(one, 2), "big")
    return json.loads(read(one, length))["incomplete"]


def read(one, length):
    got = b""
    while len(got) < length:
        more = one.recv(length - len(got))
        if not more:
            raise Failure(f"the connection ended after {got!r}")
        got += more
    return got


CHECKS = [
    (check, way)
    for check in (
        check_clients_are_seen,
        check_forged_headers_show_nothing,
        check_limits_are_the_clients,
        check_websockets_are_the_clients,
    )
    for way in ("plain", "chain", "stream")
    # The proxy in front of the proxy speaks HTTP/1.0, which has no upgrade.
    if (check, way) != (check_websockets_are_the_clients, "chain")
]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--evenkeel", required=True, type=Path, help="the program under test")
    program = parser.parse_args().evenkeel.resolve()
    if not shutil.which("nginx"):
        print("nginx is not installed (tests/proxies/install.sh)")
        print("0 passed, 1 failed")
        return 1
    passed = failed = 0
    with tempfile.TemporaryDirectory() as folder:
        # nginx drops its privileges where it has any, and must reach its folders still.
        os.chmod(folder, 0o755)
        logs = [Path(folder) / "evenkeel.log", Path(folder) / "nginx.log"]
        try:
            rig = Rig(program, Path(folder))
            for number, (check, way) in enumerate(CHECKS):
                name = f"{check.__name__.removeprefix('check_').replace('_', ' ')}, through {way}"
                try:
                    check(rig, way, bytes([number] * 20))
                    passed += 1
                    print(f"ok      {name}")
                except (Failure, OSError, http.client.HTTPException, ValueError) as error:
                    failed += 1
                    print(f"FAILED  {name}: {error}")
                    traceback.print_exc()
        except Failure as error:
            failed += 1
            print(f"FAILED  to start: {error}")
        finally:
            kill_all()
        if failed:
            for log in logs:
                print(f"--- {log.name}\n{tail(log)}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
