// JPEG to a smaller JPEG by sharp, upright and without metadata.
import sharp from "sharp";

sharp.cache(false);
sharp.concurrency(1);

export function compress(data, { quality, optimise }) {
  return sharp(data).rotate().jpeg({ quality, mozjpeg: false, optimiseCoding: optimise }).toBuffer();
}
