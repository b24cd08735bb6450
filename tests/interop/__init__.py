"""Clients that others wrote, unmodified, against ours."""
