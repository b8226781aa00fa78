-- What every script begins with: the time, who is alive, and how a bucket is read.
-- KEYS[1] is the hash of members: id -> when its lease ends, in microseconds.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

local alive = {}
local members = redis.call('HGETALL', KEYS[1])
for i = 1, #members, 2 do
  if tonumber(members[i + 1]) > now then
    alive[members[i]] = true
  end
end

-- A bucket as it is now. What members hold who are not alive any more is free again.
local function read(key, form, limit, span)
  local level, at, period, held = 0, now, 0, 0
  local fields = redis.call('HGETALL', key)
  for i = 1, #fields, 2 do
    local field, value = fields[i], fields[i + 1]
    if field == 'l' then
      level = tonumber(value)
    elseif field == 't' then
      at = tonumber(value)
    elseif field == 'p' then
      period = tonumber(value)
    elseif alive[field] then
      held = held + tonumber(value)
    else
      redis.call('HDEL', key, field)
    end
  end
  if form == 'r' then
    level = math.max(0, level - math.max(0, now - at) * limit / span)
    if at > now then
      -- The clock went back: nothing leaked, and from here on it leaks as always.
      redis.call('HSET', key, 'l', level, 't', now)
    end
  elseif form == 'b' and span > period then
    level, period = 0, span
  end
  return { level = level, period = period, held = held }
end

local function write(key, form, bucket)
  if form == 'r' then
    redis.call('HSET', key, 'l', bucket.level, 't', now)
  elseif form == 'b' then
    redis.call('HSET', key, 'l', bucket.level, 'p', bucket.period)
  end
end

local function whole(level)
  return math.ceil(level - 0.000001)
end
