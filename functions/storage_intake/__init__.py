"""Stored files start workflows and jobs here."""
