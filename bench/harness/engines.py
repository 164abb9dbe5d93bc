"""Engines as processes that answer one statement at a time. Each is started the same way and asked the same way."""

import contextlib
import json
import os
import select
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
        self.ended = None  # Why it was ended early.
        self.log = log or subprocess.DEVNULL
        started = time.perf_counter()
        self.server = subprocess.Popen(server, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log) if server else None
        self.worker = subprocess.Popen(worker, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True)
        self.at_start = self.read()
        if not self.at_start.get("ready"):
            raise EngineError(f"{name} did not get ready: {self.at_start.get('error')}")
        self.ready_ms = (time.perf_counter() - started) * 1000

    def run(self, sql):
        """One timed run, drained: {"ms", "rows", "bytes"}."""
        return self.ask({"sql": sql})

    def save(self, sql, path, most_s=None):
        """One untimed run, its result kept as Arrow IPC."""
        return self.ask({"sql": sql, "save": str(path)}, most_s)

    def ask(self, request, most_s=None):
        """The worker's answer. An engine that gives none in `most_s` seconds is ended, and answers nothing any more."""
        if self.ended:
            raise EngineError(self.ended)
        self.worker.stdin.write(json.dumps(request) + "\n")
        self.worker.stdin.flush()
        # One line is asked for at a time, so that nothing waits in Python's own buffer.
        if most_s and not select.select([self.worker.stdout], [], [], most_s)[0]:
            self.ended = f"{self.name} gave no answer within {most_s:g} s"
            self.worker.kill()
            raise EngineError(self.ended)
        answer = self.read()
        if "error" in answer:
            raise EngineError(f"{self.name}: {answer['error']}")
        return answer

    def read(self):
        line = self.worker.stdout.readline()
        if not line:
            raise EngineError(f"{self.name} ended with status {self.worker.wait()}; its log says why")
        return json.loads(line)

    def server_bytes(self):
        """What the server's process has resident; none where the system doesn't say."""
        try:
            lines = Path(f"/proc/{self.server.pid}/status").read_text().splitlines()
        except OSError:
            return None
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:")), None)

    def close(self):
        with contextlib.suppress(BrokenPipeError):
            self.worker.stdin.close()
        self.worker.wait(STOP_S)
        self.worker.stdout.close()
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
    """Knows how to start each engine on the same tables, as often as asked."""

    def __init__(self, tables, schema, binaries, lake, settings, scratch, log, trino_url=None):
        self.tables, self.schema, self.binaries, self.lake, self.settings = tables, schema, binaries, lake, settings
        self.scratch, self.log, self.trino_url = scratch, log, trino_url

    def folders(self):
        """Where the tables' files are."""
        return sorted({folder for table in self.tables for folder in (table.folder, table.metadata.parent.parent) if folder})

    def start(self, name):
        return getattr(self, name.replace("-", "_"))()

    def landfast(self, worker="flight_worker.py"):
        """The product's own server, asked through ADBC."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        config = self.config(port)
        server = [self.binaries / "landfast", "serve", "--config", config]
        worker = [sys.executable, HERE / worker, f"grpc://127.0.0.1:{port}"]
        return Engine("landfast", worker, server, self.log)

    def landfast_listing(self):
        """The same, asked what there is."""
        return self.landfast("metadata_worker.py")

    def landfast_in_process(self):
        """Landfast's engine without Flight and without a network."""
        worker = [self.binaries / "landfast-bench", "landfast", "--config", self.config(0)]
        return Engine("landfast-in-process", worker, log=self.log)

    def landfast_mimalloc(self):
        """The same with another allocator."""
        worker = [self.binaries / "landfast-bench-mimalloc", "landfast", "--config", self.config(0)]
        return Engine("landfast-mimalloc", worker, log=self.log)

    def datafusion(self):
        tables = [part for table in self.tables for part in ("--table", f"{table.name}={table.folder}")]
        limits = ["--target-partitions", str(self.settings["target_partitions"]), "--batch-size", str(self.settings["batch_size"])]
        return Engine("datafusion", [self.binaries / "landfast-bench", "datafusion", *tables, *limits], log=self.log)

    def duckdb(self):
        tables = [f"{table.name}={table.metadata}" for table in self.tables]
        return Engine("duckdb", [sys.executable, HERE / "duckdb_worker.py", str(len(os.sched_getaffinity(0))), *tables], log=self.log)

    def trino(self):
        """Trino's own server, which is up already, asked over HTTP; the tables are registered with it first."""
        tables = [f"{table.name}={table.metadata}" for table in self.tables]
        return Engine("trino", [sys.executable, HERE / "trino_worker.py", self.trino_url, self.schema, *tables], log=self.log)

    def plan_landfast(self, table):
        worker = [self.binaries / "landfast-bench", "plan-landfast", "--config", self.config(0), "--table", table.name]
        return Engine("landfast", worker, log=self.log)

    def plan_iceberg(self, table):
        return Engine("iceberg-rust", [self.binaries / "landfast-bench", "plan-iceberg", "--metadata", f"file://{table.metadata}"], log=self.log)

    def plan_pyiceberg(self, table):
        return Engine("pyiceberg", [sys.executable, HERE / "pyiceberg_worker.py", table.metadata], log=self.log)

    def config(self, port):
        """One site, whose folder is the lake, at no distance: what is measured is the engine and Flight, not a link."""
        text = (HERE / "landfast.toml").read_text()
        for name, value in (self.settings | {"port": port, "lake": self.lake, "schema": self.schema}).items():
            text = text.replace("{" + name + "}", str(value))
        path = self.scratch / f"landfast-{self.schema}-{port}.toml"
        path.write_text(text)
        return path
