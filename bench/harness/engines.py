"""Engines as processes that answer one statement at a time. Each is started the same way and asked the same way."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
STOP_S = 20


class EngineError(Exception):
    """An engine's own words on what it would not do."""


class Engine:
    """A worker process that speaks the protocol of worker.py, and perhaps a server behind it."""

    def __init__(self, name, worker, server=None, log=None):
        self.name = name
        self.log = log or subprocess.DEVNULL
        started = time.perf_counter()
        self.server = subprocess.Popen(server, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log) if server else None
        self.worker = subprocess.Popen(worker, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True)
        if not self.read().get("ready"):
            raise EngineError(f"{name} did not get ready")
        self.ready_ms = (time.perf_counter() - started) * 1000

    def run(self, sql):
        """One timed run, drained: {"ms", "rows", "bytes"}."""
        return self.ask({"sql": sql})

    def save(self, sql, path):
        """One untimed run, its result kept as Arrow IPC."""
        return self.ask({"sql": sql, "save": str(path)})

    def ask(self, request):
        self.worker.stdin.write(json.dumps(request) + "\n")
        self.worker.stdin.flush()
        answer = self.read()
        if "error" in answer:
            raise EngineError(f"{self.name}: {answer['error']}")
        return answer

    def read(self):
        line = self.worker.stdout.readline()
        if not line:
            raise EngineError(f"{self.name} ended with status {self.worker.wait()}; its log says why")
        return json.loads(line)

    def close(self):
        self.worker.stdin.close()
        self.worker.wait(STOP_S)
        if self.server:
            self.server.send_signal(signal.SIGTERM)
            try:
                self.server.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.server.kill()
                self.server.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Engines:
    """Knows how to start each engine on one lake, as often as asked."""

    def __init__(self, tables, binaries, lake, settings, scratch, log):
        self.tables, self.binaries, self.lake, self.settings, self.scratch, self.log = tables, binaries, lake, settings, scratch, log

    def start(self, name):
        return getattr(self, name.replace("-", "_"))()

    def landfast(self):
        """The product's own server, asked through ADBC."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        config = self.config(port)
        server = [self.binaries / "landfast", "serve", "--config", config]
        worker = [sys.executable, HERE / "flight_worker.py", f"grpc://127.0.0.1:{port}"]
        return Engine("landfast", worker, server, self.log)

    def landfast_in_process(self):
        """Landfast's engine without Flight and without a network."""
        worker = [self.binaries / "landfast-bench", "landfast", "--config", self.config(0)]
        return Engine("landfast-in-process", worker, log=self.log)

    def datafusion(self):
        tables = [part for table in self.tables for part in ("--table", f"{table.name}={table.folder}")]
        limits = ["--target-partitions", str(self.settings["target_partitions"]), "--batch-size", str(self.settings["batch_size"])]
        return Engine("datafusion", [self.binaries / "landfast-bench", "datafusion", *tables, *limits], log=self.log)

    def duckdb(self):
        tables = [f"{table.name}={table.metadata}" for table in self.tables]
        return Engine("duckdb", [sys.executable, HERE / "duckdb_worker.py", str(len(os.sched_getaffinity(0))), *tables], log=self.log)

    def config(self, port):
        """One site, whose folder is the lake, at no distance: what is measured is the engine and Flight, not a link."""
        text = (HERE / "landfast.toml").read_text()
        for name, value in (self.settings | {"port": port, "lake": self.lake}).items():
            text = text.replace("{" + name + "}", str(value))
        path = self.scratch / f"landfast-{port}.toml"
        path.write_text(text)
        return path
