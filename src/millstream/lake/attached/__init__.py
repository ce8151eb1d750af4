"""Tables that others own: what they did since, whether their files are there, and copies of what is pinned."""
