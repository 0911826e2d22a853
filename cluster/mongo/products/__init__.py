"""The collection `products`: one document for each row of a catalogue, with its images."""

from __future__ import annotations

from cluster.mongo.products.image_updates import ImageResult
from cluster.mongo.products.product_store import FencedWrite, ProductStore, parts

__all__ = ["FencedWrite", "ImageResult", "ProductStore", "parts"]
