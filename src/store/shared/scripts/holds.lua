-- Reads KEYS and how many milliseconds each has left.
local found = {}
for i = 1, #KEYS do
  found[2 * i - 1] = redis.call('GET', KEYS[i])
  found[2 * i] = redis.call('PTTL', KEYS[i])
end
return found
