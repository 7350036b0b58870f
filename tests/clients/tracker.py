"""The tracker under test: the real program, with a configuration and a state folder of its own."""

import http.client
import subprocess

import scrape
from children import Child, Failure, tail, wait_until

PORT = 6969
TLS_PORT = 6970
ADDRESSES = {4: "10.77.0.1", 6: "fd77::1"}

# All that the transfers need; everything else stays at its default.
CONFIG = f"""\
[server]
port = {PORT}

[tls]
certificate_file = "certificate.pem"
key_file = "key.pem"
port = {TLS_PORT}

[announce]
interval_secs = 60
min_interval_secs = 10
"""

# A private authority, and the certificate that it gives the tracker: clients are told to trust the authority.
MAKE = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30".split()
AUTHORITY = [*MAKE, *"-subj /CN=authority -keyout authority.key -out authority.pem".split()]
CERTIFICATE = [
    *MAKE,
    *"-subj /CN=tracker -CA authority.pem -CAkey authority.key -keyout key.pem -out certificate.pem".split(),
    *"-addext basicConstraints=critical,CA:FALSE -addext".split(),
    "subjectAltName=" + ",".join(f"IP:{address}" for address in ADDRESSES.values()),
]


class Tracker:
    """One running tracker, and what is expected of its counts for one info hash."""

    def __init__(self, program, folder, info_hash, config=CONFIG):
        self.info_hash = info_hash
        folder.mkdir()
        self.authority = folder / "authority.pem"
        for command in (AUTHORITY, CERTIFICATE):
            subprocess.run(command, cwd=folder, check=True, capture_output=True)
        path, state = folder / "evenkeel.toml", folder / "state"
        path.write_text(config)
        state.mkdir()
        command = [program, "serve", "--config", path, "--state-dir", state]
        self.child = Child("evenkeel", command, folder / "evenkeel.log", folder, grace_secs=5)

    def wait_ready(self):
        for address in ADDRESSES.values():
            wait_until(f"http://{address}:{PORT}/health", lambda: _unhealthy(address), 15, [self])

    def check(self):
        self.child.check()

    def expect(self, why, complete, incomplete, downloaded, watched=(), seconds=20):
        """Waits until a scrape over HTTP and one over UDP, over IPv4 and over IPv6, all say the same and this.

        `downloaded` None is any: a tracker may forget it with the last peer."""
        wanted = scrape.Counts(complete, incomplete, downloaded)

        def missing():
            seen = {}
            for family, address in ADDRESSES.items():
                for dialect, ask in (("http", scrape.over_http), ("udp", scrape.over_udp)):
                    seen[f"{dialect} IPv{family}"] = ask(address, PORT, self.info_hash)
            if all(_fits(counts, wanted) for counts in seen.values()) and len(set(seen.values())) == 1:
                return None
            return ", ".join(f"{where} {'/'.join(map(str, counts))}" for where, counts in seen.items())

        text = f"scrape {complete}/{incomplete}/{'any' if downloaded is None else downloaded} {why}"
        try:
            wait_until(text, missing, seconds, [self, *watched])
        except scrape.ScrapeError as error:
            raise Failure(f"{text}: {error}") from error

    def tail(self):
        return tail(self.child.log)

    def close(self):
        self.child.kill()


def _fits(counts, wanted):
    return all(want is None or have == want for have, want in zip(counts, wanted))


def _unhealthy(address):
    connection = http.client.HTTPConnection(address, PORT, timeout=2)
    try:
        connection.request("GET", "/health")
        response = connection.getresponse()
        response.read()
        return None if response.status == 200 else f"status {response.status}"
    except (OSError, http.client.HTTPException) as error:
        return repr(error)
    finally:
        connection.close()
