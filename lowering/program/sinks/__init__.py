"""Sinks: where a pipeline's rows go. Each is four functions: init, step, merge and finish (and `done`, for those that
can have enough).

`init` makes the empty state, `step` adds one batch, `merge` joins the states of two shares of the rows, `finish`
turns a state into the columns of the next pipeline's source. All four are traced into the query's module.
"""
