#!/usr/bin/env bash
# A tour of the toolkit: three real nodes on this machine, from the first command to a killed leader.
#
# Installs into .venv at the top of the checkout, works in a temporary directory that it removes at the end,
# and stops every process that it started. QUICKSTART_BASE_PORT sets the first of four ports; without it a free
# place is looked for.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
python=${PYTHON:-python3}
[ -x "$root/.venv/bin/python" ] || "$python" -m venv "$root/.venv"
"$root/.venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable "$root"
PATH="$root/.venv/bin:$PATH"
export PATH

work=$(mktemp -d "${TMPDIR:-/tmp}/raft quickstart.XXXXXX")
cd "$work"

n4_pid=
cleanup() {
  status=$?
  if [ -n "$n4_pid" ]; then kill "$n4_pid" 2>/dev/null && wait "$n4_pid" || true; fi
  if [ -f demo/cluster.toml ]; then raftctl cluster down -f demo/cluster.toml --kill >/dev/null 2>&1 || true; fi
  if [ "$status" -ne 0 ]; then
    echo "quickstart failed with exit code $status; the nodes' logs are in $work" >&2
  else
    rm -rf "$work"
  fi
  exit "$status"
}
trap cleanup EXIT

say() { printf '\n# %s\n' "$1"; }
run() {
  local word line='$'
  for word in "$@"; do
    case $word in
      *[!A-Za-z0-9_./:,=@%+-]* | '') line+=" '$word'" ;;
      *) line+=" $word" ;;
    esac
  done
  printf '%s\n' "$line"
  "$@"
}
expect() {
  if [ "$2" != "$3" ]; then
    echo "expected $1 to be '$2', and it is '$3'" >&2
    return 1
  fi
}

status_field() {
  raftctl status -o json | python -c '
import functools, json, sys
print(functools.reduce(lambda value, key: value[key], sys.argv[1:], json.load(sys.stdin)))
' "$@"
}

# Four ports in a row that nobody uses now.
port=${QUICKSTART_BASE_PORT:-$(python - <<'PYTHON'
import random
import socket

for base in [7001, *random.sample(range(20000, 32000), 50)]:
    sockets = [socket.socket() for _ in range(4)]
    try:
        for offset, candidate in enumerate(sockets):
            candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            candidate.bind(("127.0.0.1", base + offset))
    except OSError:
        continue
    else:
        print(base)
        break
    finally:
        for candidate in sockets:
            candidate.close()
PYTHON
)}

say "Make a cluster of three nodes and start it."
run raftctl cluster init demo --name demo --nodes 3 --base-port "$port"
run raftctl cluster up -f demo/cluster.toml

say "Every command finds the cluster through RAFTCTL_ENDPOINTS (or -e, or a saved context)."
run export RAFTCTL_ENDPOINTS="127.0.0.1:$port,127.0.0.1:$((port + 1)),127.0.0.1:$((port + 2))"
run raftctl wait --leader --timeout 10s
run raftctl status

say "Write and read. A write is acknowledged when it is on the disks of a majority."
run raftctl kv put greeting "hello, raft"
run raftctl kv put color blue
run raftctl kv get greeting

say "Look into the replicated log."
run raftctl log range 1 20

say "Take in a fourth node: a learner first, a voter when it has caught up."
n4="127.0.0.1:$((port + 3))"
run raftnode join --cluster "$RAFTCTL_ENDPOINTS" --name n4 --address "$n4" --data-dir demo/data/n4
echo "\$ raftnode run --data-dir demo/data/n4 &"
raftnode run --data-dir demo/data/n4 2>demo/data/n4/raftnode.log &
n4_pid=$!
run raftctl member add n4 --address "$n4"
run raftctl member list

say "Hand leadership to n4."
run raftctl member transfer n4

say "Take a snapshot; list the snapshots and what has happened."
run raftctl snapshot trigger
run raftctl snapshot list
run raftctl events list --type 'member.*'

say "Remove the fourth node again. It leads: another node takes over."
run raftctl member remove n4 --yes
run raftctl wait --leader --voters 3 --timeout 10s
echo "\$ kill $n4_pid"
kill "$n4_pid"
wait "$n4_pid" || true
n4_pid=

say "Kill the leader's process without a warning."
leader=$(status_field leader name)
leader_pid=$(cat "demo/data/$leader/LOCK")
run kill -9 "$leader_pid"
case $leader in n1) other=n2 ;; *) other=n1 ;; esac
other_address="127.0.0.1:$((port + ${other#n} - 1))"
run raftctl wait --leader --health degraded --timeout 10s
run raftctl status

say "Nothing that was acknowledged is lost: ask another node."
run raftctl kv get greeting -e "$other_address"
expect "greeting" "hello, raft" "$(raftctl kv get greeting -e "$other_address")"
expect "color" "blue" "$(raftctl kv get color -e "$other_address")"

say "Start the killed node again."
run raftctl cluster up -f demo/cluster.toml --node "$leader"
run raftctl wait --health healthy --timeout 20s
run raftctl status
expect "the health" "healthy" "$(status_field health)"

say "Stop the cluster."
run raftctl cluster down -f demo/cluster.toml
