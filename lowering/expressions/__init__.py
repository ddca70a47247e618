"""SQL expressions to kernel instructions: NULLs, decimals, text and errors become plain machine arithmetic here."""
