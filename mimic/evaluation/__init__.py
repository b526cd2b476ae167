"""What a trained policy can do, measured from its exported file in plain C MuJoCo, without JAX."""
