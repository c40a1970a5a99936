"""The machine and the versions that a run was made with."""

import datetime
import os
import platform
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def facts(cluster, options):
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": said("git", "-C", ROOT, "describe", "--always", "--dirty"),
        "cores": os.cpu_count(),
        "cpu": cpu(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "load": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        "versions": f"PostgreSQL {cluster.settings['server_version']}, {said('rustc', '--version')}, Python {platform.python_version()}",
        "settings": cluster.settings,
        "jobs": options.jobs,
        "window": options.window,
        "repetitions": options.reps,
    }


def cpu():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def said(*command):
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "unknown"
