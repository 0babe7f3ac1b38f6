"""Runs code that nobody has read: WebAssembly in a process of its own, of which nothing is left afterwards."""
