"""Pynomaly for a team: REST and a console over the same queries."""
