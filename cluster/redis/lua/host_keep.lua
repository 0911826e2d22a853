-- Keep for longer what a batch was granted at source hosts.
-- KEYS: the leases of each host (a sorted set by the time when each ends)
-- ARGV: lease in ms, time to live in ms, the batch's token, then for each host how many were granted
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lease, ttl, token = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]

for index, leases in ipairs(KEYS) do
  for place = 1, tonumber(ARGV[3 + index]) do redis.call('ZADD', leases, now + lease, token .. place) end
  redis.call('PEXPIRE', leases, ttl)
end
