#!/usr/bin/env bash
#SBATCH --time=02:00:00
# Runs one command of the project on one node: command.sh COMMAND OPTIONS...
set -euo pipefail
exec ./run "$@"
