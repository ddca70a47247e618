"""From a logical plan to one that reads and computes less: the rules, and what they may know."""
