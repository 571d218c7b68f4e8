"""Generation: the source of a typed client, from a service's OpenAPI document. Pure: documents in, text out."""

from hanse.client.generation.module import client_source

__all__ = ["client_source"]
