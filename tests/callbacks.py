"""A callback made of functions, so that a test can say in one line what should happen when."""

from charrnn.training import Callback


class Calls(Callback):
    """Calls `batch(now, loss)`, `epoch(now)`, `stop(now)` and `asked()`, which returns whether to stop."""

    def __init__(self, *, batch=None, epoch=None, stop=None, asked=None):
        self.batch, self.epoch, self.stop, self.asked = batch, epoch, stop, asked

    def on_batch(self, now, loss):
        if self.batch:
            self.batch(now, loss)

    def on_epoch(self, now):
        if self.epoch:
            self.epoch(now)

    def on_stop(self, now):
        if self.stop:
            self.stop(now)

    def should_stop(self):
        return bool(self.asked and self.asked())
