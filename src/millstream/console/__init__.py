"""The page: where everything stands, in plain words, and the buttons of the people who decide.

Rendered on the server from one plain record (``millstream status``); the browser only asks for it again while it is
looked at. Charts are drawn here too, as SVG with a text for readers who do not see them.
"""
