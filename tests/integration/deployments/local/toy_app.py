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


@api.get("/readyz")
def ready() -> dict[str, Any]:
    """Return the settings of the environment."""
    settings = Settings()
    return {
        "mongoUrl": settings.mongo_url,
        "s3EndpointUrl": settings.s3_endpoint_url,
        "maxRows": settings.max_rows,
        "keys": sorted(name for name in os.environ if name.startswith(("DARKROOM_SECRET", "AWS_ACCESS"))),
    }


class Toy:
    """Serves the route above."""


class Broken:
    """An application that cannot be made."""

    def __init__(self) -> None:
        raise RuntimeError("the reason that the operator must see")


def _application(made_of: Any) -> Application:  # noqa: ANN401 - Serve's decorators change classes in untyped ways
    return serve.deployment(ray_actor_options={"num_cpus": 0})(made_of).bind()


app = _application(serve.ingress(api)(Toy))
broken = _application(Broken)
