-- Count terminal images, each once, however often it is reported.
-- KEYS: the hash of counters, the bitmap of images that were counted
-- ARGV: time to live in seconds, then for each image: ordinal, field to raise, bytes in, bytes out
for i = 2, #ARGV, 4 do
  if redis.call('SETBIT', KEYS[2], ARGV[i], 1) == 0 then
    redis.call('HINCRBY', KEYS[1], ARGV[i + 1], 1)
    redis.call('HINCRBY', KEYS[1], 'bytesIn', ARGV[i + 2])
    redis.call('HINCRBY', KEYS[1], 'bytesOut', ARGV[i + 3])
  end
end
redis.call('EXPIRE', KEYS[1], ARGV[1])
redis.call('EXPIRE', KEYS[2], ARGV[1])
