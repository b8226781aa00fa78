-- KEYS: members, buckets. ARGV: id, then for each bucket: form, limit, window or period, seconds to keep it, amount,
-- whether it is used at once. All or nothing.
local me = ARGV[1]
if not alive[me] then
  return { -1 }
end
local buckets, before, after, fits = {}, { 0, now }, { 1, now }, true
for i = 2, #KEYS do
  local key, a = KEYS[i], 6 * (i - 2) + 2
  local form, limit, span, amount = ARGV[a], tonumber(ARGV[a + 1]), tonumber(ARGV[a + 2]), tonumber(ARGV[a + 4])
  local bucket = buckets[key] or read(key, form, limit, span)
  buckets[key] = bucket
  before[#before + 1] = whole(bucket.level)
  before[#before + 1] = bucket.held
  if whole(bucket.level) + bucket.held + amount > limit then
    fits = false
  end
  if ARGV[a + 5] == '1' then
    bucket.level = bucket.level + amount
  else
    bucket.held = bucket.held + amount
  end
  after[#after + 1] = whole(bucket.level)
  after[#after + 1] = bucket.held
end
if not fits then
  return before
end
for i = 2, #KEYS do
  local key, a = KEYS[i], 6 * (i - 2) + 2
  if ARGV[a + 5] == '1' then
    write(key, ARGV[a], buckets[key])
  else
    redis.call('HINCRBY', key, me, ARGV[a + 4])
  end
  redis.call('EXPIRE', key, ARGV[a + 3])
end
return after
