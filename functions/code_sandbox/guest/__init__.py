"""What runs inside of the sandbox: the interpreters' own side of a run."""
