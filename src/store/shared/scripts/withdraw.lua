-- Deletes KEYS[1] if its generation is still ARGV[1].
local value = redis.pcall('GET', KEYS[1])
if type(value) ~= 'string' or string.sub(value, 1, 16) ~= ARGV[1] then
  return 0
end
return redis.call('DEL', KEYS[1])
