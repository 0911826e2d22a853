"""The routes for load balancers and probes. They need no API key, because they show nothing that a key protects."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Response
from ray.exceptions import RayError

from cluster.errors import StoreUnavailableError
from deployments.api.answers import CheckAnswer, HealthAnswer, ReadinessAnswer
from deployments.api.services import Services, services_of

if TYPE_CHECKING:
    from collections.abc import Awaitable

READINESS_CHECK_SECONDS = 3
READINESS_RETRY_SECONDS = 5
logger = logging.getLogger("darkroom.api")
router = APIRouter(tags=["health"])


@router.head("/healthz", include_in_schema=False)  # as some load balancers ask
@router.get("/healthz")
async def healthz() -> HealthAnswer:
    """Answer as long as this process lives."""
    return HealthAnswer()


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", responses={503: {"model": ReadinessAnswer}})
async def readyz(response: Response, services: Annotated[Services, Depends(services_of)]) -> ReadinessAnswer:
    """Check the stores, the queue manager, the indexes and the bucket, and Ray's head node.

    A missing head node does not make the service unready. Uploads are stored, and may wait for the head node.
    """
    mongodb, redis, s3, queue_manager, ray_head = await asyncio.gather(
        _check("mongodb", services.database.ping()),
        _check("redis", services.progress.ping()),
        _check("s3", services.ping_bucket()),
        _check("queueManager", services.actors.ping()),
        _check("rayHead", services.actors.ping_head()),
    )
    preparation = CheckAnswer(ok=services.unprepared is None, detail=services.unprepared)
    answer = ReadinessAnswer(
        ready=all(check.ok for check in (mongodb, redis, s3, queue_manager, preparation)),
        checks={
            "mongodb": mongodb,
            "redis": redis,
            "s3": s3,
            "queueManager": queue_manager,
            "preparation": preparation,
            "rayHead": ray_head,
        },
    )
    if not answer.ready:
        response.status_code = 503
        response.headers["Retry-After"] = str(READINESS_RETRY_SECONDS)
    return answer


async def _check(name: str, probe: Awaitable[None]) -> CheckAnswer:
    try:
        await asyncio.wait_for(probe, READINESS_CHECK_SECONDS)
    except TimeoutError:
        return CheckAnswer(ok=False, detail=f"no answer within {READINESS_CHECK_SECONDS} s")
    except StoreUnavailableError as error:
        return CheckAnswer(ok=False, detail=str(error))
    except RayError as error:
        return CheckAnswer(ok=False, detail=type(error).__name__)
    except Exception:  # the answer tells the other checks all the same
        logger.exception("the check of %s failed", name)
        return CheckAnswer(ok=False, detail="the check itself failed, and the log has the reason")
    return CheckAnswer(ok=True)
