"""A small Serve application, for the test of deploying."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from ray import serve

from cluster.settings import Settings

if TYPE_CHECKING:
    from ray.serve import Application

api = FastAPI()


@serve.deployment(ray_actor_options={"num_cpus": 0})
@serve.ingress(api)
class Toy:
    """Says what it finds in its environment."""

    @api.get("/readyz")
    def ready(self) -> dict[str, Any]:
        settings = Settings()
        return {
            "mongoUrl": settings.mongo_url,
            "s3EndpointUrl": settings.s3_endpoint_url,
            "maxRows": settings.max_rows,
            "keys": sorted(name for name in os.environ if name.startswith(("DARKROOM_SECRET", "AWS_ACCESS"))),
        }


class Broken:
    """Cannot be made."""

    def __init__(self) -> None:
        raise RuntimeError("the reason that the operator must see")


app: Application = Toy.bind()  # type: ignore[attr-defined] # Serve's decorator changes the class
broken: Application = serve.deployment(Broken, ray_actor_options={"num_cpus": 0}).bind()  # type: ignore[call-overload] # its overloads lack this one
