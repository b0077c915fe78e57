-- Makes the epoch KEYS[1] ARGV[1] for ARGV[2] milliseconds if it is missing, lower, or none at all, and returns 1 then. Returns 0 if it is
-- ARGV[1] already, and hands out a higher one.
local epoch = redis.pcall('GET', KEYS[1])
if type(epoch) == 'string' and #epoch == 8 then
  if epoch == ARGV[1] then
    return 0
  end
  if not is_lower(epoch, ARGV[1]) then
    return epoch
  end
end
-- First of all, for a server whose memory is full: see remove.lua.
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
