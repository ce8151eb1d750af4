"""Says who answers for a model: the live release, and who steps in when it fails.

Pure data from the pointer, so a scoring server can read it many times a second.
"""

from millstream.traffic.route import Answerer, ReleaseRef, Route, route, routes

__all__ = ["Answerer", "ReleaseRef", "Route", "route", "routes"]
