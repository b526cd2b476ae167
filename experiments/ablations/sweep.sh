#!/usr/bin/env bash
# experiments/ablations/sweep.sh --motion FILE [options of mimic sweep and mimic train]: a training for each aid and seed, and
# the table of what is done. What is done is not done again, so it may be stopped, and the table may grow over days.
exec mimic sweep g1 --run-dir "${OUT:-runs/ablations}" "$@" --vary \
  "" \
  "curriculum.tolerance_decay=.999" \
  "sampling.cap=3" \
  "sampling.cap=5" \
  "sampling.cap=1" \
  "curriculum.loose_bounds=2 curriculum.tighten_share=.5" \
  "ppo.symmetry=augment" \
  "ppo.symmetry=loss" \
  "ppo.symmetry=network" \
  "ppo.noise_correlation=.5" \
  "reward.action_acceleration=-.005" \
  "reward.action_rate=0 reward.action_acceleration=-.005"
