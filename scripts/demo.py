"""A service under real traffic: records, logs, a failing downstream, a drain, and one question.

    make demo

Makes a service with `tacho new`, starts a backing instance and a forwarder over it, sends some
thousand requests of all kinds, stops the downstream half way, sends SIGTERM under load, and prints
what the records say. Loopback only, under a minute, nothing is left running.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from services import Instance, generate, lines_of, running
from traffic import Request, Seen, drive, mixed

ROOT = Path(__file__).resolve().parent.parent
SCRATCH = ROOT / "scratch" / "demo"
QUESTION = """\
SELECT count(*) AS requests, quantile_cont(Duration, 0.99) AS p99
FROM RequestMetrics
WHERE Operation = 'SetItem' AND DownstreamErrorKind = 'Timeout'"""


def main() -> int:
    """Run the demo; return 0 when every request is accounted for."""
    began = time.monotonic()
    shutil.rmtree(SCRATCH, ignore_errors=True)
    SCRATCH.mkdir(parents=True)
    _say("Making a service: tacho new orders")
    project = generate("orders", SCRATCH)
    telemetry = SCRATCH / "telemetry"
    flags = ["--downstream-timeout", "0.4"]
    with running(project, "orders", SCRATCH / "backing") as backing:
        flags += ["--downstream-url", backing.url]
        with running(project, "orders", telemetry, flags) as forwarder:
            _say(f"A forwarder at {forwarder.url}, over a backing store at {backing.url}")
            seen = Seen()
            exit_code = asyncio.run(_traffic(forwarder, backing, seen))
    return _report(seen, telemetry, exit_code, began)


async def _traffic(forwarder: Instance, backing: Instance, seen: Seen) -> int:
    _say("3,000 requests: writes, hits, misses, malformed and oversize bodies, unknown routes")
    await drive(forwarder.url, mixed(3_000), seen=seen)
    _say("The backing store hangs: writes time out (504)")
    backing.send(signal.SIGSTOP)
    writes = [Request("PUT", f"/items/slow{n}", b"x" * 64) for n in range(48)]
    await drive(forwarder.url, writes, seen=seen)
    backing.send(signal.SIGCONT)
    _say("The backing store is gone: 502")
    backing.send(signal.SIGTERM)
    await asyncio.to_thread(backing.wait)
    await drive(forwarder.url, mixed(500), seen=seen)
    _say("SIGTERM to the forwarder under load: it drains")
    load = asyncio.create_task(drive(forwarder.url, mixed(100_000), seen=seen, seconds=2.0))
    await asyncio.sleep(0.5)
    forwarder.send(signal.SIGTERM)
    code = await asyncio.to_thread(forwarder.wait)
    await load
    return code


def _report(seen: Seen, telemetry: Path, exit_code: int, began: float) -> int:
    records = lines_of(telemetry, "metrics.log.*")
    logs = lines_of(telemetry, "application.log.*")
    requests = [record for record in records if record["record"] == "RequestMetrics"]
    shown = next(r for r in requests if r.get("DownstreamErrorKind") == "Timeout")
    line = next((e for e in logs if e.get("request_id") == shown["RequestId"]), None)
    emitted = Counter(record["RequestId"] for record in requests)
    missing = [i for i in seen.ids if emitted[i] != 1]
    lost = sum(int(record.get("_dropped", 0)) for record in records + logs)
    ends = [e for e in logs if e["message"] == "telemetry closed"]
    closed: dict[str, Any] = ends[-1] if ends else {}
    statuses = ", ".join(f"{n} × {status}" for status, n in sorted(seen.statuses.items()))
    _title("What the clients saw")
    print(f"{seen.answered} answers: {statuses}")
    print(f"{seen.failed} requests met a closed port after SIGTERM")
    _title("One wide event")
    print(json.dumps(shown, ensure_ascii=False))
    _title("A log line of the same request")
    print(json.dumps(line, ensure_ascii=False))
    _title("The question: p99 of SetItem when the downstream timed out")
    print(f'$ tacho query --dir {telemetry.relative_to(ROOT)} "\n{QUESTION}"\n')
    sys.stdout.flush()
    query = [sys.executable, "-m", "tachograph", "query", "--dir", str(telemetry), QUESTION]
    answered = subprocess.run(query, check=False).returncode == 0
    _title("Accounting")
    for record in records:
        if record["record"] in ("ShutdownMetrics", "ProcessExitMetrics"):
            print(json.dumps(record))
    print(
        f"{len(requests)} records of requests; each of the {seen.answered} ids that a client got "
        f"{'appears exactly once' if not missing else f'should appear once: {len(missing)} do not'}"
    )
    print(
        f"lost: {lost} lines in band, {closed.get('records_lost', '?')} records and "
        f"{closed.get('log_lines_lost', '?')} log lines by the counters"
    )
    _title("The files")
    for file in sorted(telemetry.iterdir()):
        print(f"{file.stat().st_size:>10,}  {file.relative_to(ROOT)}")
    print(f"\nDone in {time.monotonic() - began:.0f} s; the forwarder's exit code was {exit_code}.")
    sound = (
        answered
        and not missing
        and lost == closed.get("records_lost") == closed.get("log_lines_lost") == 0
        and exit_code == 0
        and line is not None
        and {200, 204, 400, 404, 413, 502, 504} <= set(seen.statuses)
    )
    if not sound:
        print("demo: something above is not as it should be.", file=sys.stderr)
    return 0 if sound else 1


def _say(text: str) -> None:
    print(f"· {text}", flush=True)


def _title(text: str) -> None:
    print(f"\n── {text} {'─' * max(0, 76 - len(text))}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
