"""What the benchmark relies on to be honest: `python3 -m unittest discover bench`. Needs nothing beyond Python itself."""

import datetime
import http.client
import sys
import tempfile
import unittest
import unittest.mock
from decimal import Decimal
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import report
from harness import measure
from harness.answers import difference, same
from harness.lake import local
from harness.slow_site import SlowSite, asked, is_footer
from harness.engines import Engine, EngineError
from harness.measure import query_texts, warm
from run import numbers
from sections import deletes, load, metadata, planning, small_files, selective, stopping, text, tpch


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

    def test_an_engine_is_left_out_of_what_it_cannot_answer(self):
        class Fake:
            name = "a"

            def run(self, _):
                return {"ms": 1.0}

        times = warm([Fake()], {"q01": "", "q02": ""}, 2, lambda _: None, {"a": {"q02": "no"}})
        self.assertEqual(times, {"q01": {"a": [1.0, 1.0]}, "q02": {}})

    def test_a_difference_fails_the_run_and_a_peers_refusal_does_not(self):
        answers = {"landfast": [(1,)], "duckdb": [(2,)], "trino": None}
        problems, told = [], []

        class Fake:
            def __init__(self, name):
                self.name = name

            def save(self, _, path, most_s):
                if answers[self.name] is None:
                    raise EngineError("not implemented")
                path.write_text(self.name)

        class Run:
            scratch = Path(tempfile.mkdtemp())
            answer_s = staticmethod(lambda _: 1)
            problem = staticmethod(problems.append)
            say = staticmethod(told.append)

        with unittest.mock.patch.object(measure, "read", lambda path: answers[path.read_text()]):
            agreed, errors = measure.compare(Run, "t", [Fake(name) for name in answers], {"q01": ""})
            self.assertEqual((agreed, errors), ([], {"landfast": {}, "duckdb": {}, "trino": {"q01": "not implemented"}}))
            self.assertEqual(problems, ["t, q01: landfast and duckdb differ: row 1, column 1: 1 and 2"])
            self.assertEqual(told, ["t, q01: not implemented"])
            answers["landfast"] = None
            measure.compare(Run, "t", [Fake("landfast"), Fake("duckdb")], {"q01": ""})
            self.assertEqual(problems[1:], ["t, q01: not implemented"])

    def test_an_answer_that_is_known_already_has_to_come_again(self):
        problems = []

        class Fake:
            name = "landfast"

            def save(self, _, path, most_s):
                path.write_text("")

        class Run:
            scratch = Path(tempfile.mkdtemp())
            answer_s = staticmethod(lambda _: 1)
            problem = staticmethod(problems.append)

        known = {}
        for answer, agreed in ([(1,)], ["q01"]), ([(1,)], ["q01"]), ([(2,)], []):
            with unittest.mock.patch.object(measure, "read", lambda _: answer):
                self.assertEqual(measure.compare(Run, "t", [Fake()], {"q01": ""}, known)[0], agreed)
        self.assertEqual(problems, ["t, q01: what was known and landfast differ: row 1, column 1: 1 and 2"])

    def test_an_engine_that_takes_too_long_is_ended_and_left_out(self):
        worker = 'import sys, time; print("{\\"ready\\": true}", flush=True); sys.stdin.readline(); time.sleep(60)'
        with Engine("slow", [sys.executable, "-c", worker]) as engine:
            with self.assertRaisesRegex(EngineError, "slow gave no answer within 0.2 s"):
                engine.ask({}, 0.2)
            with self.assertRaisesRegex(EngineError, "no answer within"):
                engine.run("SELECT 1")

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


class Sections(unittest.TestCase):
    def test_ratios_are_of_the_queries_that_both_answered(self):
        times = {"q01": {"landfast": [10.0], "duckdb": [20.0]}, "q02": {"landfast": [1000.0], "duckdb": []}, "q03": {"landfast": [1000.0]}}
        self.assertEqual(text.total_ratio(times, "landfast", "duckdb"), 0.5)
        self.assertIsNone(text.total_ratio(times, "landfast", "trino"))

    def test_an_aim_is_hit_missed_or_not_measured(self):
        self.assertIn("| hit |", text.aim("a", 0.9, at_most=0.9))
        self.assertIn("| **missed** |", text.aim("a", 0.91, at_most=0.9))
        self.assertIn("| hit |", text.aim("a", 20, at_least=20))
        self.assertIn("| not measured |", text.aim("a", None, at_least=20))

    def test_what_deletes_cost_is_of_the_same_queries_without_them(self):
        variants = {
            "none": {"warm_ms": {"q01": {"landfast": [100.0]}, "q02": {"landfast": [900.0]}}},
            "position-0.01": {"warm_ms": {"q01": {"landfast": [105.0]}, "q02": {"duckdb": [1.0]}}},
            "vector-0.01": {"warm_ms": {"q01": {}}},
        }
        self.assertEqual(deletes.cost_of(variants, "position-0.01"), 1.05)
        self.assertIsNone(deletes.cost_of(variants, "vector-0.01"))
        self.assertEqual(deletes.label("position-0.01"), "1% position deletes (v2)")

    def test_a_planner_that_would_take_too_long_is_skipped_with_the_reason(self):
        self.assertIsNone(planning.too_much("pyiceberg", 1_000, {}))
        self.assertIsNone(planning.too_much("pyiceberg", 100_000, {"files": 1_000, "cold_ms": [50.0]}))
        slow = planning.too_much("pyiceberg", 1_000_000, {"files": 100_000, "cold_ms": [60_000.0]})
        self.assertEqual(slow, "one plan would take about 600 s")
        self.assertEqual(planning.too_much("pyiceberg", 10, {"skipped": "why"}), "why")

    def test_planners_have_to_be_left_with_the_same_files(self):
        problems = []

        class Run:
            problem = staticmethod(problems.append)

        planning.check(Run, 1_000, {"landfast": {"left": {"0": 12, "2": 11}}, "pyiceberg": {"left": {"0": 12}}, "iceberg-rust": {"skipped": "why"}})
        self.assertEqual(problems, [])
        planning.check(Run, 1_000, {"landfast": {"left": {"0": 12}}, "pyiceberg": {"left": {"0": 11}}})
        self.assertEqual(len(problems), 1)

    def test_the_bare_server_is_what_doget_is_measured_against(self):
        found = {"ms": {"landfast": [100.0, 130.0, 110.0], "bare": [99.0, 99.0, 1.0], "bare, held": [50.0]}}
        self.assertEqual(load.ratio_to_bare(found), 0.9)

    def test_a_slow_site_knows_when_a_read_is_given_up(self):
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "a.parquet").write_bytes(bytes(1000))
            Path(folder, "a.json").write_bytes(b"{}")
            with SlowSite(folder) as site:
                connection = http.client.HTTPConnection(site.url.removeprefix("http://"))
                connection.request("GET", "/lake/a.json")
                self.assertEqual(connection.getresponse().read(), b"{}")
                self.assertEqual(site.begun, 0)
                connection.request("GET", "/lake/a.parquet", headers={"Range": "bytes=0-999"})
                self.assertEqual(connection.getresponse().status, 206)
                self.assertTrue(stopping.until(lambda: site.under_way == 1))
                connection.close()
                self.assertTrue(stopping.until(lambda: site.under_way == 0))
                self.assertEqual(site.begun, 1)

    def test_a_slow_site_gives_the_range_that_is_asked_for(self):
        self.assertEqual(asked("bytes=5-9", 100), (5, 9))
        self.assertEqual(asked("bytes=-9", 100), (91, 99))
        self.assertEqual(asked("bytes=90-", 100), (90, 99))
        self.assertEqual(asked(None, 100), (0, 99))
        self.assertTrue(is_footer(91, 99, 100))
        self.assertFalse(is_footer(0, 99, 100))

    def test_commands_are_written_as_protobuf_has_them(self):
        self.assertEqual(stopping.field(1, b"ab"), b"\x0a\x02ab")
        self.assertEqual(stopping.field(2, bytes(300))[:3], b"\x12\xac\x02")

    def test_the_longest_stop_is_held_against_the_aim(self):
        runs = [{"ms": 5.0, "reads": 7}, {"ms": 1200.0, "reads": 4}]
        told = stopping.render(Report.RESULT | {"stopped": {"cancel": runs, "drop": [], "deadline": runs[:1]}})
        self.assertIn("| CancelFlightInfo | 602 (5–1200) | 4–7 | 2 |", told)
        self.assertIn("| longest, in ms, after CancelFlightInfo | ≤ 1000 | 1200.000 | **missed** |", told)
        self.assertIn("| longest, in ms, after a dropped stream | ≤ 1000 | | not measured |", told)

    def test_queries_of_events_have_no_hole_left(self):
        for section in (small_files, selective):
            for sql in small_files.texts(section.QUERIES, 64, 1_000).values():
                self.assertNotIn("{", sql)


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
        text = tpch.render(self.RESULT)
        self.assertIn("| q01 | 110 (100–120) | 100 (100–100) | 55 (55–60) | 1.10 | 2.00 |", text)
        self.assertIn("| warm | 0.11 s (0.10–0.12) |", text)
        self.assertNotIn("| cold |", text)
        self.assertNotIn("figures mean nothing", text)

    def test_a_dev_build_says_that_its_figures_mean_nothing(self):
        self.assertIn("figures mean nothing", tpch.render(self.RESULT | {"build": "dev"}))

    def test_a_listing_that_misses_its_aim_says_so(self):
        listed = {name: [20.0] for name in metadata.LISTINGS}
        result = self.RESULT | {"tables": 10_000, "columns": 20, "cold_ms": listed, "warm_ms": listed, "rows": dict.fromkeys(listed, 1), "resident_bytes": 2**20}
        self.assertNotIn("Missed", metadata.render(result))
        slow = listed | {"information_schema.columns": [1001.0]}
        self.assertIn("Missed: information_schema.columns", metadata.render(result | {"warm_ms": slow}))

    def test_a_table_of_the_listings_has_every_column_in_every_type(self):
        fields = metadata.document("file:///lake/t", 3)["schemas"][0]["fields"]
        self.assertEqual(len(fields), metadata.COLUMNS)
        self.assertEqual({field["type"] for field in fields}, set(metadata.TYPES))

    def test_only_what_stands_between_the_markers_changes(self):
        with tempfile.TemporaryDirectory() as folder:
            page = Path(folder) / "README.md"
            page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
            report.insert("new\n", page)
            self.assertEqual(page.read_text(), f"before\n{report.BEGIN}\nnew\n{report.END}\nafter\n")


if __name__ == "__main__":
    unittest.main()
