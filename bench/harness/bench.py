"""What every section of the benchmark is given: where things are, how large they shall be, and who takes part."""

import json
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from harness.engines import Engines
from harness.lake import Table, register


@dataclass
class Bench:
    scratch: Path  # For logs, answers and configurations.
    binaries: Path
    lake: Path  # Holds everything that engines read; made once, kept.
    settings: dict  # Landfast's defaults that plain DataFusion gets as well.
    scale_factor: float
    rounds: int
    cold_rounds: int
    queries: list  # Numbers of TPC-H's queries.
    engines: list  # Names of those that take part.
    trino: Path | None  # An unpacked server of Trino's, if there is one.
    log: object
    trino_url: str | None = None  # Where it answers while it takes part.
    problems: list = field(default_factory=list)

    @property
    def small(self):
        """Whether this is a run that only shows that everything still works."""
        return self.scale_factor < 0.1

    def answer_s(self, engine):
        """The longest that an engine may take for an untimed answer: five seconds for what takes less than one without
        deletes, more where everything is slow."""
        if engine.startswith("landfast"):
            return None
        return 60 if engine == "trino" else 20 if self.small else 5

    def say(self, text):
        print(text, flush=True)

    def problem(self, text):
        """Something that makes the run fail in the end, though it goes on."""
        self.say(f"  PROBLEM: {text}")
        self.problems.append(text)

    def writer(self, *command):
        """What the Rust writer says of the table that it wrote."""
        out = subprocess.run([self.binaries / "landfast-bench", *map(str, command)], check=True, stdout=subprocess.PIPE, text=True).stdout
        return json.loads(out)

    def once(self, name, make):
        """What `make(folder)` gave when it filled the folder of that name, now or in an earlier run."""
        folder = self.lake / name
        done = folder / "done.json"
        if not done.exists():
            self.say(f"Writing {folder}")
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            made = make(folder)
            unfinished = done.with_suffix(".part")
            unfinished.write_text(json.dumps(made) + "\n")
            unfinished.rename(done)
        return json.loads(done.read_text())

    def running(self, schema, tables: list[Table]):
        """Engines that read these tables, and find them in this schema."""
        register(self.lake, schema, tables)
        return Engines(tables, schema, self.binaries.resolve(), self.lake.resolve(), self.settings, self.scratch, self.log, self.trino_url)
