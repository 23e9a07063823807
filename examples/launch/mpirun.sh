#!/usr/bin/env bash
# Train on ranks that Open MPI starts, in a folder that they share:
#
#   ./mpirun.sh 3 train.ts
#   MPIRUN_OPTIONS='--hostfile hosts.txt --map-by node' ./mpirun.sh 2 train.ts --insecure
#
# Rank 0 tells the others its address and a token by a file in this folder that only you can read. On several hosts the ranks meet on the
# network: --insecure is for networks that you trust; else give --tls-cert, --tls-key and --tls-ca.
set -euo pipefail

# shellcheck disable=SC2086 # words
exec mpirun ${MPIRUN_OPTIONS:-} -n "$1" ${LOCKSTEP:-npx lockstep} join "${@:2}"
