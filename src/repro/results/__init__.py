"""From raw lines to the CSV files."""
