"""wrk, a load generator of another project: it sends the same kind of requests, made before, each once."""

import json
import re
import shutil
import subprocess
from urllib.parse import urlsplit

from domain.errors import VerificationError
from scripts.bench.http.stage import Request, Stage

_LEAST_PER_S = 50
_LEAST_S = 5
_SCRIPT = """
local ffi = require("ffi")
ffi.cdef("typedef struct { long s; long ns; } instant; int clock_gettime(int, instant*);")
local function now()
  local at = ffi.new("instant")
  ffi.C.clock_gettime(1, at)
  return tonumber(at.s) + tonumber(at.ns) / 1e9
end
local bodies, tokens, at, left = {}, {}, 0, 0
local file = io.open(os.getenv("LEDGER_WRK"))
for line in file:lines() do
  local token, body = line:match("^(%S+) (.*)$")
  at = at + 1; tokens[at] = token; bodies[at] = body
end
file:close()
local count, next_one = at, -1  -- the first one is looked at by wrk and not sent
local answered, began = 0, nil
function request()
  if next_one < count then next_one = next_one + 1 end
  local which = math.max(next_one, 1)
  if next_one == 1 and not began then began = now() end
  local head = {["Authorization"] = "Bearer " .. tokens[which], ["Content-Type"] = "application/json"}
  return wrk.format("POST", "/v1/reports", head, bodies[which])
end
function response(status, headers, body)
  answered = answered + 1
  if status ~= 200 or not body:find('"accepted":true', 1, true) then io.write("refused ", status, " ", body, "\\n") end
  if answered >= count then io.write("answered ", answered, " in ", now() - began, "\\n"); wrk.thread:stop() end
end
"""
_DONE = re.compile(r"answered ([0-9]+) in ([0-9.]+)")
_P99 = re.compile(r"99% +([0-9.]+)(us|ms|s)")
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}


def by_wrk(stage: Stage, requests: list[Request], connections: int) -> str | None:
    """Let wrk send reports, each once, over one thread and so many connections; return what it says, in a line.

    None where wrk is not installed.

    Raises:
        VerificationError: when it says that a report was not taken.
    """
    program = shutil.which("wrk")
    if program is None:
        return None
    bodies, script = stage.folder / "wrk.bodies", stage.folder / "wrk.lua"
    bodies.write_text("".join(f"{token} {body}\n" for _, _, body, token in requests))
    script.write_text(_SCRIPT)
    parts = urlsplit(stage.url)
    longest_s = max(_LEAST_S, len(requests) // _LEAST_PER_S)  # it says what it found at the end of this, not before
    ended = subprocess.run(
        [program, "-t1", f"-c{connections}", f"-d{longest_s}s", "--latency", "-s", str(script), f"http://{parts.netloc}/"],
        env={"LEDGER_WRK": str(bodies)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    done, p99 = _DONE.search(ended.stdout), _P99.search(ended.stdout)
    if ended.returncode or done is None or "refused" in ended.stdout:
        raise VerificationError(f"wrk: {json.dumps((ended.stdout + ended.stderr)[-500:])}")
    rate = int(done[1]) / float(done[2])
    late = "" if p99 is None else f", p99 {float(p99[1]) * _UNITS[p99[2]] * 1000:.0f} ms"
    return f"{rate:.0f} reports/s over {connections} connections{late}"
