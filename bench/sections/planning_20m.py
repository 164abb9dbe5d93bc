"""Planning over 20 million files within 4 GiB: the table of a million, its manifests each under 20 names."""

from harness.lake import Table, local
from sections import planning

COPIES = 20
LIMIT_BYTES = 4 << 30


def measure(bench):
    files = planning.sizes(bench)[-1]
    once, _ = planning.written(bench, files)
    name = f"planning/t{files * COPIES}"
    made = bench.once(name, lambda folder: bench.writer("planning-repeat", "--from", f"file://{once.metadata}", "--dir", folder, "--copies", COPIES))
    table = Table(f"t{files * COPIES}", local(made["metadata"]), None, files * COPIES, 0, 0)
    found = planning.plan(bench, "landfast", table, files * COPIES, made["step"] // COPIES, cold_rounds=1)
    bench.say(f"  {table.files:,} files: {planning.told(found, table.files)}")
    return {"files": table.files, "landfast": found}


def render(result):
    from sections import text

    heading = text.taken(
        result,
        f"{result['files']:,} files: the manifests of the table of a {COPIES}th as many, each linked under {COPIES} names. Landfast knows manifests "
        "by their path, and so parses and keeps every one of them; the paths of data files come up several times, which planning does not notice.",
    )
    found = result["landfast"]
    if found.get("error"):
        return "\n\n".join(["### Planning over 20 million files", heading, f"It failed: {found['error']}"])
    lines = ["| files | engine | cold, ms | warm, ms | memory per entry | | |", "| ---: | --- |" + " ---: |" * 5]
    lines.append(planning.row(result["files"], "landfast", found, {}, text.LABELS))
    lines = ["\n".join(lines)]
    if "peak_bytes" in found:
        lines.append(text.aims_table([text.aim("most resident memory, GiB", found["peak_bytes"] / 2**30, at_most=LIMIT_BYTES / 2**30)]))
    return "\n\n".join(["### Planning over 20 million files", heading, *lines])
