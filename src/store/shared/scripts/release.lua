-- Deletes the lease KEYS[1] if it is still ARGV[1]'s, and leaves ARGV[2] in KEYS[2] for ARGV[3] milliseconds, unless somebody else
-- leads by now.
local holder = redis.pcall('GET', KEYS[1])
if type(holder) == 'string' and #holder == 32 and string.sub(holder, 1, 16) ~= ARGV[1] then
  return 0
end
redis.call('DEL', KEYS[1])
if KEYS[2] then
  redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
end
return 1
