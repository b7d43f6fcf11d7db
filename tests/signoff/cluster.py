"""A Dask cluster whose workers are killed while they work, as a program of its own; prints JSON."""

import json
import os
import signal
import sys
from pathlib import Path

from distributed import LocalCluster

from systolith.generators import registry
from systolith.signoff.random_configs import Draw, Verdict, drawn, judge
from systolith.signoff.rung import Options
from systolith.signoff.spread import spread

COUNT = 8


def main(folder: str) -> None:
    template = registry.get("dot")
    draws = [Draw("dot", config.model_dump(mode="json"), False)
             for config in drawn(template, COUNT, 1, small=True)]
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None,
                      local_directory=folder) as cluster:
        options = Options(directory=Path(folder), scheduler=cluster.scheduler_address)
        first = {worker.pid for worker in cluster.workers.values()}
        found: dict[int, Verdict] = {}
        for index, verdict in spread(judge, draws, options):
            if not found:
                for pid in first:
                    os.kill(pid, signal.SIGKILL)
            found[index] = verdict
        last = {worker.pid for worker in cluster.workers.values()}
    print(json.dumps({"results": sorted(found), "keys": len({v.key for v in found.values()}),
                      "problems": [v.problem for v in found.values() if v.problem],
                      "killed": len(first), "survived": len(first & last)}))


if __name__ == "__main__":
    main(sys.argv[1])
