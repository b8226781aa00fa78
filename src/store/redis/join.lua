-- KEYS: members, told. ARGV: id, lease, former id, the last number it was acknowledged, the last it sent.
local last = redis.call('HGET', KEYS[2], ARGV[3])
local arrived, lost = 0, 0
if last then
  if tonumber(last) >= tonumber(ARGV[5]) then arrived = 1 end
  if tonumber(last) < tonumber(ARGV[4]) then lost = 1 end
elseif ARGV[3] ~= '' then
  lost = 1
end
-- Those gone for two days are forgotten.
for i = 1, #members, 2 do
  if tonumber(members[i + 1]) + 172800000000 < now then
    redis.call('HDEL', KEYS[1], members[i])
    redis.call('HDEL', KEYS[2], members[i])
  end
end
redis.call('HSET', KEYS[1], ARGV[1], now + tonumber(ARGV[2]))
redis.call('HSET', KEYS[2], ARGV[1], 0)
return { 1, now, arrived, lost }
