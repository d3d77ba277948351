#!/usr/bin/env bash
#SBATCH --cpus-per-task=16
#SBATCH --time=24:00:00
# Trains one stream on all nodes of the job, whose addresses the command reads from Slurm: train.sh STREAM OPTIONS...
set -uo pipefail
# Near the end of its time, or when it is preempted, the training saves after its step and ends with 130.
trap 'kill -TERM $steps 2>/dev/null' TERM
hosts=()
[ "${SLURM_JOB_NUM_NODES:-1}" -gt 1 ] && hosts=(--hosts auto)
srun --ntasks-per-node=1 --kill-on-bad-exit=0 ./run train "$@" "${hosts[@]}" &
steps=$!
wait $steps
code=$?
[ $code -gt 128 ] && { wait $steps; code=$?; } # The first wait ended when the signal came.
if [ $code -eq 130 ]; then # It has saved, and goes on from there as soon as there are nodes.
    scontrol requeue "$SLURM_JOB_ID"
    sleep 60
fi
exit $code
