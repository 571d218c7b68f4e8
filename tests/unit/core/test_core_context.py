"""The request context is the running task's own."""

import asyncio

from hanse.core import Principal, RequestContext, current, use


async def test_tasks_do_not_see_each_others_context() -> None:
    seen: dict[str, str] = {}

    async def work(name: str) -> None:
        with use(RequestContext(correlation_id=name)):
            await asyncio.sleep(0)
            seen[name] = current().correlation_id

    await asyncio.gather(work("a"), work("b"))
    assert seen == {"a": "a", "b": "b"}
    assert current().correlation_id == ""


def test_a_principals_token_is_not_shown() -> None:
    assert "s3cret" not in repr(Principal("u1", token="s3cret"))
