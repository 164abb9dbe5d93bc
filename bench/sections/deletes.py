"""TPC-H and a part of TPC-DS on tables of which a share is deleted, in each of Iceberg's ways, on the same data files."""

import statistics
from dataclasses import replace

from harness import tpcds
from harness.lake import Table, local
from harness.measure import both, query_texts
from sections import tpch

KINDS = {"position": "position deletes (v2)", "vector": "deletion vectors (v3)", "equality": "equality deletes (v2)"}
SHARES = (0.01, 0.2)
# The fact tables, and what identifies their rows.
TPCH_KEYS = {"lineitem": ("l_orderkey", "l_linenumber"), "orders": ("o_orderkey",)}
# Cold runs of every query on every variant would take most of an hour; these touch the fact tables in different ways.
COLD = {"tpch": ("q01", "q06", "q09", "q18"), "tpcds": ("q03", "q42", "q96")}
SMALL = {"tpch": ("q01", "q03", "q06", "q18"), "tpcds": ("q03", "q15", "q42")}
COST_AIM = 1.10


def measure(bench):
    result = {"suites": {}, "kinds": KINDS}
    texts = query_texts(bench.queries)
    suites = {
        "tpch": (tpch.engines_of(bench).tables, TPCH_KEYS, texts),
        "tpcds": (tpcds.tables(bench), tpcds.KEYS, tpcds.queries(bench)),
    }
    for suite, (tables, keys, queries) in suites.items():
        if bench.small:
            queries = {query: sql for query, sql in queries.items() if query in SMALL[suite]}
        result["suites"][suite] = {"none": variant(bench, suite, "none", tables, queries, bench.engines)}
        for share in SHARES[1:] if bench.small else SHARES:
            # The same rows are gone whatever the way, so that the answers have to be the same as well.
            known = {}
            for kind in KINDS:
                changed, rows = deleted(bench, suite, tables, keys, kind, share)
                # Plain DataFusion reads the Parquet files alone, and knows no deletes.
                names = [name for name in bench.engines if name != "datafusion"]
                found = variant(bench, suite, f"{kind}-{share:g}", changed, queries, names, known)
                result["suites"][suite][f"{kind}-{share:g}"] = found | {"deleted_rows": rows}
    return result


def variant(bench, suite, name, tables, queries, names, known=None):
    schema = suite if name == "none" else f"{suite}_{name.replace('-', '_').replace('.', '_')}"
    found = both(bench, f"{suite}, {name}", bench.running(schema, tables), queries, names, COLD[suite][: 1 if bench.small else None], known)
    return found | {"rows": {table.name: table.rows for table in tables}, "files": sum(table.files for table in tables)}


def deleted(bench, suite, tables, keys, kind, share):
    """The tables, with a share of the fact tables' rows deleted; and how many rows that is, by table."""
    changed, rows = [], {}
    for table in tables:
        if table.name not in keys:
            changed.append(table)
            continue
        command = ("deletes", "--from", f"file://{table.metadata}", "--kind", kind, "--share", share, "--key", ",".join(keys[table.name]))
        name = f"deletes/{suite}-{kind}-{share:g}/{table.name}"
        made = bench.once(name, lambda folder: bench.writer(*command, "--to", folder))
        rows[table.name] = made["deleted"]
        # What is cold here are the data files and the delete files; both folders are dropped from the system's cache.
        changed.append(replace(table, metadata=local(made["metadata"])))
    return changed, rows


def render(result):
    from sections import text

    return "\n\n".join(["### Tables with deleted rows", heading(result), *suites(result), text.aims_table(aims(result, text))])


def heading(result):
    from sections import text

    m, s = result["machine"], result["settings"]
    return text.taken(
        result,
        f"TPC-H and ten queries of TPC-DS, each at scale factor {s['scale_factor']:g}. The deletes are a second snapshot over the same data "
        f"files; which rows go is the same in each way. DuckDB {m['duckdb']}'s iceberg_scan. Answers were compared between the engines.",
    )


def suites(result):
    from sections import text

    titles = (("tpch", "TPC-H"), ("tpcds", "TPC-DS"))
    return [suite_text(title, result["suites"][suite], text) for suite, title in titles if suite in result["suites"]]


def suite_text(title, variants, text):
    engines = [name for name in text.LABELS if any(name in text.names(each["warm_ms"]) for each in variants.values())]
    lines = [f"| {title} | " + " | ".join(text.LABELS[name] + ", warm" for name in engines) + " | ÷ DuckDB, warm | ÷ no deletes | Landfast, cold | ÷ DuckDB, cold |"]
    lines.append("| --- |" + " ---: |" * (len(engines) + 4))
    for name, each in variants.items():
        warm, cold = each["warm_ms"], each["cold_ms"]
        cells = [f"{text.total(warm, engine) / 1000:.2f} s ({len(each_of(warm, engine))})" if each_of(warm, engine) else "" for engine in engines]
        cost = cost_of(variants, name)
        cells += [
            number(text.total_ratio(warm, "landfast", "duckdb")),
            number(cost) if name != "none" else "",
            f"{text.total(cold, 'landfast') / 1000:.2f} s" if each_of(cold, "landfast") else "",
            number(text.total_ratio(cold, "landfast", "duckdb")),
        ]
        lines.append(f"| {label(name)} | " + " | ".join(cells) + " |")
    notes = [text.errors_text({engine: found for engine, found in each["errors"].items() if found}) for each in variants.values()]
    told = [f"With {label(name)}:\n{note}" for name, note in zip(variants, notes) if note]
    return "\n\n".join(["\n".join(lines) + "\n\nA total is the sum of the medians of as many queries as stand in brackets.", *told])


def each_of(times, engine):
    return [query for query, found in times.items() if found.get(engine)]


def number(value):
    return f"{value:.2f}" if value else ""


def label(name):
    kind, _, share = name.partition("-")
    return f"{float(share):.0%} {KINDS[kind]}" if share else "no deletes"


def cost_of(variants, name):
    """How many times as long Landfast takes as without deletes, for the queries that it answered in both."""
    before, after = variants["none"]["warm_ms"], variants[name]["warm_ms"]
    queries = [query for query in after if after[query].get("landfast") and before.get(query, {}).get("landfast")]
    if not queries:
        return None
    return sum(statistics.median(after[query]["landfast"]) for query in queries) / sum(statistics.median(before[query]["landfast"]) for query in queries)


def aims(result, text):
    lines = []
    for suite, variants in result["suites"].items():
        for name in variants:
            if name.endswith("-0.01"):
                lines.append(text.aim(f"{suite.upper()}, {label(name)} ÷ no deletes", cost_of(variants, name), at_most=COST_AIM))
    return lines
