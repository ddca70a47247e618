"""Statements that are no queries: what they are once bound, and what they do to a connection's tables and to files.

statement   what a bound statement is, and what CREATE says of tables and views
created     a table that CREATE TABLE made
run         carries statements out
changes     INSERT, DELETE, UPDATE: the rows after them, and what keys and NOT NULL ask of these
constants   rows of constants, which need no program
summarize   SUMMARIZE
result      what a statement answers
"""
