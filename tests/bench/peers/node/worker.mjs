// A BullMQ worker: takes images off the queue until its input ends.
import { PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { Worker } from "bullmq";

import { compress } from "./codec.mjs";

const s3 = new S3Client({
  endpoint: process.env.BENCH_S3_ENDPOINT,
  region: process.env.BENCH_S3_REGION,
  forcePathStyle: true,
  requestChecksumCalculation: "WHEN_REQUIRED",
});

async function processImage({ data: { url, key, quality, optimise } }) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: ${response.status}`);
  const output = await compress(await response.arrayBuffer(), { quality, optimise });
  const put = { Bucket: process.env.BENCH_BUCKET, Key: key, Body: output, ContentType: "image/jpeg" };
  await s3.send(new PutObjectCommand(put));
}

const worker = new Worker("images", processImage, {
  connection: { url: process.env.BENCH_REDIS_URL },
  concurrency: Number(process.argv[2]),
});
worker.on("error", (error) => console.error(error));
await worker.waitUntilReady();
console.log("{}");
process.stdin.resume().on("end", async () => {
  await worker.close();
  process.exit();
});
