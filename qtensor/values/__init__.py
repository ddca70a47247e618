"""Values of SQL's types: constants, texts, intervals, days, and how one becomes another."""
