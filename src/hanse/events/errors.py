"""The errors of the events room."""

from hanse.core.errors import InvalidInput


class PoisonEvent(InvalidInput):
    """An event whose bytes or attributes can't be understood. Delivering it again is useless.

    A handler that raises it (`Envelope.decode` does) sends the event to the dead letters at once.
    """

    code = "poison_event"
