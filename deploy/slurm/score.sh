#!/usr/bin/env bash
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
# Scores one part of the test videos: score.sh OPTIONS...
set -euo pipefail
exec ./run evaluate "$@" --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT"
