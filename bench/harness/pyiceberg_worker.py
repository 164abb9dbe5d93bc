"""PyIceberg's own planning, on a table that it keeps open: `pyiceberg_worker.py METADATA_JSON`

Requests and replies are those of bench/src/plan.rs: {"low", "high"} of column c03, and the time that planning took.
"""

import json
import sys
import time
from pathlib import Path

from pyiceberg.expressions import And, GreaterThanOrEqual, LessThan
from pyiceberg.table import StaticTable

from worker import reply


def main():
    table = None
    reply({"ready": True, "memory": memory()})
    for line in sys.stdin:
        request = json.loads(line)
        try:
            started = time.perf_counter()
            if table is None:
                table = StaticTable.from_metadata(sys.argv[1])
            wanted = And(GreaterThanOrEqual("c03", request["low"]), LessThan("c03", request["high"]))
            files = sum(1 for _ in table.scan(row_filter=wanted, selected_fields=("c00", "c03")).plan_files())
            ms = (time.perf_counter() - started) * 1000
            reply({"ms": ms, "files": files, "memory": memory(), "cache_bytes": None})
        except Exception as error:
            reply({"error": f"{type(error).__name__}: {error}"})


def memory():
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    fields = {name: int(rest.split()[0]) * 1024 for name, rest in (line.split(":", 1) for line in lines) if name in ("VmRSS", "VmHWM")}
    return {"rss": fields["VmRSS"], "peak": fields["VmHWM"]}


if __name__ == "__main__":
    main()
