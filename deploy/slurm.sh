#!/usr/bin/env bash
# Trains on several nodes of a Slurm cluster and resumes automatically after a time limit or a preemption.
#
#   sbatch deploy/slurm.sh                      from the root of the repository, on a shared file system
#   sbatch --nodes=4 deploy/slurm.sh --seed 1   sbatch options before the script, program flags after it
#
# The preset digits needs no data and finishes quickly: a test of the cluster. Change the program below, and here:
# nodes, time, CPUs, GPUs, and the partition or account that your cluster requires.

#SBATCH --job-name=karpa-train
#SBATCH --nodes=2
# One process per node, which uses all visible GPUs.
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --time=04:00:00
# For GPUs, remove one #:
##SBATCH --gpus-per-node=1
# Two minutes before the time limit (Slurm may be a minute early) the programs are signaled to save. Without "B:" the
# signal goes to the job steps, i.e. to every worker, and not to this shell.
#SBATCH --signal=USR1@120
# After a preemption or the loss of a node Slurm may restart the job, with the same number.
#SBATCH --requeue
# Restarts append to the same log.
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.out
# Two jobs of this name would write to the same run folder: the second one waits.
#SBATCH --dependency=singleton

set -euo pipefail

# sbatch copies this script to another folder; paths are relative to the folder in which it was submitted.
cd "${SLURM_SUBMIT_DIR:-.}"

# On a shared file system, and the same at every start: the programs resume a run that exists there.
RUN="${RUN:-runs/train_classifier/$SLURM_JOB_NAME}"
PYTHON="${PYTHON:-.venv/bin/python}"

# scancel, and the end of a time limit or of a preemption's grace period, send SIGTERM to this shell. The workers then
# exit with 75 too, but a canceled job must not be requeued.
ended_by_slurm=
trap 'ended_by_slurm=yes' TERM

# Every worker reads its index and the cluster from Slurm's environment variables.
#   --cpus-per-task     since Slurm 22.05 srun does not inherit it from sbatch.
#   --kill-on-bad-exit  0: a worker that has saved and exited must not kill one that is still writing.
#   --wait              time limit in seconds for the first worker to evaluate and export after the others have ended,
#                       and for a worker that waits for a crashed one.
code=0
srun --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" --kill-on-bad-exit=0 --wait=1800 \
    "$PYTHON" -m apps.train_classifier digits --strategy auto --run "$RUN" "$@" || code=$?

# 75: saved, not finished. srun returns the highest code of all workers. The requeued job resumes the run.
if [[ $code -eq 75 && -z $ended_by_slurm ]]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
