"""The tick: fires schedules, and rings again for whatever is due and unattended."""
