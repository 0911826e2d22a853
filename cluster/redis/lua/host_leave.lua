-- Give back what a batch was granted at each source host, and tell how the host behaved.
-- KEYS: for each host, its state (a hash) and its leases (a sorted set)
-- ARGV: limit of a host, time to live in ms, the batch's token, then for each host: how many were granted, how many
--       were begun, how often the source answered, how often it did not, and for how many ms it asked to be left alone
--       (0: it did not)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local most, ttl, token = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]

for index = 1, #KEYS, 2 do
  local state, leases = KEYS[index], KEYS[index + 1]
  local at = 4 + (index - 1) / 2 * 5
  local granted, begun, answers, failures, pause =
    tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
  for place = 1, granted do redis.call('ZREM', leases, token .. place) end
  local limit = tonumber(redis.call('HGET', state, 'limit') or most)
  if answers > 0 then
    redis.call('HDEL', state, 'failures', 'since', 'triedAt', 'probeAt', 'deadUntil')
  elseif begun > 0 then -- also one that was broken off, since it kept others waiting
    redis.call('HSET', state, 'triedAt', now)
    if failures > 0 then
      redis.call('HINCRBY', state, 'failures', failures)
      redis.call('HSETNX', state, 'since', now)
    end
  end
  if pause > 0 then -- additive increase, multiplicative decrease
    local slow = tonumber(redis.call('HGET', state, 'slowUntil') or 0)
    redis.call('HSET', state, 'slowUntil', math.max(slow, now + pause))
    if slow <= now then -- batches that met the same overload halve it once
      redis.call('HSET', state, 'limit', math.max(1, math.floor(math.min(limit, most) / 2)))
    end
  elseif answers > 0 and limit < most then
    redis.call('HSET', state, 'limit', limit + 1)
  end
  redis.call('PEXPIRE', state, ttl)
  redis.call('PEXPIRE', leases, ttl)
end
