"""Webhooks come in here: a delivery that is signed as its subscription demands becomes a durable run."""
