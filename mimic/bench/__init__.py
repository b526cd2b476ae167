"""What `mimic bench` measures of trainings: their speed beside others', their env-steps to a target, where their time goes."""
