"""An object store far away: it speaks as much of S3 as a reader needs, trickles its data files, and knows when a read ends."""

import re
import select
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

# How long a read of a data file takes from its first byte to its last, and how often some of it is sent.
READ_S, EVERY_S = 20, 0.1
# What a reader asks for first, to know what is in a file: at its end, and small. It isn't trickled.
FOOTER_BYTES = 512 * 1024
BUCKET = "lake"


class SlowSite:
    """Serves a folder as the bucket `lake`, on a port of its own."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.lock = threading.Lock()
        self.under_way, self.ended_at, self.begun = 0, None, 0
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Of", (Handler,), {"site": self}))
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def begins(self):
        with self.lock:
            self.under_way += 1
            self.begun += 1

    def ends(self):
        with self.lock:
            self.under_way -= 1
            self.ended_at = time.monotonic()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site = None

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body):
        bucket, _, key = urllib.parse.unquote(self.path.split("?")[0]).lstrip("/").partition("/")
        path = self.site.folder / key
        if bucket != BUCKET or not path.is_file():
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        data = path.read_bytes()
        first, last = asked(self.headers.get("Range"), len(data))
        whole = self.headers.get("Range") is None
        self.send_response(200 if whole else 206)
        self.send_header("Content-Length", str(last - first + 1))
        self.send_header("ETag", f'"{len(data)}"')
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        if not whole:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
        self.end_headers()
        if not body:
            return
        part = data[first : last + 1]
        if path.suffix == ".parquet" and not is_footer(first, last, len(data)):
            self.trickle(part)
        else:
            self.wfile.write(part)

    def trickle(self, part):
        """Sends it little by little, and sees at once when nobody is there any more."""
        self.site.begins()
        try:
            steps = int(READ_S / EVERY_S)
            for step in range(steps):
                # Nothing more is sent to a server that waits for its answer: what can be read is the connection's end.
                if select.select([self.connection], [], [], EVERY_S if step else 0)[0]:
                    self.close_connection = True
                    return
                self.wfile.write(part[len(part) * step // steps : len(part) * (step + 1) // steps])
        except OSError:
            self.close_connection = True
        finally:
            self.site.ends()

    def log_message(self, *_):
        pass


def asked(header, size):
    """The first and the last byte that a request asks for."""
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", header or "bytes=0-")
    first, last = found.groups()
    if not first:
        return max(size - int(last), 0), size - 1
    return int(first), min(int(last or size - 1), size - 1)


def is_footer(first, last, size):
    return first > 0 and last == size - 1 and last - first < FOOTER_BYTES
