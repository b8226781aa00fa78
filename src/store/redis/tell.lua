-- KEYS: members, told, buckets. ARGV: id, lease, number of this message, then for each bucket: form, limit, window or
-- period, seconds to keep it, what was used, what is held more or less, what was used at least.
local me, lease, seq = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local last = redis.call('HGET', KEYS[2], me)
if not alive[me] or not last or tonumber(last) ~= seq - 1 then
  return { -1 }
end
redis.call('HSET', KEYS[1], me, now + lease)
redis.call('HSET', KEYS[2], me, seq)
for i = 1, #members, 2 do
  -- After the clock went back a lease could last for days; whoever is alive renews it in time.
  if members[i] ~= me and tonumber(members[i + 1]) > now + 10 * lease then
    redis.call('HSET', KEYS[1], members[i], now + lease)
  end
end
local answer = { 1, now }
for i = 3, #KEYS do
  local key, a = KEYS[i], 7 * (i - 3) + 4
  local form, limit, span = ARGV[a], tonumber(ARGV[a + 1]), tonumber(ARGV[a + 2])
  local used, hold, least = tonumber(ARGV[a + 4]), tonumber(ARGV[a + 5]), tonumber(ARGV[a + 6])
  local bucket = read(key, form, limit, span)
  if used ~= 0 or bucket.level < least then
    local level = math.max(0, math.max(bucket.level, least) + used)
    if form == 'r' then
      level = math.min(level, math.max(bucket.level, 2 * limit))
    end
    bucket.level = level
    write(key, form, bucket)
  end
  if hold ~= 0 then
    local mine = tonumber(redis.call('HGET', key, me) or '0') + hold
    if mine > 0 then
      redis.call('HSET', key, me, mine)
    else
      redis.call('HDEL', key, me)
    end
  end
  redis.call('EXPIRE', key, ARGV[a + 3])
  answer[#answer + 1] = whole(bucket.level)
end
return answer
