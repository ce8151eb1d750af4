import asyncio
import socket
import threading
from contextlib import contextmanager

import pytest
import uvicorn

from millstream.serving.app import App
from millstream.serving.chain import Chain
from millstream.serving.live import Live
from millstream.serving.log import PredictionLog
from millstream.serving.scorer import Scorer
from tests.serving import mill


@contextmanager
def serving(app):
    """Run an app on a free port in a thread; yield its address."""
    listening = socket.socket()
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listening.bind(("127.0.0.1", 0))
    listening.listen(128)
    config = uvicorn.Config(
        app, loop="uvloop", http="httptools", interface="asgi3", lifespan="off", ws="none", access_log=False,
        log_config=None, server_header=False, date_header=False, timeout_graceful_shutdown=1,
    )  # fmt: skip
    server = uvicorn.Server(config)
    server.capture_signals = contextmanager(lambda: iter([None]))

    def run():
        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(server.serve(sockets=[listening]))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield listening.getsockname()
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        assert not thread.is_alive()


class Served:
    """A server with two releases of one model live, and what it is made of."""

    def __init__(self, folder, **options):
        self.folder = folder
        self.store = mill.Memory()
        old = mill.write(folder / "old", version=1, model={"value": 0.4})
        new = mill.write_trees(folder / "new", version=2)
        self.chain = Chain(Scorer.open(new, self.store), previous=Scorer.open(old, self.store), generation=2)
        self.live = Live(leased=True)
        self.live.replace({"late": self.chain}, {})
        self.log = PredictionLog(folder / "log", **options.pop("log", {}))
        self.app = App(self.live, self.log, now_us=lambda: 5_000_000, **options)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    made = Served(tmp_path_factory.mktemp("served"), replay=True)
    with serving(made.app) as made.address:
        yield made
    made.log.close()
