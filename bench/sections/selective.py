"""Queries that want a few rows of many: by the column that the rows are sorted by, and by one that they aren't."""

from sections import small_files

QUERIES = {
    "point, sorted": "SELECT * FROM events WHERE id = {middle}",
    "range, sorted": "SELECT id, happened, visitor, amount FROM events WHERE id >= {middle} AND id < {middle} + 1000 ORDER BY id",
    "range, half per cent": "SELECT count(*) AS n, sum(amount) AS amount, max(page) AS page FROM events WHERE id >= {middle} AND id < {after} AND amount > 500",
    "point, unsorted": "SELECT * FROM events WHERE visitor = {visitor} ORDER BY id",
    "absent, unsorted": "SELECT * FROM events WHERE visitor = {visitors} + 5 ORDER BY id",
    "four, unsorted": "SELECT * FROM events WHERE visitor IN ({visitor}, {visitor} + 1, {visitor} + 2, {visitor} + 3) ORDER BY id",
    "range, unsorted": "SELECT id, token FROM events WHERE amount BETWEEN 77777.00 AND 77778.00 ORDER BY id",
    "latest 10": "SELECT id, happened, token FROM events ORDER BY id DESC LIMIT 10",
    "any 10": "SELECT count(*) AS n FROM (SELECT id, token FROM events LIMIT 10) AS few",
}


def size(bench):
    return (4, 5_000) if bench.small else (64, 200_000)


def measure(bench):
    return small_files.measure(bench, "sorted", QUERIES, size(bench))


def render(result):
    more = "Sorted by id; visitor has a Bloom filter in every row group, and bounds that say nothing."
    return small_files.render(result, "Selective queries", more)
