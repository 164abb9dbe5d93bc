#!/usr/bin/env python3
"""Renders bench/results/*.json into bench/README.md, between its markers: no figure there is written by hand.

    python3 bench/report.py
"""

import importlib
import json
from pathlib import Path

BENCH = Path(__file__).resolve().parent
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
ORDER = ("tpch", "deletes", "deletes-trino", "small-files", "selective", "planning", "planning-20m", "metadata", "load", "stopping", "allocator")


def main():
    insert(render(BENCH / "results"), BENCH / "README.md")


def render(folder):
    """Every section that has results, in order."""
    texts = []
    for name in ORDER:
        path = folder / f"{name}.json"
        if path.exists():
            result = json.loads(path.read_text())
            texts.append(importlib.import_module(f"sections.{name.replace('-', '_')}").render(result))
            if result.get("problems"):
                texts.append("**These figures can't stand:**\n" + "\n".join(f"- {text}" for text in result["problems"]))
    return "\n\n".join(texts) + "\n"


def insert(text, path):
    page = path.read_text()
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    path.write_text(f"{before}{BEGIN}\n{text.rstrip()}\n{END}{after}")


if __name__ == "__main__":
    main()
