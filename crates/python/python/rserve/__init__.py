"""rserve: a pre-fork application server that stops without losing a connection.

It is a program, started as ``rserve [OPTIONS] module:app`` or ``python -m rserve [OPTIONS] module:app``.
"""
