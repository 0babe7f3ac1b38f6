"""Stored files start workflows here."""
