from tests.releases.conftest import house

__all__ = ["house"]
