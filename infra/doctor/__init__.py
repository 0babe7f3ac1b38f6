"""The doctor: finds each usual misconfiguration of an installation by name, and says what helps."""
