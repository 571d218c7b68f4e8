"""`Consumer`: a handler of events, declared with `@service.on(…)`, and how a delivery reaches it."""

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, get_type_hints

from opentelemetry.trace import SpanKind
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from hanse.core import RequestContext, use
from hanse.core.errors import ConfigurationError
from hanse.events import Delivery, Envelope, Subscription
from hanse.telemetry import parse_traceparent

if TYPE_CHECKING:
    from hanse.service.node import Node

Handler = Callable[..., Awaitable[None]]


@dataclass(frozen=True, slots=True)
class EventHandler:
    """A handler as declared: which events, and what it asks for."""

    types: tuple[str, ...]
    group: str
    call: Handler
    message: tuple[str, type[BaseModel]] | None
    """Name and model of the parameter that gets the payload."""
    session: str | None
    """Name of the parameter that gets the database session."""
    envelope: str | None
    options: dict[str, Any] = field(default_factory=dict)
    """Of `Subscription`: max_deliver, concurrency, retry_delays_s, ack_wait_s."""

    @classmethod
    def of(cls, call: Handler, types: tuple[str, ...], group: str | None, options: dict[str, Any]) -> "EventHandler":
        """Read the handler's signature.

        Raises:
            ConfigurationError: not an async function, or a parameter that is neither a pydantic model, a `Session`
                nor an `Envelope`; names file and line.
        """
        where = f"{inspect.getsourcefile(call)}:{call.__code__.co_firstlineno}: {call.__qualname__}"
        if not inspect.iscoroutinefunction(call):
            raise ConfigurationError(f"{where} handles events and must be an async function")
        hints = get_type_hints(call)
        message: tuple[str, type[BaseModel]] | None = None
        session = envelope = None
        for name in inspect.signature(call).parameters:
            hint = hints.get(name)
            if isinstance(hint, type) and issubclass(hint, BaseModel) and message is None:
                message = (name, hint)
            elif isinstance(hint, type) and issubclass(hint, AsyncSession) and session is None:
                session = name
            elif hint is Envelope and envelope is None:
                envelope = name
            else:
                raise ConfigurationError(
                    f'{where}: parameter "{name}" must be one event model, one Session or one Envelope'
                )
        return cls(types, group or call.__name__, call, message, session, envelope, options)


class Consumer:
    """Brings deliveries to a handler.

    A handler with a `Session` is applied exactly once: the note in the inbox and what the handler writes are one
    transaction, and the delivery is acknowledged after its commit. One without is applied at least once.
    """

    def __init__(self, handler: EventHandler) -> None:
        self.handler = handler
        self.node: Node | None = None
        """Set when the node is built."""

    def subscription(self, service: str) -> Subscription:
        """What to ask the transport for."""
        return Subscription(service, self.handler.types, self.handler.group, **self.handler.options)

    async def receive(self, delivery: Delivery) -> None:
        """Handle one delivery; raising has it delivered again.

        Raises:
            PoisonEvent: the payload does not fit the handler's model.
        """
        node, envelope = self.node, delivery.envelope
        assert node is not None
        attributes = {
            "messaging.operation.type": "process",
            "messaging.destination.name": envelope.type,
            "messaging.message.id": envelope.id,
            "messaging.consumer.group.name": self.handler.group,
            "messaging.delivery.attempt": delivery.attempt,
        }
        parent = parse_traceparent(envelope.traceparent)
        context = RequestContext(envelope.correlation_id or envelope.id)
        span = node.tracer.span(
            f"process {envelope.type}", kind=SpanKind.CONSUMER, attributes=attributes, parent=parent
        )
        with use(context), span:
            try:
                await self._apply(node, envelope)
            except Exception as error:
                facts = {"event_id": envelope.id, "type": envelope.type, "attempt": delivery.attempt}
                node.log.warning("event not handled", group=self.handler.group, exc_info=error, **facts)
                raise

    async def _apply(self, node: "Node", envelope: Envelope) -> None:
        handler = self.handler
        arguments: dict[str, Any] = {}
        if handler.message is not None:
            name, model = handler.message
            arguments[name] = envelope.decode(model)
        if handler.envelope is not None:
            arguments[handler.envelope] = envelope
        if handler.session is None:
            await handler.call(**arguments)
            return
        database, durable = node.parts.database, node.parts.durable
        if database is None or durable is None:
            raise ConfigurationError(f"{handler.group} asks for a Session, and this service has no database")
        async with database.transaction() as session:
            if await durable.inbox.first(session, handler.group, envelope.id):
                arguments[handler.session] = session
                await handler.call(**arguments)
