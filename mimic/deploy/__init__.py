"""What leaves the trainer: ONNX, the policy spec, and the runtime that needs no JAX."""
