"""Set the loss curve of several processes beside that of one with the same batches, on the CPU."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

TRAIN = Path(__file__).resolve().with_name("train.py")


def main() -> None:
    """Train the same model in four ways, and print how far the losses are apart."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=Path, default=Path("datasets/packed/rows.npz"))
    parser.add_argument("--out", type=Path, default=Path("out/ranks"), help="a new folder")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--precision", default="fp32")
    asked = parser.parse_args()
    settings = {
        "size": "tiny", "context": 640, "max_steps": asked.steps, "batch_ids": 4096,
        "warmup_steps": 20, "eval_minutes": 0, "device": "cpu", "threads": 1, "seed": 1,
        "precision": asked.precision,
    }  # fmt: skip
    parts = {"gradient_accumulation_steps": asked.ranks}
    alone = curve(asked, "alone", settings, ranks=1)
    print("| trained by | records | largest difference | at step | of validation |")
    print("|---|---|---|---|---|")
    for name, changes, ranks in (
        ("one process, in parts", parts, 1),
        (f"{asked.ranks} processes, ddp", {}, asked.ranks),
        (f"{asked.ranks} processes, fully_shard", {"parallel": "fully_shard"}, asked.ranks),
    ):
        found = curve(asked, name, {**settings, **changes}, ranks=ranks)
        apart = {key: abs(found[key] - alone[key]) for key in alone}
        worst = max(apart, key=lambda key: apart[key])
        last = apart[asked.steps, "validation_loss"]
        print(
            f"| {name} | {len(apart)} | {apart[worst]:.6f} | {worst[0]} | {last:.6f} |", flush=True
        )


def curve(
    asked: argparse.Namespace, name: str, settings: dict[str, object], *, ranks: int
) -> dict[tuple[int, str], float]:
    """Train and return the losses by step and kind."""
    out = asked.out / name.replace(",", "").replace(" ", "_")
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
    kinds = ("loss", "validation_loss")
    return {(r["step"], kind): r[kind] for r in records for kind in kinds if kind in r}


if __name__ == "__main__":
    main()
