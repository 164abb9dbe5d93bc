"""Trino's own server on the lake's files, for those who have it: unpacked tarball, and a JDK 24 or later."""

import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

JDK = 24
READY_S = 180
# Tables are registered as they lie; metadata stays where the lake has it.
CATALOG = """connector.name=iceberg
iceberg.catalog.type=TESTING_FILE_METASTORE
hive.metastore.catalog.dir=file://{data}/metastore
iceberg.register-table-procedure.enabled=true
iceberg.hive-catalog-name=lake
fs.hadoop.enabled=true
"""
CONFIG = """coordinator=true
node-scheduler.include-coordinator=true
http-server.http.port={port}
discovery.uri=http://127.0.0.1:{port}
catalog.management=static
"""
JVM = """-server
-Xmx{memory}G
-XX:+UseG1GC
-XX:+ExplicitGCInvokesConcurrent
-XX:-OmitStackTraceInFastThrow
-Djdk.attach.allowAttachSelf=true
"""


class Trino:
    """A running server; `url` is where it answers."""

    def __init__(self, folder, scratch, log):
        self.java = java()
        data = scratch / "trino"
        shutil.rmtree(data, ignore_errors=True)
        etc = data / "etc"
        (etc / "catalog").mkdir(parents=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        memory = max(2, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**30 // 3)
        (etc / "catalog" / "lake.properties").write_text(CATALOG.format(data=data))
        (etc / "config.properties").write_text(CONFIG.format(port=port))
        (etc / "jvm.config").write_text(JVM.format(memory=memory))
        (etc / "node.properties").write_text(f"node.environment=bench\nnode.id=bench\nnode.data-dir={data}\n")
        (etc / "log.properties").write_text("io.trino=WARN\n")
        self.url = f"http://127.0.0.1:{port}"
        environment = os.environ | {"PATH": f"{self.java.parent}:{os.environ['PATH']}", "JAVA_HOME": str(self.java.parent.parent)}
        launcher = [Path(folder) / "bin" / "launcher", "run", "--etc-dir", etc, "--data-dir", data]
        self.process = subprocess.Popen(launcher, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.wait()

    def wait(self):
        until = time.monotonic() + READY_S
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise SystemExit(f"Trino ended with status {self.process.returncode}; engines.log says why")
            try:
                with urllib.request.urlopen(f"{self.url}/v1/info", timeout=5) as answer:
                    if b'"starting":false' in answer.read():
                        return
            except OSError:
                pass
            time.sleep(0.5)
        self.close()
        raise SystemExit(f"Trino was not ready after {READY_S} s; engines.log says why")

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def java():
    """A JDK that Trino takes."""
    homes = [os.environ.get("JAVA_HOME"), *sorted(Path("/usr/lib/jvm").glob("*"), reverse=True)]
    for home in filter(None, homes):
        program = Path(home) / "bin" / "java"
        if program.exists():
            said = subprocess.run([program, "-version"], capture_output=True, text=True).stderr
            found = re.search(r'version "(\d+)', said)
            if found and int(found.group(1)) >= JDK:
                return program
    raise SystemExit(f"Trino needs a JDK {JDK} or later: none in JAVA_HOME or /usr/lib/jvm")
