"""What the numbers were taken on."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path


def describe():
    return {
        "processor": field("/proc/cpuinfo", "model name") or platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load": os.getloadavg()[2],
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "adbc": version("adbc-driver-flightsql"),
        "pyiceberg": version("pyiceberg"),
        "duckdb": version("duckdb"),
        "rustc": run("rustc", "--version"),
        "commit": git("rev-parse", "--short=12", "HEAD"),
        # What a run itself writes changes nothing of what it measures.
        "clean": git("status", "--porcelain", "--untracked-files=no", "--", ":/", *(f":(top,exclude)bench/{own}" for own in ("results", "README.md"))) == "",
    }


def field(path, name):
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return None
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name)), None)


def git(*words):
    return run("git", "-C", str(Path(__file__).parent), *words)


def run(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def locked(package):
    """The version of a crate in Cargo.lock."""
    lines = (Path(__file__).resolve().parents[2] / "Cargo.lock").read_text().splitlines()
    at = lines.index(f'name = "{package}"')
    return lines[at + 1].split('"')[1]
