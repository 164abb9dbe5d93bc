"""One JSON object a line in, one out: how the tests talk with these programs."""

import base64
import datetime
import decimal
import json
import sys
import traceback


def plain(value):
    """A value as JSON has it; what JSON lacks becomes text."""
    if isinstance(value, (datetime.date, datetime.datetime, datetime.time)):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def serve(operations, describe_error=None):
    """Answers requests until stdin ends; a request names its operation in "do"."""
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"ok": plain(operations[request.pop("do")](**request))}
        except Exception as error:  # noqa: BLE001 - every failure is an answer
            traceback.print_exc()
            answer = {"error": (describe_error or (lambda e: {"message": f"{type(e).__name__}: {e}"}))(error)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
