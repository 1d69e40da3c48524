"""Share a job out over a Ray cluster: python examples/ray_job.py jobs.csv out/jobs --address auto.

Each task does one shard on whatever node is free and sends back its packs and their lines. No
shared folder is needed. Run it again to do the shards that are missing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import ray

KEPT = ("pack_*.tar", "manifest.jsonl", "failures.jsonl")


@ray.remote(num_cpus=1, max_retries=3, scheduling_strategy="SPREAD")
def compose_shard(rows: bytes, shard: str) -> dict[str, bytes]:
    """Compose one shard in a folder of the node, and return its files by name."""
    with tempfile.TemporaryDirectory(prefix="emomusic-") as top:
        spec, out = Path(top, "rows"), Path(top, "out")
        spec.write_bytes(rows)
        place = ["--spec", str(spec), "--out", str(out)]
        command = [sys.executable, "-m", "emomusic", "generate", *place]
        options = ["--pack", "tar", "--shard", shard, "--threads", "1"]
        done = subprocess.run([*command, *options], check=False, capture_output=True, text=True)
        if done.returncode not in (0, 3):  # 3: some clips could not be composed, and are listed
            raise RuntimeError(f"shard {shard}: {done.stderr.strip().splitlines()[-1]}")
        return {path.name: path.read_bytes() for kind in KEPT for path in out.glob(kind)}


def main() -> None:
    """Hand out the shards that are missing, keep what comes back, and join the manifests."""
    parser = argparse.ArgumentParser(description="Share a job out over a Ray cluster.")
    parser.add_argument("spec", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--address", help="auto, HOST:PORT or ray://HOST:PORT; else this machine")
    parser.add_argument("--shards", type=int, default=64)
    asked = parser.parse_args()
    ray.init(asked.address)
    asked.out.mkdir(parents=True, exist_ok=True)
    rows = ray.put(asked.spec.read_bytes())
    folders = {f"{i}/{asked.shards}": asked.out / f"shard_{i:05d}" for i in range(asked.shards)}
    missing = {compose_shard.remote(rows, shard): folder for shard, folder in folders.items()
               if not folder.is_dir()}  # fmt: skip
    while missing:
        (done, *_), _ = ray.wait([*missing])
        folder = missing.pop(done)
        part = folder.with_suffix(".part")
        part.mkdir(exist_ok=True)
        for name, data in ray.get(done).items():
            (part / name).write_bytes(data)
        part.rename(folder)
    manifests = [folder / "manifest.jsonl" for folder in folders.values()]
    lines = [line for path in manifests if path.is_file() for line in path.open(encoding="utf-8")]
    lines.sort(key=lambda line: str(json.loads(line)["file"]))
    (asked.out / "manifest.jsonl").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
