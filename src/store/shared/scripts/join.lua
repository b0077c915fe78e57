-- Adds ARGV[1] to the set KEYS[1], which lives for at least ARGV[2] milliseconds.
local added = redis.pcall('ZADD', KEYS[1], 0, ARGV[1])
if type(added) == 'table' then
  if string.find(added.err, 'WRONGTYPE', 1, true) then
    redis.call('DEL', KEYS[1])
  end
  redis.call('ZADD', KEYS[1], 0, ARGV[1])
end
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 1
