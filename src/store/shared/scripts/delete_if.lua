-- Deletes KEYS[1] if its generation is ARGV[1].
local old = redis.call('GET', KEYS[1])
if not old or string.sub(old, 1, 16) ~= ARGV[1] then
  return 0
end
return redis.call('DEL', KEYS[1])
