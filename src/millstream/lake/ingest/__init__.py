"""Rows on their way in: deliveries, databases, posted rows; what of them is new, and what they correct."""
