#!/usr/bin/env bash
# Trains on several nodes of a Slurm cluster, and goes on by itself after a time limit or a preemption.
#
#   sbatch deploy/slurm.sh                      from the repository's root, which every node must see
#   sbatch --nodes=4 deploy/slurm.sh --seed 1   options of sbatch before the script, flags of the program after it
#
# As it stands it trains the digits, which needs no data and not long: a test of the cluster. Then change the program
# below, and here: nodes, time, CPUs, GPUs, and the partition or account that your cluster asks for.

#SBATCH --job-name=karpa-train
#SBATCH --nodes=2
# One process per node; it takes all GPUs that it sees.
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --time=04:00:00
# With GPUs, take one # away:
##SBATCH --gpus-per-node=1
# Two minutes before the time limit (Slurm may be a minute early) the programs are told to save. Without "B:" the signal
# goes to the job steps, that is to every worker, and not to this shell.
#SBATCH --signal=USR1@120
# After a preemption or the loss of a node Slurm may start the job anew, with the same number.
#SBATCH --requeue
# One log for all starts of the job, added to instead of begun anew.
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.out
# Two jobs of this name would write to one run folder: the second waits for the first.
#SBATCH --dependency=singleton

set -euo pipefail

# sbatch copies this script elsewhere, so that paths start from the folder in which it was submitted.
cd "${SLURM_SUBMIT_DIR:-.}"

# On a disk that all nodes share, and the same at every start: the programs go on with a run that they find there.
RUN="${RUN:-runs/train_classifier/$SLURM_JOB_NAME}"
PYTHON="${PYTHON:-.venv/bin/python}"

# scancel, and a time limit or preemption whose grace is over, send this shell SIGTERM. The workers answer it with 75
# too; a job that was ended on purpose must not come back.
ended_by_slurm=
trap 'ended_by_slurm=yes' TERM

# Every worker reads its place from Slurm's own variables.
#   --cpus-per-task     srun does not take it from sbatch since Slurm 22.05.
#   --kill-on-bad-exit  0: whoever has saved and left must not take along a worker that is still writing.
#   --wait              Half an hour for the first worker to evaluate and export after the others have ended, and no
#                       longer, for a worker that waits for one that has crashed.
code=0
srun --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" --kill-on-bad-exit=0 --wait=1800 \
    "$PYTHON" -m apps.train_classifier digits --strategy auto --run "$RUN" "$@" || code=$?

# 75: saved and not finished. srun reports the highest code of all workers. The same command goes on, from the queue.
if [[ $code -eq 75 && -z $ended_by_slurm ]]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
