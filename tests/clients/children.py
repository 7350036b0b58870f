"""Child processes that cannot outlive the harness, and waiting with a deadline.

Each child leads its own process group, so that what it started goes with it; and the kernel kills it should the harness
itself be killed. Nothing here waits for a fixed time: every wait is for a condition, and fails with what it last saw.
"""

import os
import signal
import subprocess
import time

_running = []


class Failure(Exception):
    """A transfer did not go as it must; the text is for the reader of the report."""


class Child:
    """A program with its output in a log file. With a grace it is asked to end before it is killed."""

    def __init__(self, name, command, log, home, grace_secs=0):
        self.name, self.log, self.grace_secs = name, log, grace_secs
        # Some clients obey proxy variables and configuration in the home folder; neither may play a part.
        env = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
        env.update(HOME=str(home), XDG_CONFIG_HOME=str(home), LC_ALL="C.UTF-8")
        with open(log, "ab") as output:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *map(str, command)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=env,
                cwd=home,
                start_new_session=True,
            )
        _running.append(self)

    def exited(self):
        return self.process.poll() is not None

    def check(self):
        """Fails if the program ended by itself."""
        if self.exited():
            raise Failure(f"{self.name} ended by itself with status {self.process.returncode}")

    def signal(self, number):
        if not self.exited():
            self.process.send_signal(number)

    def kill(self):
        """Ends the whole process group, even if its leader ended already."""
        if self in _running:
            _running.remove(self)
        if self.grace_secs:
            self.signal(signal.SIGTERM)
            try:
                self.process.wait(self.grace_secs)
            except subprocess.TimeoutExpired:
                pass
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()


def kill_all():
    for child in list(_running):
        child.kill()


def wait_until(what, missing, seconds, watched=()):
    """Polls `missing()` until it returns None; meanwhile everything in `watched` has to stay in good health.

    `missing` returns None when the condition holds, and otherwise a text saying how far things are."""
    deadline = time.monotonic() + seconds
    while True:
        for one in watched:
            one.check()
        so_far = missing()
        if so_far is None:
            return
        if time.monotonic() > deadline:
            raise Failure(f"not within {seconds} s: {what} ({so_far})")
        time.sleep(0.05)


def tail(path, lines=40):
    """The last lines of a log, indented."""
    if not path.is_file():
        return "    (no log)"
    text = path.read_text(errors="replace").splitlines()[-lines:]
    return "\n".join("    " + line for line in text) or "    (empty)"
