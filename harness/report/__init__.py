"""What people and CI servers see of a run: it reads results and writes nothing else.

::

    page = write_reports(recorder.folder)              # junit.xml and index.html
    summary(results, page)                             # on the terminal
    with Progress() as progress: ...                   # lines while the run goes on
    report_run(Path("reports"), "latest", open_page=True)   # `pvhck report`
"""

from harness.report.command import report_run
from harness.report.terminal import Progress, summary
from harness.report.write import bundle, find_run, write_reports

__all__ = ["Progress", "bundle", "find_run", "report_run", "summary", "write_reports"]
