"""Checks of a header by named rules. Nothing here reads a file's framing, and nothing repairs.

`always` holds every file to a few rules, fast, for the document's `errors`; `table` lists all rules, `validation`
runs them and a studio's `policy` for the document's `validation`.
"""
