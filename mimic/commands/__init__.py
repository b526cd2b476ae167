"""The commands: frozen dataclasses, parsed by tyro, each with a `run` method. Heavy imports happen inside `run`, so that help
is instant."""
