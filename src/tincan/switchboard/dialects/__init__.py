"""dialects: meeting APIs of other systems that a switchboard serves beside its own.

Each has a pure core and a module of thin routes, which `handlers` adds with one line.
"""
