-- Say for a while longer that the counters are whole, if they still are.
-- KEYS: the key that says they are whole
-- ARGV: the coordinator's epoch, images in flight, time to live in milliseconds
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then
  return 0
end
redis.call('HSET', KEYS[1], 'inFlight', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
