// Who asks for the work: each line of the input is a list of images, and is answered when all of them are done.
import { Queue, QueueEvents } from "bullmq";

import { answerJobs } from "./jobs.mjs";

const connection = { url: process.env.BENCH_REDIS_URL };
const queue = new Queue("images", { connection });
const events = new QueueEvents("images", { connection });
await events.waitUntilReady();

await answerJobs(async ({ images, quality, optimise }) => {
  let left = images.length;
  const finished = new Promise((resolve, reject) => {
    events.on("completed", () => --left || resolve());
    events.on("failed", ({ failedReason }) => reject(new Error(failedReason)));
  });
  await queue.addBulk(images.map(([url, key]) => ({ name: "image", data: { url, key, quality, optimise } })));
  await finished;
  events.removeAllListeners("completed");
  events.removeAllListeners("failed");
  return {};
});
process.exit();
