"""Work over a cluster: two workers on this machine, killed and restarted in the middle."""

import json
import subprocess
import sys
from pathlib import Path


def test_no_result_is_lost_when_workers_die(tmp_path):
    program = Path(__file__).with_name("cluster.py")
    done = subprocess.run([sys.executable, program, tmp_path], text=True, capture_output=True,
                          check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout) == {"results": list(range(8)), "keys": 8, "problems": [],
                                       "killed": 2, "survived": 0}
