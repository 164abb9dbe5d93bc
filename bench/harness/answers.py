"""Whether two engines gave the same answer: a benchmark of wrong answers is none."""

import math
from decimal import Decimal

RELATIVE = 1e-9


def read(path):
    """The rows of an answer that was kept as Arrow IPC."""
    import pyarrow as pa

    with pa.OSFile(str(path)) as source:
        return rows_of(pa.ipc.open_file(source).read_all())


def rows_of(table):
    return list(zip(*(column.to_pylist() for column in table.columns)))


def difference(left, right):
    if len(left) != len(right):
        return f"{len(left)} rows and {len(right)}"
    for number, (a, b) in enumerate(zip(left, right), 1):
        if len(a) != len(b):
            return f"{len(a)} columns and {len(b)}"
        for column, (x, y) in enumerate(zip(a, b), 1):
            if not same(x, y):
                return f"row {number}, column {column}: {x!r} and {y!r}"
    return None


def same(x, y):
    """Integers, text and dates exactly, and decimals of as many places. DuckDB divides decimals as floats, DataFusion and
    Trino each to a number of places of its own: those agree when they differ by less than one in the last of the fewer
    places, or by 1e-9 of the value."""
    if x == y:
        return True
    if not (is_number(x) and is_number(y)):
        return False
    if isinstance(x, int) and isinstance(y, int):
        return False
    places = [-value.as_tuple().exponent for value in (x, y) if isinstance(value, Decimal)]
    of_one_kind = len(places) == 2 and places[0] == places[1]
    step = 10.0 ** -min(places) if places and not of_one_kind else 0.0
    return math.isclose(float(x), float(y), rel_tol=RELATIVE, abs_tol=step)


def is_number(value):
    return isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)
