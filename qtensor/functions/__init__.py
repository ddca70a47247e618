"""What functions SQL has: operators, scalar functions and aggregates, by their types."""
