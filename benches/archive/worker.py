"""Peak memory of a whole worker that runs the real job: `aisha demo` with a set's photos, the worker read from outside."""

import subprocess
import time
from pathlib import Path


def peak_mb(aisha, photos):
    """Trains an avatar from the photos; the highest resident size that any `aisha worker` of it had, in MB."""
    demo = subprocess.Popen([aisha, "demo", "--json", "--photos", photos], stdout=subprocess.DEVNULL)
    peaks = {}
    while demo.poll() is None:
        for pid in workers_of(demo.pid):
            peaks[pid] = max(peaks.get(pid, 0), high_water_kb(pid))
        time.sleep(0.02)
    assert demo.returncode == 0, f"the demo with {photos} failed"
    assert peaks, "no worker was seen"
    return max(peaks.values()) / 1000


def workers_of(parent):
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            fields = dict(line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line)
            arguments = (status.parent / "cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            continue  # It ended meanwhile.
        if int(fields.get("PPid", 0)) == parent and b"worker" in arguments[1:2]:
            yield int(status.parent.name)


def high_water_kb(pid):
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")), 0)
