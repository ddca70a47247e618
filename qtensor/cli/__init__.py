"""The command line `qtensor`: what the package does, for shells and scripts.

main        the commands together; exit codes
options     options that several commands share
inputs      tables, models, parameters and SQL as the command line names them
output      where a result goes, and in which format
texts       columns as texts, for CSV and JSON
query       run, explain, bench
artifacts   export, exec, inspect, trust
describe    what `inspect` says of an artifact
caches      cache info, cache clear
shell       the interactive shell, and scripts from stdin
commands    the shell's own commands, such as .tables
completion  what the shell proposes at the cursor
statements  where a statement ends

Nothing here imports JAX, the SQL engine or TensorFlow before a command needs it: `qtensor --help` takes no longer than Python.
"""
