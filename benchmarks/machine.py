"""What a run ran on: the machine and the versions of what was measured."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("emomusic", "torch", "numpy", "symusic")
FLAGS = ("avx2", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_int8",
         "asimd", "asimddp", "i8mm", "sve")  # fmt: skip
CPU_INFO, MEMORY_INFO = Path("/proc/cpuinfo"), Path("/proc/meminfo")


def machine() -> dict[str, Any]:
    """Return processor, cores, memory and load; nothing that names the machine."""
    info = _fields(CPU_INFO)
    features = (info.get("flags") or info.get("Features") or "").split()
    memory = _fields(MEMORY_INFO).get("MemTotal", "0 kB").split()[0]
    return {
        "processor": info.get("model name") or platform.machine(),
        "family": f"{info.get('cpu family', '?')}/{info.get('model', '?')}",
        "features": [flag for flag in FLAGS if flag in features],
        "cache": info.get("cache size", "?"),
        "cores": os.cpu_count(),
        "memory_gb": round(int(memory) / 2**20, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "load": [round(load, 2) for load in os.getloadavg()],
    }


def versions() -> dict[str, str | None]:
    """Return the version of each package that is measured; None where it is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def _fields(path: Path) -> dict[str, str]:
    """Return the first value of each field of a `name : value` file, none if it is not there."""
    found: dict[str, str] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return found
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            found.setdefault(name.strip(), value.strip())
    return found
