"""The Python client.

>>> from cluster.client import Darkroom
>>> with Darkroom("http://127.0.0.1:8000", api_key="...") as darkroom:
...     submission = darkroom.submit("catalogue.csv", options={"format": "webp", "quality": 70})
...     status = darkroom.wait(submission.request_id)
...     darkroom.save_results(submission.request_id, "results.csv")
"""

from cluster.client.answers import DeliveryAnswer as Delivery
from cluster.client.answers import ProductAnswer as Product
from cluster.client.answers import Readiness, RequestPage, RequestStatus, RequestSummary, Submission
from cluster.client.darkroom import Darkroom
from cluster.errors import ApiError

__all__ = [
    "ApiError",
    "Darkroom",
    "Delivery",
    "Product",
    "Readiness",
    "RequestPage",
    "RequestStatus",
    "RequestSummary",
    "Submission",
]
