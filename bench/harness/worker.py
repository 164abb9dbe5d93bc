"""One JSON line in, one JSON line out: the Python side of bench/src/protocol.rs.

A request is {"sql": ...}, with "save" to have the result written as Arrow IPC, untimed. `ms` runs from the statement's
text to its last batch.
"""

import json
import sys
import time

import pyarrow as pa


def answer(start):
    """Answers requests until standard input ends; `start(sql)` gives the result as an iterable of record batches with `.schema`."""
    reply({"ready": True})
    for line in sys.stdin:
        request = json.loads(line)
        try:
            reply(run(start, request["sql"], request.get("save")))
        except Exception as error:  # The engine's own error is the reply; a benchmark says which query failed.
            reply({"error": f"{type(error).__name__}: {error}"})


def run(start, sql, save):
    rows = size = 0
    if save:
        batches = start(sql)
        with pa.OSFile(save, "wb") as sink, pa.ipc.new_file(sink, batches.schema) as writer:
            for batch in batches:
                rows += batch.num_rows
                writer.write_batch(batch)
        return {"rows": rows}
    started = time.perf_counter()
    for batch in start(sql):
        rows += batch.num_rows
        size += batch.nbytes
    return {"ms": (time.perf_counter() - started) * 1000, "rows": rows, "bytes": size}


def reply(message):
    print(json.dumps(message), flush=True)
