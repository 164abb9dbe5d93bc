"""Where the time goes: each engine's own EXPLAIN ANALYZE, in a file for each query."""


def write(engine, queries, folder):
    import pyarrow as pa

    folder.mkdir(parents=True, exist_ok=True)
    for name, sql in queries.items():
        engine.run(sql)
        path = folder / f"{name}-{engine.name}.arrow"
        engine.save(f"EXPLAIN ANALYZE {sql}", path)
        with pa.OSFile(str(path)) as source:
            table = pa.ipc.open_file(source).read_all()
        text = "\n".join(str(cell) for row in zip(*(column.to_pylist() for column in table.columns)) for cell in row)
        path.with_suffix(".txt").write_text(text + "\n")
        path.unlink()
