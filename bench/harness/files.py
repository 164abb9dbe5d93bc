"""The operating system's file cache, of which cold runs get none."""

import os
from pathlib import Path


def forget(folders):
    """Has the system drop these folders' files from its file cache, as far as it likes; others' files stay."""
    if not hasattr(os, "posix_fadvise"):
        return
    for folder in folders:
        for path, _, names in os.walk(folder):
            for name in names:
                descriptor = os.open(os.path.join(path, name), os.O_RDONLY)
                try:
                    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                finally:
                    os.close(descriptor)


def available_bytes():
    """Memory that could be used without swapping; none where the system doesn't say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)
