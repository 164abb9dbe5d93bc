"""Landfast as a tool meets it that asks what there is: `metadata_worker.py URI`

`GetTables` is what JDBC's getColumns sends, with every column of every table; anything else is a statement.
"""

import sys

from pyarrow import flight

from flight_worker import connect
from worker import answer

# An Any of CommandGetTables with include_schema, its only field that is set.
TYPE = b"type.googleapis.com/arrow.flight.protocol.sql.CommandGetTables"
COMMAND = b"\x0a" + bytes([len(TYPE)]) + TYPE + b"\x12\x02\x28\x01"


def main():
    uri = sys.argv[1]
    cursor = connect(uri).cursor()
    client = flight.connect(uri)

    def start(sql):
        if sql == "GetTables":
            info = client.get_flight_info(flight.FlightDescriptor.for_command(COMMAND))
            return client.do_get(info.endpoints[0].ticket).to_reader()
        cursor.execute(sql)
        return cursor.fetch_record_batch()

    answer(start)


if __name__ == "__main__":
    main()
