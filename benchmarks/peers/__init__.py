"""What others do with the same rows: run by the Python of ``.venv/peers``, where Millstream is not installed."""
