"""What the HTML pages of the project have in common: the report and the playground."""
