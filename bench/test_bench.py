"""What the benchmark relies on to be honest: `python3 -m unittest discover bench`. Needs nothing beyond Python itself."""

import datetime
import sys
import tempfile
import unittest
from decimal import Decimal
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import report
from harness.answers import difference, same
from harness.lake import local
from harness.measure import query_texts, warm
from run import numbers


class Answers(unittest.TestCase):
    def test_integers_text_and_dates_agree_only_when_equal(self):
        self.assertTrue(same(3, 3))
        self.assertFalse(same(3, 4))
        self.assertFalse(same("a", "b"))
        self.assertFalse(same(datetime.date(1998, 9, 2), datetime.date(1998, 9, 3)))
        self.assertFalse(same(None, 0))
        self.assertFalse(same(2**60, 2**60 + 1))

    def test_decimals_of_both_engines_agree_to_the_last_place(self):
        self.assertTrue(same(Decimal("1.50"), Decimal("1.5")))
        self.assertFalse(same(Decimal("0.01"), Decimal("0.02")))

    def test_a_float_agrees_with_a_decimal_cut_to_its_places(self):
        self.assertTrue(same(25.522005853257337, Decimal("25.522005")))
        self.assertFalse(same(25.522007, Decimal("25.522005")))
        self.assertTrue(same(0.1 + 0.2, 0.3))
        self.assertFalse(same(0.3, 0.30001))

    def test_the_first_difference_is_named(self):
        self.assertIsNone(difference([(1, "a")], [(1, "a")]))
        self.assertEqual(difference([(1,)], []), "1 rows and 0")
        self.assertIn("row 2, column 1", difference([(1,), (2,)], [(1,), (3,)]))


class Measuring(unittest.TestCase):
    def test_engines_take_turns_and_the_first_run_does_not_count(self):
        order = []

        class Fake:
            def __init__(self, name):
                self.name = name

            def run(self, _):
                order.append(self.name)
                return {"ms": 1.0}

        times = warm([Fake("a"), Fake("b")], {"q01": ""}, 3, lambda _: None)
        self.assertEqual(order, ["a", "b", "a", "b", "b", "a", "a", "b"])
        self.assertEqual(times, {"q01": {"a": [1.0] * 3, "b": [1.0] * 3}})

    def test_all_22_queries_are_here(self):
        texts = query_texts(numbers("1-22"))
        self.assertEqual(len(texts), 22)
        self.assertTrue(all(text.startswith(f"-- TPC-H Q{int(name[1:])}, ") for name, text in texts.items()))

    def test_queries_are_chosen_by_number_and_range(self):
        self.assertEqual(numbers("1,9-11"), [1, 9, 10, 11])

    def test_a_file_uri_is_a_path(self):
        self.assertEqual(local("file:///lake/a.parquet"), Path("/lake/a.parquet"))
        self.assertEqual(local("file:/lake/a.parquet"), Path("/lake/a.parquet"))
        self.assertEqual(local("/lake/a.parquet"), Path("/lake/a.parquet"))


class Report(unittest.TestCase):
    RESULT = {
        "taken": "2026-01-01 00:00 UTC",
        "build": "release",
        "machine": {"commit": "abc", "clean": True, "cores": 2, "processor": "P", "memory_gib": 1, "system": "S", "datafusion": "1", "duckdb": "1", "adbc": "1"},
        "settings": {"scale_factor": 1.0, "target_partitions": 2, "batch_size": 8192},
        "tables": {"lineitem": {"files": 2, "bytes": 2**20, "rows": 6_001_215}},
        "answers": "all agree",
        "warm_ms": {"q01": {"landfast": [110.0, 100.0, 120.0], "datafusion": [100.0, 100.0, 100.0], "duckdb": [55.0, 55.0, 60.0]}},
        "cold_ms": {"q01": {"landfast": [], "datafusion": [], "duckdb": []}},
        "ready_ms": {"landfast": [], "datafusion": [], "duckdb": []},
        "select_1_ms": {"landfast": [1.0, 2.0, 3.0]},
        "scan": {"landfast": {"ms": [2000.0], "rows": 6_001_215, "bytes": 1}},
    }

    def test_ratios_are_of_medians_and_the_spread_is_shown(self):
        text = report.render(self.RESULT)
        self.assertIn("| q01 | 110 (100–120) | 100 (100–100) | 55 (55–60) | 1.10 | 2.00 |", text)
        self.assertIn("| warm | 0.11 s (0.10–0.12) |", text)
        self.assertNotIn("| cold |", text)
        self.assertNotIn("figures mean nothing", text)

    def test_a_dev_build_says_that_its_figures_mean_nothing(self):
        self.assertIn("figures mean nothing", report.render(self.RESULT | {"build": "dev"}))

    def test_only_what_stands_between_the_markers_changes(self):
        with tempfile.TemporaryDirectory() as folder:
            page = Path(folder) / "README.md"
            page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
            report.insert("new\n", page)
            self.assertEqual(page.read_text(), f"before\n{report.BEGIN}\nnew\n{report.END}\nafter\n")


if __name__ == "__main__":
    unittest.main()
