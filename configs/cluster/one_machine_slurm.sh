#!/usr/bin/env bash
# A Slurm of three nodes on this machine while a command runs, to try things:
#
#   apt-get install slurm-wlm munge
#   configs/cluster/one_machine_slurm.sh sbatch --wait --ntasks=3 \
#       --cpus-per-task=1 --mem-per-cpu=2G configs/cluster/slurm.sbatch \
#       python tools/search.py --output_dir=runs/nodes
#
# All of it is in a temporary folder and belongs to you; root is not needed,
# and what is configured on the machine is neither read nor touched. A node has
# 4 CPUs, whatever the machine has, and is given up 10 s after it fell silent.
set -euo pipefail

if (($# < 1)); then
  echo "error: $0 must get a command. Received: none." >&2
  exit 2
fi
PATH="$PATH:/usr/sbin"
for program in munged slurmctld slurmd sbatch; do
  if ! command -v "$program" >/dev/null; then
    echo "error: $0 must find the programs of Slurm. Received: no $program." \
      "Install slurm-wlm and munge." >&2
    exit 2
  fi
done
nodes="node0 node1 node2"
folder=$(mktemp --directory)
export SLURM_CONF=$folder/slurm.conf

stop() {
  scancel --user="$(id --user)" 2>/dev/null || true
  for _ in {1..150}; do # the jobs have KillWait to end
    [[ $(squeue --noheader 2>/dev/null) ]] || break
    sleep 0.1
  done
  kill -KILL $(cat "$folder"/*.pid 2>/dev/null) 2>/dev/null || true
  rm --recursive --force "$folder"
}
trap stop EXIT

mkdir "$folder/state"
(umask 077 && head --bytes=1024 /dev/urandom >"$folder/munge.key")
ports=($(python3 -c '
import socket
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(4)]
print(*(one.getsockname()[1] for one in held))'))
host=$(hostname --short)
cat >"$SLURM_CONF" <<CONF
ClusterName=one_machine
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=${ports[3]}
SlurmUser=$(id --user --name)
SlurmdUser=$(id --user --name)
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
SlurmdTimeout=10
KillWait=10
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/%n.spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/%n.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/%n.log
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
for node in $nodes; do
  mkdir "$folder/$node.spool"
  echo "NodeName=$node NodeAddr=127.0.0.1 NodeHostname=$host" \
    "Port=${ports[${node#node}]} CPUs=4 RealMemory=16000" >>"$SLURM_CONF"
done
munged --key-file="$folder/munge.key" --seed-file="$folder/munge.seed" \
  --socket="$folder/munge.socket" --pid-file="$folder/munge.pid" \
  --log-file="$folder/munge.log" --force 2>/dev/null
slurmctld
for node in $nodes; do slurmd -N "$node"; done
for _ in {1..100}; do
  [[ $(sinfo --noheader --states=idle --format=%D 2>/dev/null) == 3 ]] && break
  sleep 0.1
done
"$@"
