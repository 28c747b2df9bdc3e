"""What both services need and that has no word about television in it.

Configuration, runtime settings, logs, error kinds and their one mapping to HTTP, safe outgoing HTTP,
events, health, metrics, the supervisor.
"""
