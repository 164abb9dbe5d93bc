"""Runs one server for the tests, and ends it with all its children when the tests end, however they end.

The tests hold the other end of our stdin: when it closes (dropped, panicked, killed), the server's process group goes.
"""

import argparse
import os
import pwd
import shutil
import signal
import subprocess
import sys
import threading


def main() -> int:
    options = argparse.ArgumentParser()
    options.add_argument("--user", help="run the server as this user (only root can)")
    options.add_argument("--signal", default="TERM", help="asks the server to end")
    options.add_argument("--remove", action="append", default=[], help="a directory to remove at the end")
    options.add_argument("command", nargs=argparse.REMAINDER)
    chosen = options.parse_args()
    command = chosen.command[1:] if chosen.command[:1] == ["--"] else chosen.command

    # A terminal's Ctrl-C reaches us too; the tests' end is what counts.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    identity = {}
    if chosen.user:
        user = pwd.getpwnam(chosen.user)
        identity = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, **identity)

    def end_with_the_tests() -> None:
        while os.read(0, 4096):
            pass
        for how in (getattr(signal, "SIG" + chosen.signal), signal.SIGKILL):
            try:
                os.killpg(server.pid, how)
            except ProcessLookupError:
                return
            try:
                server.wait(10)
                return
            except subprocess.TimeoutExpired:
                continue

    threading.Thread(target=end_with_the_tests, daemon=True).start()
    code = server.wait()
    for directory in chosen.remove:
        shutil.rmtree(directory, ignore_errors=True)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.stdout.flush()
    os._exit(main())
