"""The peer of B11 in its leanest form: FastAPI alone."""

from fastapi import FastAPI

service = FastAPI()


@service.get("/answer")
async def answer() -> dict[str, int]:
    return {"edit": 0}
