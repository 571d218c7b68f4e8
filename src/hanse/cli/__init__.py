"""CLI: the `hanse` command, one file per verb.

Purpose: parse arguments, call a room, show the result to a person or, with `--json`, to a program.
May import: every room below; a verb's file is imported only when that verb is used.
May touch: standard streams, the terminal, processes (`--detach`).
Guarantees: exit code 0 done, 1 failed, 2 wrong use; one clear line per error; `hanse --help` within 50 ms.
"""
