"""Networks, rollout and PPO."""
