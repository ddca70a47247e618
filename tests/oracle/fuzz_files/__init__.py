"""Files of strangers, without end: valid ones are damaged or changed with care, and put through the doors of qtensor.

A *door* is a way by which a file comes in: an artifact, a SavedModel, a .keras file, Parquet. `python -m tests.oracle.fuzz_files
--seconds 600` (`make fuzz-files SECONDS= SEED=`) mutates each door's seeds and opens what comes of it in child processes, under
limits of memory and time. Each input must end in rows or in a QTensorError. What counts as a failure (`harness.FAILURES`): other
rows than an independent reader finds, another exception, the child's death, no end, too much memory, a file that the input wrote.
Failing inputs are kept in `build/fuzz_files/`, and `--again FOLDER` opens one of them once more.

How a door is added: a module `doors/<name>.py` with a subclass of `door.Door` whose only instance is called `DOOR`, and the name in
`doors.NAMES`. Its methods:

- `make_seeds(folder)` writes valid inputs, each into a folder of its own below `folder`. It runs in a child.
- `mutated(random, seed, others)` gives a changed input. It runs in the parent, so the module imports neither qtensor nor another
  big library at its top. `mutations` has random changes of bytes, and `structures` of the parts of zips, JSON and protocol buffers.
- `answer(folder)` lets qtensor open the input and gives the rows. It runs in a child, and may raise QTensorErrors only.
- `expected(folder)` gives the rows that an independent reader finds; it raises whatever it likes if it finds none, and then
  qtensor's rows are counted as `unconfirmed`. It runs after `answer` gave rows; a child that dies in it is no failure.
- `import_libraries()` imports what these two need (qtensor), so that no input pays for it.
- `same(found, expected)` compares; without it, by `repr`, so that NaN equals NaN.
"""
