"""Yosys without its program, from pyosys: ``run_yosys.py SCRIPT LOG``."""

import os
import sys

from pyosys import libyosys as ys


def main(script: str, log: str) -> None:
    target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(target, sys.stdout.fileno())
    ys.run_pass(f"script {script}", ys.Design())


if __name__ == "__main__":
    main(*sys.argv[1:])
