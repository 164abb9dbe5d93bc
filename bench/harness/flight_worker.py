"""Landfast as a data scientist meets it, through the ADBC driver for Flight SQL: `flight_worker.py URI`"""

import sys
import time

from adbc_driver_flightsql import dbapi

from worker import answer

READY_S = 30


def main():
    connection = connect(sys.argv[1])
    cursor = connection.cursor()

    def start(sql):
        cursor.execute(sql)
        return cursor.fetch_record_batch()

    answer(start)


def connect(uri):
    """The server was started just now: tries until it answers."""
    until = time.monotonic() + READY_S
    while True:
        try:
            connection = dbapi.connect(uri, autocommit=True)
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
                cursor.fetchall()
            return connection
        except Exception:
            if time.monotonic() > until:
                raise
            time.sleep(0.02)


if __name__ == "__main__":
    main()
