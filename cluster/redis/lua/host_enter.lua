-- How many downloads a batch may begin at each source host now.
-- KEYS: for each host, its state (a hash) and its leases (a sorted set by the time when each ends)
-- ARGV: limit of a host, lease in ms, time to live in ms, failures that open the breaker, how long a source may be
--       silent in ms, pause between probes in ms, then the batch's token, then for each host how many it wants
-- Returns for each host: how many are granted, how long to wait in ms, whether the source is given up
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local most, lease, ttl, opening, silent, probing =
  tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local token = ARGV[7]

local function number(key, field)
  return tonumber(redis.call('HGET', key, field) or 0)
end

local function verdict(state, leases, wanted)
  if number(state, 'deadUntil') > now then return 0, 0, 1 end
  local slow = number(state, 'slowUntil')
  if slow > now then return 0, slow - now, 0 end
  if number(state, 'failures') >= opening then
    -- Nobody has tried it for long, or it was given up for a while: probing begins anew.
    if now - number(state, 'triedAt') > silent or number(state, 'deadUntil') > 0 then
      redis.call('HDEL', state, 'deadUntil', 'probeAt')
      redis.call('HSET', state, 'since', now, 'triedAt', now)
    elseif now - number(state, 'since') > silent then
      redis.call('HSET', state, 'deadUntil', now + silent)
      return 0, 0, 1
    end
    local probe = number(state, 'probeAt')
    if probe > now then return 0, probe - now, 0 end
    redis.call('HSET', state, 'probeAt', now + probing)
    return 1, 0, 0
  end
  redis.call('HDEL', state, 'since') -- its silence counts from when it is only probed
  redis.call('ZREMRANGEBYSCORE', leases, '-inf', now)
  local limit = number(state, 'limit')
  if limit == 0 then limit = most end
  local free = math.min(limit, most) - redis.call('ZCARD', leases)
  if free < 1 then return 0, 500, 0 end
  -- Half of what is free at most, so that the next batch finds some, too.
  return math.min(wanted, math.max(1, math.ceil(free / 2))), 0, 0
end

local answer = {}
for index = 1, #KEYS, 2 do
  local state, leases = KEYS[index], KEYS[index + 1]
  local granted, wait, dead = verdict(state, leases, tonumber(ARGV[7 + (index + 1) / 2]))
  for place = 1, granted do redis.call('ZADD', leases, now + lease, token .. place) end
  redis.call('PEXPIRE', state, ttl)
  redis.call('PEXPIRE', leases, ttl)
  table.insert(answer, { granted, wait, dead })
end
return answer
