-- Count terminal images, each once, however often it is reported.
-- KEYS: the hash of counters, the bitmap of images that were counted, the key that says they are whole
-- ARGV: time to live in seconds, then for each image: ordinal, field to raise, bytes in, bytes out
if redis.call('EXISTS', KEYS[1]) ~= redis.call('EXISTS', KEYS[2]) then
  redis.call('DEL', KEYS[1], KEYS[2], KEYS[3]) -- one of the two was lost: without the other it is wrong
end
for i = 2, #ARGV, 4 do
  if redis.call('SETBIT', KEYS[2], ARGV[i], 1) == 0 then
    redis.call('HINCRBY', KEYS[1], ARGV[i + 1], 1)
    redis.call('HINCRBY', KEYS[1], 'bytesIn', ARGV[i + 2])
    redis.call('HINCRBY', KEYS[1], 'bytesOut', ARGV[i + 3])
  end
end
redis.call('EXPIRE', KEYS[1], ARGV[1])
redis.call('EXPIRE', KEYS[2], ARGV[1])
