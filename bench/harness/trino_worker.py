"""Asks a Trino server that is up: `trino_worker.py URL SCHEMA NAME=METADATA_JSON...`

Trino's protocol hands rows over as JSON; a timed run reads all of it, and makes Arrow of it only where the answer is kept.
"""

import datetime
import json
import sys
import urllib.request
from decimal import Decimal

import pyarrow as pa

from worker import answer


def main():
    url, schema, *tables = sys.argv[1:]
    statement = Statement(url, schema)
    statement.all(f"CREATE SCHEMA IF NOT EXISTS lake.{schema}")
    there = {name for (name,) in statement.all("SHOW TABLES")}
    for table in tables:
        name, metadata = table.split("=", 1)
        if name not in there:
            folder, _, file = metadata.rpartition("/metadata/")
            statement.all(f"CALL lake.system.register_table('{schema}', '{name}', 'file://{folder}', '{file}')")
    answer(lambda sql: Batches(*statement.run(sql)))


class Statement:
    def __init__(self, url, schema):
        self.url = url
        self.headers = {"X-Trino-User": "bench", "X-Trino-Catalog": "lake", "X-Trino-Schema": schema}

    def run(self, sql):
        """Columns as Trino describes them, and rows as JSON has them."""
        columns, rows = [], []
        page = self.ask(urllib.request.Request(f"{self.url}/v1/statement", sql.encode(), self.headers))
        while True:
            if "error" in page:
                raise RuntimeError(page["error"]["message"])
            columns = page.get("columns", columns)
            rows += page.get("data", [])
            if "nextUri" not in page:
                return columns, rows
            page = self.ask(urllib.request.Request(page["nextUri"], headers=self.headers))

    def all(self, sql):
        return self.run(sql)[1]

    def ask(self, request):
        with urllib.request.urlopen(request, timeout=600) as reply:
            return json.loads(reply.read())


class Batches:
    """Rows as Arrow, made when they are wanted: the timed path only counts them."""

    def __init__(self, columns, rows):
        self.columns, self.rows, self.made = columns, rows, None

    @property
    def schema(self):
        return self.table().schema

    def table(self):
        if self.made is None:
            values = [[value(row[at], column["type"]) for row in self.rows] for at, column in enumerate(self.columns)]
            self.made = pa.table(values, names=[f"{column['name']}" for column in self.columns])
        return self.made

    def __iter__(self):
        return iter(self.table().to_batches())


def value(cell, of):
    if cell is None:
        return None
    if of.startswith("decimal"):
        return Decimal(cell)
    if of == "date":
        return datetime.date.fromisoformat(cell)
    if of.startswith("timestamp"):
        return datetime.datetime.fromisoformat(cell)
    if of.startswith("char"):
        return cell.rstrip(" ")
    return cell


if __name__ == "__main__":
    main()
