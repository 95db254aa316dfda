"""The real binary for tests with real clients: a tiny model of a few training steps, and a server of it.

    from harness import Server, tiny_run
    with Server(tiny_run()) as server:
        server.url, server.model, server.pid

TENTH_BINARY names the binary (ctest sets it).
"""

import atexit
import functools
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

BINARY = os.environ.get("TENTH_BINARY") or str(pathlib.Path(__file__).resolve().parents[2] / "build/tenth")

RECIPE = pathlib.Path(__file__).resolve().parents[1] / "tiny.toml"


def temporary_folder():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tenth-clients-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@functools.cache
def tiny_run():
    """The folder of a finished run, .../runs/tiny; its model is in .../runs/tiny/model. Made once a process."""
    folder = temporary_folder()
    run = folder / "runs" / "tiny"
    done = subprocess.run(
        [BINARY, "train", str(RECIPE), "--set", "model.max_position_embeddings=256", "--out", str(run)],
        capture_output=True, text=True, timeout=300
    )
    if done.returncode:
        sys.exit(f"the tiny run failed:\n{done.stdout}\n{done.stderr}")
    return run


class Server:
    """`tenth serve` on a free port, ready; ended (SIGTERM) with the block. run: a folder of a run, or None for options
    that name a model themselves. options: further ones of the command line; env: of the environment."""

    def __init__(self, run, *options, env=None):
        self.model = None
        command = [BINARY, "serve", "--port", "0", *options]
        if run:
            command += ["--model", str(run / "model"), "--runs", str(run.parent)]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=temporary_folder(),
            env={**os.environ, **(env or {})},
        )
        self.output = []
        while True:
            line = self.process.stdout.readline()
            if not line:
                raise RuntimeError("the server did not start:\n" + "".join(self.output))
            self.output.append(line)
            if match := re.match(r"(\S+) is served at (http://\S+)", line):
                self.model, self.url = match.groups()
            if "base URL" in line:
                break
        while not self.ready():  # the address is printed a moment before
            time.sleep(0.01)
        # What it writes later must not fill the pipe.
        self.reader = threading.Thread(target=lambda: self.output.extend(self.process.stdout), daemon=True)
        self.reader.start()

    def ready(self):
        try:
            return urllib.request.urlopen(self.url + "/health").status == 200
        except urllib.error.HTTPError:
            return False

    @property
    def pid(self):
        return self.process.pid

    def stop(self):
        """Ends it and returns its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout=40)
        finally:
            self.process.kill()
        self.reader.join(5)
        self.process.stdout.close()
        return code

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        code = self.stop()
        if not failure[0] and code:
            raise AssertionError(f"the server ended with {code}:\n" + "".join(self.output))
