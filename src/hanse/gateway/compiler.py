"""Compilation: a model in, the files of a running Envoy out. Pure: the same model always gives the same files."""

import copy
from dataclasses import dataclass

from hanse.gateway.clusters import clusters
from hanse.gateway.filters import LIMIT_FILTER
from hanse.gateway.limits import limits
from hanse.gateway.listener import listener
from hanse.gateway.model import GatewayModel
from hanse.gateway.resource import Resource, typed
from hanse.gateway.routes import FACTS, routes
from hanse.gateway.tokens import JWT_FILTER, jwt

CLUSTERS, JWT, LIMIT, ROUTES, LISTENERS = "clusters.json", "jwt.json", "limit.json", "routes.json", "listeners.json"
FILES = (CLUSTERS, JWT, LIMIT, ROUTES, LISTENERS)
"""In the order in which they can safely be put in place: what is named before what names it."""


@dataclass(frozen=True, slots=True)
class File:
    """One file of configuration: the type of its resources, and the resources."""

    type: str
    resources: tuple[Resource, ...]

    def typed(self) -> list[Resource]:
        return [typed(self.type, **resource) for resource in self.resources]


def compile(model: GatewayModel) -> dict[str, File]:
    """Every file by its name, in the order of `FILES`.

    Raises:
        ConfigurationError: the model has problems, one per line.
    """
    model.check()
    extension = "config.core.v3.TypedExtensionConfig"
    return {
        CLUSTERS: File("config.cluster.v3.Cluster", tuple(clusters(model))),
        JWT: File(extension, ({"name": JWT_FILTER, "typed_config": jwt(model)},)),
        LIMIT: File(extension, ({"name": LIMIT_FILTER, "typed_config": limits(model, FACTS)},)),
        ROUTES: File("config.route.v3.RouteConfiguration", (routes(model),)),
        LISTENERS: File("config.listener.v3.Listener", (listener(model),)),
    }


def static_bootstrap(model: GatewayModel) -> Resource:
    """The same gateway without any dynamic file, for `envoy --mode validate`, which does not read those.

    It also makes Envoy check that every route's cluster exists.
    """
    files = compile(model)
    single = {name: file.resources[0] for name, file in files.items() if name != CLUSTERS}
    inlined = copy.deepcopy(single[LISTENERS])
    manager = inlined["filter_chains"][0]["filters"][0]["typed_config"]
    del manager["rds"]
    manager["route_config"] = {**single[ROUTES], "validate_clusters": True}
    by_name = {single[name]["name"]: single[name]["typed_config"] for name in (JWT, LIMIT)}
    for filters in (manager["http_filters"], manager["upgrade_configs"][0]["filters"]):
        for entry in filters:
            if entry.pop("config_discovery", None):
                entry["typed_config"] = by_name[entry["name"]]
    return {"static_resources": {"clusters": list(files[CLUSTERS].resources), "listeners": [inlined]}}
