"""The section of deletes with Trino beside the others. A server that was just started compiles in the background for long, which
makes everybody's first rounds slower: what deletes cost is for the other section to tell."""

from dataclasses import replace

from harness.trino import Trino
from sections import deletes


def measure(bench):
    with Trino(bench.trino, bench.scratch, bench.log) as trino:
        return deletes.measure(replace(bench, trino_url=trino.url, engines=[*bench.engines, "trino"]))


def render(result):
    return "\n\n".join(
        [
            "### Tables with deleted rows, beside Trino",
            deletes.heading(result),
            "Trino went on compiling in the background, so that the others' times are longer than above.",
            *deletes.suites(result),
        ]
    )
