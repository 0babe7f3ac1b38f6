"""Drive runs: what the queue ``workflow-run`` rings for."""
