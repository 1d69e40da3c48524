"""Set the loss curve of several processes beside that of one with the same batches, on the CPU."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

TRAIN = Path(__file__).resolve().with_name("train.py")
KINDS = ("loss", "validation_nats_per_note")


def main() -> None:
    """Train the same model alone and by several processes, and print how far losses are apart."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=Path, default=Path("datasets/packed/rows.npz"))
    parser.add_argument("--out", type=Path, default=Path("out/ranks"), help="a new folder")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--precision", default="fp32")
    asked = parser.parse_args()
    settings = {
        "size": "tiny", "context": 640, "max_steps": asked.steps, "batch_events": 1024,
        "micro_batches": 2 * asked.ranks, "warmup_steps": 20, "eval_minutes": 0, "device": "cpu",
        "threads": 1, "seed": 1, "precision": asked.precision,
    }  # fmt: skip
    alone, shared = (curve(asked, settings, ranks=ranks) for ranks in (1, asked.ranks))
    apart = {key: abs(shared[key] - alone[key]) for key in alone}
    worst = max(apart, key=lambda key: apart[key])
    print("| trained by | records | largest difference | at step | of validation |")
    print("|---|---|---|---|---|")
    print(f"| {asked.ranks} processes | {len(apart)} | {apart[worst]:.6f} | {worst[0]} | "
          f"{apart[asked.steps, KINDS[1]]:.6f} |")  # fmt: skip


def curve(
    asked: argparse.Namespace, settings: dict[str, object], *, ranks: int
) -> dict[tuple[int, str], float]:
    """Train and return the losses by step and kind."""
    out = asked.out / f"{ranks}_processes"
    out.mkdir(parents=True)
    (out / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
    command = [
        sys.executable, *(launcher if ranks > 1 else []), str(TRAIN), "--rows", str(asked.rows),
        "--out", str(out), "--config", str(out / "settings.json"),
    ]  # fmt: skip
    with (out / "said.txt").open("w", encoding="utf-8") as said:
        threads = {"OMP_NUM_THREADS": "1"}
        subprocess.run(command, check=True, stdout=said, stderr=said, env={**os.environ, **threads})
    records = map(json.loads, (out / "run" / "log.jsonl").read_text(encoding="utf-8").splitlines())
    return {(r["step"], kind): r[kind] for r in records for kind in KINDS if kind in r}


if __name__ == "__main__":
    main()
