#!/usr/bin/env bash
# A search on several machines by SSH; the chief runs here.
#
#   configs/cluster/ssh.sh "host1 host2" python tools/search.py \
#       --output_dir=/shared/runs/mine --space=evolved ...
#
# Hosts need this folder at the same path, with its .venv, and --output_dir on
# a file system that all share. Name a host twice for two workers, this one for
# a worker here. The chief's port is loopback's everywhere: workers reach it
# through SSH, each at a port of its own. Run it again after whatever happened;
# leave --overwrite out.
set -euo pipefail

if (($# < 2)); then
  echo "error: $0 must get hosts and a command. Received: $*." >&2
  exit 2
fi
hosts=$1
shift
export KERASTUNER_ORACLE_IP=127.0.0.1
export KERASTUNER_ORACLE_PORT=${KERASTUNER_ORACLE_PORT:-52123}
port=$KERASTUNER_ORACLE_PORT
command=$(printf '%q ' "$@")

worker() { # name, host, the chief's port there
  # 255 is SSH's own failure and more than 128 a signal's: try again. What runs
  # there ends with its terminal when SSH does; it is no terminal to draw on.
  local code ssh
  trap 'kill "$ssh" 2>/dev/null' EXIT
  trap exit TERM
  while true; do
    code=0
    TERM=dumb ssh -tt -o BatchMode=yes -o ServerAliveInterval=15 \
      -o ExitOnForwardFailure=yes \
      -R "127.0.0.1:$3:127.0.0.1:$port" "$2" \
      "cd $(printf %q "$PWD") && PATH=\"\$PWD/.venv/bin:\$PATH\" \
      KERASTUNER_TUNER_ID=$1 KERASTUNER_ORACLE_IP=127.0.0.1 \
      KERASTUNER_ORACLE_PORT=$3 exec $command" </dev/null &
    ssh=$!
    wait "$ssh" || code=$?
    ((code > 128)) || return "$code"
    sleep 5
  done
}

workers=()
trap 'kill "${workers[@]}" 2>/dev/null || true' EXIT
for host in $hosts; do
  count=${#workers[@]}
  worker "worker$count" "$host" $((port + 1 + count)) &
  workers+=($!)
done
starts=0
while true; do
  code=0
  PATH="$PWD/.venv/bin:$PATH" TF_COSEARCH_STARTS=$starts \
    KERASTUNER_TUNER_ID=chief "$@" || code=$?
  ((code > 128 && code != 130 && code != 143)) || exit "$code"
  starts=$((starts + 1))
done
