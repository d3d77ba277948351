#!/usr/bin/env bash
#SBATCH --cpus-per-task=16
#SBATCH --time=24:00:00
# Prepares one part of a data set: prepare.sh NAME OPTIONS...
set -euo pipefail
exec ./run prepare "$@" --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" --workers "${SLURM_CPUS_PER_TASK:-1}"
