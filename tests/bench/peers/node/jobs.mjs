// Lines of JSON in, lines of JSON out, until the input ends.
import { createInterface } from "node:readline";

export async function answerJobs(handle) {
  for await (const line of createInterface({ input: process.stdin })) {
    console.log(JSON.stringify(await handle(JSON.parse(line))));
  }
}
