"""The page metrics/report.html, which shows what a trained model has learned."""
