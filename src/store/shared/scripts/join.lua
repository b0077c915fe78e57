-- Adds ARGV[1] to the set KEYS[1] until ARGV[3] (seconds since the Unix epoch), or for longer if it is there for longer: whoever goes through
-- the set in its order then meets a member twice at most, and never passes one by. The set lives for at least ARGV[2] milliseconds. Members
-- whose time was over at ARGV[4] leave.
local added = redis.pcall('ZADD', KEYS[1], 'GT', ARGV[3], ARGV[1])
if type(added) == 'table' then
  if string.find(added.err, 'WRONGTYPE', 1, true) then
    redis.call('DEL', KEYS[1])
  end
  redis.call('ZADD', KEYS[1], 'GT', ARGV[3], ARGV[1])
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[4])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 1
