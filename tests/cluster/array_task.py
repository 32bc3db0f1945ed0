"""One of forty tasks: takes some seconds; some fail at the first attempt, some need more memory than it has."""

import os
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

number, wanted_mb, *outputs = sys.argv[1:]
shown = subprocess.run(
    ["scontrol", "show", "job", os.environ["SLURM_JOB_ID"]], capture_output=True, text=True, check=True
).stdout
granted_mb = int(re.search(r"MinMemoryNode=(\d+)M", shown)[1])  # what Slurm has given, whatever was asked for
Path("attempts").mkdir(exist_ok=True)
with open(f"attempts/{number}.txt", "a") as file:  # no log of the rule, which a retry would delete
    file.write(f"{os.environ['SLURM_JOB_ID']} {wanted_mb} {granted_mb}\n")
time.sleep(int(number) % 5)
if int(number) % 10 == 3 and wanted_mb == "300":
    sys.exit(3)
if int(number) % 10 == 7:
    resource.setrlimit(resource.RLIMIT_AS, (granted_mb * 10**6,) * 2)
    bytearray(450 * 10**6)
for output in outputs:
    Path(output).write_text(number)
