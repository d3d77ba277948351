#!/usr/bin/env bash
# Submits a data set to Slurm, from videos to the report, as a chain of jobs: each starts once the one before has succeeded.
#
#   deploy/slurm/submit.sh ucf101 --partition=gpu --account=mine
#
# Words after the data set go to every sbatch. PARTS, NODES and GPUS set how many machines share the work, ROOT and RUNS where
# all of them see the data set and its runs, and TRAIN further options of the trainings. Jobs that are preempted, or whose
# node dies, are queued again, and each command goes on where it stopped.
set -euo pipefail
cd "$(dirname "$0")/../.."
data_set=$1
shift
parts=${PARTS:-16} nodes=${NODES:-2} gpus=${GPUS:-1}
root=(${ROOT:+--root "$ROOT"}) of=(--dataset "$data_set" ${ROOT:+--root "$ROOT"} ${RUNS:+--runs "$RUNS"})

submit() { # submit AFTER NAME OPTIONS...: prints the number of the job
    local after=$1 name=$2
    shift 2
    sbatch --parsable --requeue --open-mode=append --job-name="two-stream-$name" --output="logs/$name-%j.out" \
        ${after:+--dependency=afterok:$after} "$@"
}

mkdir -p logs
prepare=$(submit "" prepare --array="1-$parts" "$@" deploy/slurm/prepare.sh "$data_set" "${root[@]}")
merge=$(submit "$prepare" merge "$@" deploy/slurm/command.sh prepare "$data_set" "${root[@]}" --merge)
before=$merge
for stream in spatial temporal; do
    before=$(submit "$before" "train-$stream" --nodes="$nodes" --ntasks-per-node=1 --gpus-per-node="$gpus" \
        --signal=TERM@180 "$@" deploy/slurm/train.sh "$stream" "${of[@]}" ${TRAIN:-})
done
score=$(submit "$before" score --array="1-$parts" --gpus=1 "$@" deploy/slurm/score.sh "${of[@]}")
report=$(submit "$score" report "$@" deploy/slurm/command.sh evaluate "${of[@]}" --merge)
echo "Submitted: prepare $prepare, merge $merge, train until $before, score $score, report $report."
