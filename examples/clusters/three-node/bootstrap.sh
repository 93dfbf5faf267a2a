#!/usr/bin/env bash
# Prepares one machine of a three-machine cluster. Run it on each machine, with that machine's name:
#
#   machine 10.0.0.11:  ./bootstrap.sh n1
#   machine 10.0.0.12:  ./bootstrap.sh n2
#   machine 10.0.0.13:  ./bootstrap.sh n3
#
# Before that, write your addresses into the cluster.toml beside this script, the same on all three. The order of
# the machines does not matter, and none has to wait for another: a node that starts alone waits for a second one,
# and two of three elect a leader.
#
# It makes these, and touches nothing outside the prefix:
#
#   PREFIX/venv           a Python environment with raftnode and raftctl
#   PREFIX/cluster.toml   a copy of the cluster file that the node was formatted with
#   PREFIX/data/NAME      the node's data directory: its identity, its settings (node.toml), log and snapshots
#
# Running it again is safe: the programs are installed again, which is how to upgrade them, and a data directory
# that is there already is left as it is. It starts nothing; its last lines say how to.
set -euo pipefail

usage() {
  cat <<'USAGE'
usage: bootstrap.sh NAME [--prefix DIR] [--cluster-file FILE] [--python PATH] [--print-unit]

  NAME                 which node of the cluster file this machine is: n1, n2 or n3
  --prefix DIR         where everything goes (default: /opt/raft, or $RAFT_PREFIX)
  --cluster-file FILE  the cluster file (default: the cluster.toml beside this script)
  --python PATH        use this Python, in which the programs are installed already: no venv, no pip
  --print-unit         print a systemd unit for the node, and do nothing else
USAGE
}

fail() { # what happened, what to do next
  printf 'bootstrap.sh: %s\n  %s\n' "$1" "$2" >&2
  exit 2
}

quoted() { printf '%q' "$1"; } # as one may paste it into a shell

here=$(cd "$(dirname "$0")" && pwd)
checkout=$(cd "$here/../../.." && pwd)
prefix=${RAFT_PREFIX:-/opt/raft}
cluster_file=$here/cluster.toml
python=
name=
print_unit=no

while [ $# -gt 0 ]; do
  case $1 in
    --prefix | --cluster-file | --python)
      [ $# -ge 2 ] || fail "$1 needs a value" "see: bootstrap.sh --help"
      case $1 in
        --prefix) prefix=$2 ;;
        --cluster-file) cluster_file=$2 ;;
        --python) python=$2 ;;
      esac
      shift 2
      ;;
    --print-unit) print_unit=yes && shift ;;
    -h | --help) usage && exit 0 ;;
    -*) fail "there is no option $1" "see: bootstrap.sh --help" ;;
    *)
      [ -z "$name" ] || fail "one name is enough; there are $name and $1" "see: bootstrap.sh --help"
      name=$1 && shift
      ;;
  esac
done
[ -n "$name" ] || fail "which node is this machine?" "give its name in the cluster file, such as: ./bootstrap.sh n1"
[ -f "$cluster_file" ] || fail "there is no cluster file $cluster_file" "name it with --cluster-file"
# These four have a meaning in a systemd unit, and no path needs them.
case $prefix in
  *[\"\\\$%]*) fail "the prefix $prefix has one of the characters \" \\ \$ %" "choose another --prefix" ;;
  /*) ;;
  *) prefix=$PWD/$prefix ;;
esac

# The unit. Each line that is not obvious has its reason here:
#
#   User                     the owner of the data directory; before there is one, the user who prints the unit
#   Restart=on-failure       a node that was killed, by the kernel for example, comes back by itself
#   RestartPreventExitStatus but not where its disk failed or its data is damaged (1), its settings are wrong (2) or
#                            there is no data directory (3): these need a person, and the log says what is wrong
#   TimeoutStopSec           a leader hands over before it stops; that takes a moment, and never this long
#   LimitNOFILE              limits.connections in node.toml is 10000; each is one open file
#   ProtectSystem            the node writes into its prefix and nowhere else
if [ "$print_unit" = yes ]; then
  if [ -n "$python" ]; then
    command="\"$python\" -m raftnode.main"
  else
    command="\"$prefix/venv/bin/raftnode\""
  fi
  owner=$(stat -c %U "$prefix/data/$name" 2>/dev/null || id -un)
  cat <<UNIT
[Unit]
Description=Raft node $name
Wants=network-online.target
After=network-online.target

[Service]
ExecStart=$command run --data-dir "$prefix/data/$name"
User=$owner
Restart=on-failure
RestartSec=2
RestartPreventExitStatus=1 2 3
TimeoutStopSec=30
LimitNOFILE=65536
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths="$prefix"

[Install]
WantedBy=multi-user.target
UNIT
  exit 0
fi

# 1. The programs. pip builds in the directory that it is given, so it gets a copy: the checkout stays clean.
mkdir -p "$prefix" || fail "cannot make $prefix" "choose another place with --prefix, or run this as its owner"
if [ -n "$python" ]; then
  raftnode="$(quoted "$python") -m raftnode.main"
  raftctl="$(quoted "$python") -m raftctl.main"
else
  system_python=${PYTHON:-python3}
  "$system_python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "Python 3.11 or newer is needed" "name one: PYTHON=/usr/bin/python3.12 ./bootstrap.sh $name"
  [ -x "$prefix/venv/bin/python" ] || "$system_python" -m venv "$prefix/venv"
  source_copy=$(mktemp -d "$prefix/source.XXXXXX")
  trap 'rm -rf "$source_copy"' EXIT
  cp -R "$checkout/pyproject.toml" "$checkout/README.md" "$checkout/LICENSE" "$checkout/raftnode" "$checkout/raftctl" \
    "$source_copy"
  "$prefix/venv/bin/python" -m pip install --quiet --disable-pip-version-check "$source_copy"
  python=$prefix/venv/bin/python
  raftnode=$(quoted "$prefix/venv/bin/raftnode")
  raftctl=$(quoted "$prefix/venv/bin/raftctl")
fi

# 2. The cluster file. A node keeps the identity that it was formatted with, so a changed file beside it would only
#    mislead its later readers. Until the node is formatted, the file may still be corrected.
if [ ! -e "$prefix/data/$name/identity.json" ]; then
  cp "$cluster_file" "$prefix/cluster.toml"
elif ! cmp -s "$cluster_file" "$prefix/cluster.toml"; then
  fail "$name is formatted already, and $cluster_file differs from $prefix/cluster.toml" \
    "the members of a cluster that exists are changed in the cluster; for a new one choose another --prefix"
fi

# 3. The data directory. Its own name is in its identity: format refuses to make another node or cluster of it, and
#    says `changed: false` where it is there already.
"$python" -m raftnode.main format --cluster-file "$prefix/cluster.toml" --name "$name" --data-dir "$prefix/data/$name"

# 4. What to do next.
endpoints=$("$python" -c '
import sys, tomllib
with open(sys.argv[1], "rb") as file:
    print(",".join(node["address"] for node in tomllib.load(file)["node"]))
' "$prefix/cluster.toml")
cat <<NEXT

$name is ready in $prefix. Start it, here and on the other machines, in the foreground:

  $raftnode run --data-dir $(quoted "$prefix/data/$name")

or as a service:

  $(quoted "$0") $name --prefix $(quoted "$prefix") --print-unit | sudo tee /etc/systemd/system/raftnode.service
  sudo systemctl daemon-reload && sudo systemctl enable --now raftnode

When two of the three run, from any machine that reaches them:

  export RAFTCTL_ENDPOINTS=$endpoints
  $raftctl wait --leader
  $raftctl status
NEXT
