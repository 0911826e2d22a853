"""The way from an upload to an accepted request.

The upload is validated, its products are written, and the request is committed last.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from cluster.errors import BlockedAddressError, RefusedError, StoreUnavailableError
from cluster.http.guard import Guard
from cluster.http.url import parse_url, url_problem
from cluster.identifiers import new_identifier
from cluster.records import Counts, Image, ProcessingRequest, Product, WebhookTarget, utc_now
from cluster.secrets import check_webhook_secret
from deployments.api.answers import UploadAnswer, UploadCounts
from deployments.catalogue import Duplicates, open_catalogue, survey_catalogue, valid_rows

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from typing import IO

    from cluster.settings import Settings
    from deployments.api.services import Services
    from deployments.api.upload_form import UploadForm
    from deployments.catalogue import Catalogue, CatalogueRow, Survey

_CHUNK_PRODUCTS = 1000
_CHUNK_CHARACTERS = 4_000_000
MAX_STORING_SECONDS = 1800  # less than the age at which products without a request are swept


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload that asks to be accepted.

    Attributes:
        form: The file and the fields.
        owner: The id of the API key.
        idempotency_key: The same for every repeat of the same upload.
    """

    form: UploadForm
    owner: str
    idempotency_key: str | None


async def accept_upload(services: Services, upload: Upload) -> UploadAnswer:
    """Validate an upload and store it, unless it is a dry run. A stored upload is promised to be finished.

    Raises:
        CatalogueError: The CSV has errors.
        RefusedError: Another part of the upload is not accepted, or the queue is full.
        StoreUnavailableError: A store does not answer. Nothing was accepted, with one exception: MongoDB's answer to
            the commit may be lost. Then a repeat with the same `Idempotency-Key` finds the accepted request.
    """
    settings, fields = services.settings, upload.form.fields
    webhook = _webhook(services, upload)
    catalogue, survey = await asyncio.to_thread(_validate, upload.form, settings)
    if fields.dry_run:
        return _answer(survey, "The catalogue is valid. Nothing was stored, because this was a dry run.")
    fingerprint = await asyncio.to_thread(_fingerprint, upload.form)
    if upload.idempotency_key is not None:
        earlier = await services.requests.find_repeat(upload.owner, upload.idempotency_key)
        if earlier is not None:
            return _repeated(earlier, fingerprint, survey)
    await services.quota.check(upload.owner, survey.images)
    now, seconds = utc_now(), fields.deadline_seconds
    request = ProcessingRequest(
        request_id=new_identifier("req"),
        owner=upload.owner,
        created_at=now,
        queued_at=now,
        deadline_seconds=seconds,
        deadline_at=None if seconds is None else now + timedelta(seconds=seconds),
        priority=fields.priority,
        options=fields.options,
        counts=Counts(rows=survey.rows, products=survey.products, images=survey.images),
        columns=list(catalogue.columns),
        url_column=catalogue.url_column,
        delimiter=catalogue.dialect.delimiter,
        byte_order_mark=catalogue.dialect.start > 0,
        filename=upload.form.filename,
        webhook=webhook,
        idempotency_key=upload.idempotency_key,
        fingerprint=fingerprint,
    )
    await services.require_stores()  # a second time, because a large file takes a while to read
    with services.quota.storing(upload.owner, survey.images):
        return await _store(services, request, catalogue, survey)


def _validate(form: UploadForm, settings: Settings) -> tuple[Catalogue, Survey]:
    catalogue = open_catalogue(
        form.file,
        columns=form.fields.columns,
        max_rows=settings.max_rows,
        max_images_per_product=settings.max_images_per_product,
    )
    survey = survey_catalogue(catalogue)
    refusal = survey.refusal(skip_invalid_rows=form.fields.on_invalid_row == "skip")
    if refusal is not None:
        raise refusal
    return catalogue, survey


def _webhook(services: Services, upload: Upload) -> WebhookTarget | None:
    fields = upload.form.fields
    if fields.webhook_url is None:
        if fields.webhook_secret is not None:
            raise RefusedError(
                400, "invalid_webhook_url", "The form has a webhookSecret but no webhookUrl. Add the URL."
            )
        return None
    url = _webhook_url(fields.webhook_url, services.settings)
    secret = fields.webhook_secret
    secret = services.secrets.webhook_secret(upload.owner) if secret is None else check_webhook_secret(secret)
    return WebhookTarget(url=url, secret=services.secrets.encrypt(secret))


def _webhook_url(text: str, settings: Settings) -> str:
    """Return the URL in the form in which it was judged, so that no later reader takes it for another one.

    A name is not resolved here. The sender judges its addresses at each connection.
    """
    problem = url_problem(text)
    if problem is not None:
        raise _webhook_refusal(f"webhookUrl is not accepted: {problem}.")
    url = parse_url(text)
    if url.scheme != "https" and not settings.allow_http_webhooks:
        raise _webhook_refusal("webhookUrl is not accepted: it must start with https://.")
    try:
        Guard(settings.allowed_networks, allowed_ports=settings.allowed_ports).check_before_lookup(url.host, url.port)
    except BlockedAddressError as error:
        raise _webhook_refusal(f"webhookUrl is not accepted. {error}") from error
    return url.text


def _webhook_refusal(detail: str) -> RefusedError:
    return RefusedError(400, "invalid_webhook_url", detail)


def _fingerprint(form: UploadForm) -> str:
    digest = hashlib.sha256(form.fields.model_dump_json().encode())
    form.file.seek(0)
    for block in _blocks(form.file):
        digest.update(block)
    return digest.hexdigest()


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    while block := file.read(1 << 20):
        yield block


async def _store(services: Services, request: ProcessingRequest, catalogue: Catalogue, survey: Survey) -> UploadAnswer:
    deduplicates = services.settings.dedupe_seconds > 0
    duplicates = Duplicates(await asyncio.to_thread(survey.url_hashes.duplicated) if deduplicates else set())
    try:
        async with asyncio.timeout(MAX_STORING_SECONDS):
            async for products in _product_chunks(request.request_id, catalogue, duplicates):
                await services.products.insert(products)
            # After an error the products stay, because the commit may have been made although its answer was lost.
            # The sweep removes products without a request.
            committed = await services.requests.commit(request)
    except TimeoutError as error:
        raise StoreUnavailableError("mongodb", "it is too slow to store an upload") from error
    if committed.request_id != request.request_id:
        await services.products.delete(request.request_id)
        return _repeated(committed, request.fingerprint, survey)
    services.actors.queue_changed()
    return _answer(survey, _accepted_message(survey), request)


async def _product_chunks(
    request_id: str, catalogue: Catalogue, duplicates: Duplicates
) -> AsyncIterator[list[Product]]:
    products = _products(request_id, valid_rows(catalogue), duplicates)
    while chunk := await asyncio.to_thread(_next_chunk, products):
        yield chunk


def _next_chunk(products: Iterator[Product]) -> list[Product]:
    """Return as many products as fit into both limits, because a single row may have a mebibyte."""
    chunk: list[Product] = []
    left_characters = _CHUNK_CHARACTERS
    for product in itertools.islice(products, _CHUNK_PRODUCTS):
        chunk.append(product)
        left_characters -= sum(map(len, product.cells))
        if left_characters <= 0:
            break
    return chunk


def _products(request_id: str, rows: Iterator[CatalogueRow], duplicates: Duplicates) -> Iterator[Product]:
    first_image = 0
    for row in rows:
        images = len(row.image_urls)
        yield Product(
            request_id=request_id,
            row=row.row,
            serial_number=row.serial_number,
            product_name=row.product_name,
            input_image_urls=list(row.image_urls),
            output_image_urls=[None] * images,
            images=[
                Image(duplicate_of=duplicates.first_of(url, row.row, index)) for index, url in enumerate(row.image_urls)
            ],
            cells=row.cells,
            first_image=first_image,
        )
        first_image += images


def _repeated(earlier: ProcessingRequest, fingerprint: str, survey: Survey) -> UploadAnswer:
    if earlier.fingerprint != fingerprint:
        raise RefusedError(
            409, "idempotency_conflict", "This Idempotency-Key was used for another upload. Send a new one."
        )
    return _answer(survey, "This upload was accepted before. Nothing is processed twice.", earlier)


def _accepted_message(survey: Survey) -> str:
    accepted = f"Accepted: {_number(survey.images, 'image')} of {_number(survey.products, 'product')}."
    skipped = f" Skipped: {_number(survey.rejected_rows, 'row')} with errors." if survey.rejected_rows else ""
    return accepted + skipped


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _answer(survey: Survey, message: str, request: ProcessingRequest | None = None) -> UploadAnswer:
    return UploadAnswer(
        request_id=request and request.request_id,
        status=request and request.status,
        message=message,
        counts=UploadCounts(rows=survey.rows, products=survey.products, images=survey.images),
        rejected_rows=survey.problems,
    )
