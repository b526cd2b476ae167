"""Submit a training, or all trainings of a sweep, to SLURM through submitit; or run them so on this machine (`--local`).

    python experiments/cluster/submit.py --nodes 2 --gpus 8 train g1 --motion FILE --run-dir RUN
    python experiments/cluster/submit.py --gpus 1 sweep g1 --motion A B --seeds 0 1 2 --run-dir SWEEP
    python experiments/cluster/submit.py --local train humanoid --device cpu --run-dir RUN

A job that SLURM ends early is saved and queues itself again, until it is done: `mimic` ends with 75 when it was interrupted.
Needs `pip install submitit`, which Mimic itself does not.
"""

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import submitit

from mimic.arguments import EXIT_INPUT, EXIT_REQUEUE
from motions.errors import InputError

GRACE_S = 120  # between a job's warning and its end: room to save


class Job:
    """`mimic` with these arguments, as a process of its own; submitit calls it, and `checkpoint` before it requeues the job."""

    def __init__(self, argv: list[str]) -> None:
        self.argv = argv
        self.child: subprocess.Popen | None = None

    def __call__(self) -> None:
        self.child = subprocess.Popen([sys.executable, "-m", "mimic", *self.argv])
        self._until_it_ends()
        code = self.child.wait()
        if code == EXIT_REQUEUE:  # the scheduler told the training, not submitit, which requeues at this signal only
            signal.raise_signal(getattr(signal, "SIG" + os.environ.get("SUBMITIT_PREEMPT_SIGNAL", "USR2")))
        elif code:
            raise RuntimeError(f"mimic {' '.join(self.argv)} ended with exit code {code}")

    def checkpoint(self) -> "submitit.helpers.DelayedSubmission":
        """The same again, once the training has saved."""
        if self.child is not None and self.child.returncode is None:
            self.child.send_signal(signal.SIGUSR1)
            self._until_it_ends()
        return submitit.helpers.DelayedSubmission(Job(self.argv))

    def _until_it_ends(self) -> None:
        """Without `Popen`'s lock: `checkpoint` comes as a signal, while `__call__` waits."""
        os.waitid(os.P_PID, self.child.pid, os.WEXITED | os.WNOWAIT)


def jobs_of(command: list[str], processes: int) -> list[Job]:
    """One job of a training, by so many processes together; of a sweep one for each training."""
    if command[:1] == ["sweep"]:
        from mimic.commands.sweep import checked_plan, parse_sweep
        from mimic.training.sweep import members

        return [Job([*command, "--task", str(number)]) for number in range(len(members(checked_plan(*parse_sweep(command[1:])))))]
    return [Job([*command, "--resume", *(["--cluster.join"] if processes > 1 else [])])]


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--local", action="store_true", help="on this machine, and wait for them")
    parser.add_argument("--folder", type=Path, default=Path("runs/submitit"), help="submitit's own files and the jobs' output")
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--gpus", type=int, default=0, help="of each node; a training has one process for each")
    parser.add_argument("--cpus", type=int, default=8, help="of each process")
    parser.add_argument("--minutes", type=int, default=240, help="after which a job is saved and queued again")
    parser.add_argument("--partition", help="SLURM's, if not the default")
    parser.add_argument("--requeues", type=int, default=100, help="at most")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="train, harden, distill or sweep, with its options")
    args = parser.parse_args(argv)
    if args.command[:1] not in (["train"], ["harden"], ["distill"], ["sweep"]):
        parser.error("expected train, harden, distill or sweep, with its options, after all others")
    if args.command[0] == "sweep" and (args.nodes, args.gpus > 1) != (1, False):
        parser.error("a training of a sweep has one process: --nodes 1, --gpus 0 or 1")
    if args.local and (args.nodes, args.gpus > 1) != (1, False):
        parser.error("--local runs one process a training; experiments/cluster/local.sh runs several")
    return args


def executor_of(args: argparse.Namespace) -> Any:
    kind = "local" if args.local else "slurm"
    executor = submitit.AutoExecutor(args.folder, cluster=kind, **{f"{kind}_max_num_timeout": args.requeues})
    executor.update_parameters(
        name="mimic", nodes=args.nodes, tasks_per_node=max(args.gpus, 1), gpus_per_node=args.gpus, cpus_per_task=args.cpus,
        timeout_min=args.minutes, slurm_signal_delay_s=GRACE_S, slurm_additional_parameters={"requeue": True},
        **({"slurm_partition": args.partition} if args.partition else {}),
    )  # fmt: skip
    return executor


def main() -> int:
    args = parse()
    try:
        wanted = jobs_of(args.command, args.nodes * max(args.gpus, 1))
    except InputError as error:
        print(f"submit: {error}", file=sys.stderr)
        return EXIT_INPUT
    executor = executor_of(args)
    if args.local:  # one after the other: they would share the cores
        return max(_finished(executor.submit(job)) for job in wanted)
    with executor.batch():
        submitted = [executor.submit(job) for job in wanted]
    for job, its in zip(submitted, wanted, strict=True):
        print(f"{job.job_id}: mimic {' '.join(its.argv)}; output in {job.paths.stdout}")
    return 0


def _finished(job: Any) -> int:
    print(f"{job.job_id}: output in {job.paths.stdout}", flush=True)
    error = job.exception()
    if error is not None:
        print(f"{job.job_id} failed: {str(error).strip().splitlines()[-1]}", file=sys.stderr)
    return int(error is not None)


if __name__ == "__main__":
    sys.exit(main())
