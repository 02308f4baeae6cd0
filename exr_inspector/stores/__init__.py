"""Databases that keep documents: one module each, one protocol (`base`) for all. No store knows another."""
