"""`Paths`: finds the route of a request by its path's segments instead of trying one route after another.

FastAPI tries the routes in order, each with a regular expression: 3 µs per route that comes before the right one. Here
a tree over the segments answers in the time of the path's length. It answers only what it is certain of, and exactly
as the router would; everything else (404, 405, redirects, mounts, `{x:path}`, WebSockets, a root path) goes to the
router. A test holds the two against each other on generated routes and paths.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from starlette.convertors import StringConvertor
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send


class _Leaf:
    """What a path leads to; `app` is None where only the router can tell."""

    __slots__ = ("app", "context", "endpoint", "methods", "names", "order", "route")

    def __init__(self, order: int, context: RouteContext | None, names: tuple[str, ...]) -> None:
        self.order = order
        self.names = names
        self.app: ASGIApp | None = None
        self.methods: frozenset[str] = frozenset()
        self.route: BaseRoute | None = None
        self.endpoint: Any = None
        self.context: Any = None
        if context is not None:
            effective = context._route_context
            self.route = context.original_route
            self.context = effective
            self.endpoint = context.endpoint
            self.methods = frozenset(context.methods or ())
            self.app = effective.app if effective is not None else getattr(self.route, "app", None)


class _Node:
    __slots__ = ("any", "leaves", "named")

    def __init__(self) -> None:
        self.named: dict[str, _Node] = {}
        self.any: _Node | None = None
        self.leaves: list[_Leaf] = []


class Paths:
    """Stands in front of a router.

    Args:
        router: of the service; routes may still be added to it.
    """

    def __init__(self, router: APIRouter) -> None:
        self._router = router
        self._root = _Node()
        self._built_for = -1

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        leaf, values = self._lead(scope)
        if leaf is None or leaf.app is None:
            await self._router(scope, receive, send)
            return
        scope["path_params"] = dict(zip(leaf.names, values, strict=True))
        scope["endpoint"] = leaf.endpoint
        scope["route"] = leaf.route
        scope["router"] = self._router
        if leaf.context is not None:
            scope["fastapi"] = {"effective_route_context": leaf.context}
        await leaf.app(scope, receive, send)

    def route(self, scope: Scope) -> BaseRoute | None:
        """The route that takes this request, found without serving it; None when none does."""
        leaf, _ = self._lead(scope)
        if leaf is not None and leaf.app is not None:
            return leaf.route
        path, method = scope["path"].removeprefix(scope.get("root_path", "")), scope.get("method")
        for context in iter_route_contexts(self._router.routes):
            pattern, methods = getattr(context, "path_regex", None), context.methods
            if pattern is not None and pattern.match(path) and (methods is None or method in methods):
                return context.original_route
        return None

    def _lead(self, scope: Scope) -> tuple[_Leaf | None, list[str]]:
        """What a request's path leads to, as far as the tree knows."""
        if scope["type"] == "http" and not scope.get("root_path"):
            if self._built_for != len(self._router.routes):
                self._build()
            path: str = scope["path"]
            if not path.endswith("\n"):  # a regular expression's `$` also matches before a newline
                return self._find(scope["method"], path.split("/"))
        return None, []

    def _find(self, method: str, segments: Sequence[str]) -> tuple[_Leaf | None, list[str]]:
        """The route that comes first among those that take this path and method, with the values of its parameters."""
        best: _Leaf | None = None
        values: list[str] = []
        last = len(segments)
        waiting: list[tuple[_Node, int, list[str]]] = [(self._root, 0, values)]
        while waiting:
            node, at, taken = waiting.pop()
            while at < last:
                segment = segments[at]
                at += 1
                named = node.named.get(segment)
                if node.any is not None and segment:
                    if named is not None:
                        waiting.append((named, at, taken))
                    taken = [*taken, segment]
                    node = node.any
                elif named is not None:
                    node = named
                else:
                    break
            else:
                for leaf in node.leaves:
                    if (best is None or leaf.order < best.order) and (leaf.app is None or method in leaf.methods):
                        best, values = leaf, taken
        return best, values

    def _build(self) -> None:
        routes = self._router.routes
        self._root, self._built_for = _Node(), len(routes)
        if _has_form_limits(self._router):
            return
        for order, context in enumerate(iter_route_contexts(routes)):
            route = context.original_route
            if isinstance(route, WebSocketRoute):
                continue
            path = context.path_format
            if not isinstance(route, Route) or path is None or not _segmented(context):
                return  # it may take any path: what comes after it is the router's
            certain = isinstance(route, APIRoute) and _usual(route) and _plain(context)
            names = tuple(segment[1:-1] for segment in path.split("/") if segment.startswith("{"))
            self._place(path).leaves.append(_Leaf(order, context if certain else None, names))

    def _place(self, path: str) -> _Node:
        node = self._root
        for segment in path.split("/"):
            if "{" in segment:
                if node.any is None:
                    node.any = _Node()
                node = node.any
            else:
                node = node.named.setdefault(segment, _Node())
        return node


def _segmented(context: RouteContext) -> bool:
    """Every parameter stays within its segment."""
    return all(convertor.regex != ".*" for convertor in context.param_convertors.values())


def _plain(context: RouteContext) -> bool:
    """Parameters are whole segments, taken as text."""
    segments = [segment for segment in (context.path_format or "").split("/") if "{" in segment]
    whole = all(segment.startswith("{") and segment.endswith("}") and segment.count("{") == 1 for segment in segments)
    return whole and all(type(convertor) is StringConvertor for convertor in context.param_convertors.values())


def _usual(route: APIRoute) -> bool:
    """Its class matches and handles as FastAPI's does."""
    kind = type(route)
    return kind.matches is APIRoute.matches and kind.handle is APIRoute.handle


def _has_form_limits(router: APIRouter) -> bool:
    """Limits of forms are handed down while routing, which is skipped here."""
    return any(getattr(holder, "form_limits", None) for holder in _holders(router))


def _holders(router: APIRouter) -> Iterator[Any]:
    yield router
    included: Iterable[Any] = (route for route in router.routes if hasattr(route, "include_context"))
    for route in included:
        yield route.include_context
        yield from _holders(route.original_router)
