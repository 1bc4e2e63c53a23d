"""What a run found out: events.jsonl and results.json (this room alone writes them), verdicts, history.

::

    recorder = RunRecorder(Path("reports"), RunFacts(...), redactor.clean)
    recorder.collected([TestFacts(...), ...])
    recorder.skipped("scenarios/...", "no iperf3 for x86 windows guests")
    recorder.test_started("scenarios/...", 1)
    recorder.attempt_finished("scenarios/...", AttemptResult(1, Outcome.PASSED, ...), measurements)
    results = recorder.finish()           # or finish(RunEnd.INTERRUPTED)
    sys.exit(exit_code(results.verdict))
"""

from harness.results.history import Difference, SeriesKey, compare, earlier_runs, last_of_series, series_of
from harness.results.load import NotARun, load_results
from harness.results.model import (
    SCHEMA,
    AttemptResult,
    DriverBuildFacts,
    DriverFound,
    DriverSheet,
    GuestFacts,
    Overall,
    PackageFacts,
    Run,
    RunEnd,
    RunFacts,
    RunResults,
    SheetVerdict,
    TestFacts,
    TestResult,
    Verdict,
)
from harness.results.recorder import ReportsUnwritable, RunRecorder, now_utc, utc
from harness.results.timeless import timeless
from harness.results.verdict import exit_code, needs_second_round, verdict_of, worst_outcome

__all__ = [
    "SCHEMA",
    "AttemptResult",
    "Difference",
    "DriverBuildFacts",
    "DriverFound",
    "DriverSheet",
    "GuestFacts",
    "NotARun",
    "Overall",
    "PackageFacts",
    "ReportsUnwritable",
    "Run",
    "RunEnd",
    "RunFacts",
    "RunRecorder",
    "RunResults",
    "SeriesKey",
    "SheetVerdict",
    "TestFacts",
    "TestResult",
    "Verdict",
    "compare",
    "earlier_runs",
    "exit_code",
    "last_of_series",
    "load_results",
    "needs_second_round",
    "now_utc",
    "series_of",
    "timeless",
    "utc",
    "verdict_of",
    "worst_outcome",
]
