// CPU seconds of sharp over files: each line is a job, answered with seconds an image and the bytes of all outputs.
import { readFile } from "node:fs/promises";

import { compress } from "./codec.mjs";
import { answerJobs } from "./jobs.mjs";

await answerJobs(async ({ files, quality, optimise, passes }) => {
  const sources = await Promise.all(files.map((file) => readFile(file)));
  await compress(sources[0], { quality, optimise });
  const before = process.cpuUsage();
  for (let pass = 0; pass < passes; pass++) {
    for (const source of sources) await compress(source, { quality, optimise });
  }
  const used = process.cpuUsage(before);
  return { cpuSeconds: (used.user + used.system) / 1e6 / (passes * sources.length) };
});
