-- Say that the counters are whole, unless what was rebuilt was lost again meanwhile.
-- KEYS: the key of the rebuild, the key that says they are whole
-- ARGV: the coordinator's epoch, images in flight, time to live in milliseconds
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[2], 'epoch', ARGV[1], 'inFlight', ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return 1
